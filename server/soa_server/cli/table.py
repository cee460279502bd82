"""`soa`: the table of commands, each in a module of its own that is loaded when it is named."""

from __future__ import annotations

from importlib import import_module

import click

from soa_server.cli import exits

COMMANDS = (
    *("generate", "fix", "stubs", "agents", "explain"),
    *("history", "resume", "undo"),
    *("demo", "doctor", "serve", "bench"),
)

EXAMPLES = """\b
Examples:
  soa demo                                      see it work, without a key
  soa doctor                                    what is found here, what is missing
  soa generate billing/invoice.py::total_due    write a stub, print the diff
  soa generate --apply app.py::Cart.total       write it into the file
  soa fix                                       repair what fails in this workspace
  soa agents --stubs                            what is still to be written
  soa history                                   what was generated, what was interrupted

Exit codes: 0 done · 1 not proven or refused · 2 wrong usage · 3 no model · 130 cancelled
"""


class Commands(click.Group):
    """The commands of the table; what they raise ends as one sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"soa_server.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and leave by the exit code of the way it ended."""
        with exits.as_sentences():
            return super().invoke(ctx)


@click.command(cls=Commands, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="soa-language-server", prog_name="soa")
def soa() -> None:
    """Write Python functions with Mother and Child agents, proven by the workspace's own tests.

    A function is named PATH::NAME, like billing/invoice.py::total_due or app.py::Cart.total. The workspace
    is the nearest folder above the current one with a .git or a pyproject.toml, else the current one.
    """
