"""`soa generate`: write stubs, or write functions anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from soa_agents.swarm.job import JobKind
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import read_text

from soa_server.cli import jobs, place
from soa_server.cli.options import Workspace, job_options, output, workspace

EXAMPLES = """\b
Examples:
  soa generate billing/invoice.py::total_due          print the diff
  soa generate --apply app.py::Cart.total app.py::f   write both when they are proven
  soa generate --all-stubs billing/invoice.py         every stub of a file in one edit
  soa generate --all-stubs --branch soa/stubs         every stub here, on a new branch
  soa generate --json app.py::f > result.json         for a script
"""


@click.command(epilog=EXAMPLES, short_help="Write stubs, or write functions anew.")
@click.argument("ids", nargs=-1, metavar="[PATH::NAME]...")
@click.option(
    "--all-stubs",
    is_flag=True,
    help="Write every stub: in the files and folders named, or in the whole workspace.",
)
@job_options
def command(ids: tuple[str, ...], all_stubs: bool, **options: Any) -> None:
    """Write the functions named, with agents, until their tests pass.

    A stub is written; a function with a body is written anew. Nothing is changed without --apply or
    --branch: the diff is printed on stdout, progress goes to stderr.
    """
    if not ids and not all_stubs:
        raise click.UsageError("Name functions as PATH::NAME, or give --all-stubs [PATH].")
    out = output(options)
    here = workspace(options)
    if all_stubs:
        paths = [place.file_or_folder(path, here.root, here.here) for path in ids]
        sys.exit(jobs.run(here, "implementFile", [] if "." in paths else paths, out))
    targets = [place.function_id(text, here.root, here.here) for text in ids]
    sys.exit(jobs.run(here, kind_of(here, targets), [str(target) for target in targets], out))


def kind_of(here: Workspace, targets: Sequence[FunctionId]) -> JobKind:
    """`regenerate` when every target has a body already; the engine says which one does not exist."""
    paths = {target.path for target in targets}
    found = [f for path in paths for f in functions(path, read_text(here.root / path) or "")]
    named = [f for f in found if f.id in targets]
    return "regenerate" if named and not any(f.is_stub for f in named) else "generate"
