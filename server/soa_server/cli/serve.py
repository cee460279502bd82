"""`soa serve`: the language server."""

from __future__ import annotations

import sys

import click

from soa_server.lsp.serve import serve_stdio, serve_tcp

EXAMPLES = """\b
Editors start it over stdio and need no option:
  soa serve
For an editor on the other end of a socket:
  soa serve --tcp 127.0.0.1:2087
"""


@click.command(epilog=EXAMPLES, short_help="Run the language server for an editor.")
@click.option("--stdio", is_flag=True, help="Speak over standard input and output (the default).")
@click.option("--tcp", metavar="HOST:PORT", help="Listen on a socket instead, for one client.")
def command(stdio: bool, tcp: str | None) -> None:
    """Run the language server for an editor."""
    if tcp is None:
        sys.exit(serve_stdio())
    if stdio:
        raise click.UsageError("--stdio and --tcp exclude each other.")
    host, _, port = tcp.rpartition(":")
    if not port.isdigit() or not 0 <= int(port) < 65536:
        raise click.BadParameter("write it as HOST:PORT, like 127.0.0.1:2087.", param_hint="--tcp")
    sys.exit(serve_tcp(host.strip("[]") or "127.0.0.1", int(port)))
