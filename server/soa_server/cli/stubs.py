"""`soa stubs`: typed stubs from a docstring."""

from __future__ import annotations

import sys
from typing import Any

import click
from soa_agents.workspace.ids import FunctionId

from soa_server.cli import jobs, place
from soa_server.cli.options import job_options, output, workspace

EXAMPLES = """\b
Examples:
  soa stubs shop/stock.py                 from the module's docstring
  soa stubs shop/stock.py::Shelf          from a class's docstring
  soa stubs --apply shop/stock.py && soa generate --all-stubs shop/stock.py
"""


@click.command(epilog=EXAMPLES, short_help="Write typed stubs from a docstring.")
@click.argument("target", metavar="FILE[::NAME]")
@job_options
def command(target: str, **options: Any) -> None:
    """Write typed stubs with docstrings from what a module's, class's or function's docstring describes."""
    out = output(options)
    here = workspace(options)
    spelled = target if "::" in target else f"{target}::{FunctionId.MODULE}"
    found = place.function_id(spelled, here.root, here.here)
    sys.exit(jobs.run(here, "stubs", [str(found)], out))
