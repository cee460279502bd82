"""`soa bench`: what can be measured, each in a module of its own."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = ("humaneval", "verify")


class Benches(click.Group):
    """The measurements of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The measurement of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"soa_server.cli.bench_{cmd_name}").command
        return command


@click.command(cls=Benches, short_help="Measure SoA itself.")
def command() -> None:
    """Measure SoA itself on this machine."""
