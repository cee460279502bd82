"""The entry points: `soa`, and `soa-language-server` for `soa serve`."""

from __future__ import annotations

import atexit
import gc
import sys

_OVER_STDIO = (["serve"], ["serve", "--stdio"])  # how editors start the server


def main() -> None:
    """Run `soa` with the process's arguments."""
    run(sys.argv[1:])


def serve_main() -> None:
    """`soa-language-server`: the same as `soa serve`."""
    run(["serve", *sys.argv[1:]])


def run(arguments: list[str]) -> None:
    """Run one command, and leave the process by its exit code."""
    if arguments in _OVER_STDIO:  # an editor waits, and there is nothing to parse
        from soa_server.lsp.serve import serve_stdio

        sys.exit(serve_stdio())
    from soa_server.cli.table import soa

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # text streams in a real process
    # At its end Python looks for cycles in all that was loaded: a second after Ctrl-C on a busy machine.
    atexit.register(gc.freeze)
    soa(prog_name="soa", args=arguments)
