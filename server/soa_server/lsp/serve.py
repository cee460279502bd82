"""The server's beginning: standard output is put out of reach before anything else is imported."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

_TURN = 0.0005  # seconds for which a thread that imports or reads may hold up a key; Python allows 0.005


def serve_stdio(engine: Sequence[str] | None = None) -> int:
    """Serve over standard input and output until the client ends it; the exit code.

    `engine` is the command of the engine's process, the installed one when None. From here on `print` and
    children reach standard error and an empty input, never the protocol's streams.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    gc.disable()  # what is imported stays: searching it for garbage would make every start slower
    from soa_server.lsp.running import run_stdio

    gc.freeze()
    gc.enable()
    sys.setswitchinterval(_TURN)
    return run_stdio(incoming, outgoing, engine)


def serve_tcp(host: str, port: int, engine: Sequence[str] | None = None) -> int:
    """Serve one client on a socket (port 0: a free one, told on standard error); the exit code."""
    from soa_server.lsp.running import run_tcp

    return run_tcp(host, port, engine)
