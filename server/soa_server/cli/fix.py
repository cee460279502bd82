"""`soa fix`: find the functions behind failing tests and write them anew."""

from __future__ import annotations

import sys
from typing import Any

import click

from soa_server.cli import jobs, place
from soa_server.cli.options import job_options, output, workspace

EXAMPLES = """\b
Examples:
  soa fix                                       whatever fails in this workspace
  soa fix tests/test_slug.py::test_accents      one test, by pytest's node id
  soa fix --apply tests/test_slug.py            every failing test of a file
"""


@click.command(epilog=EXAMPLES, short_help="Repair the functions behind failing tests.")
@click.argument("nodeids", nargs=-1, metavar="[NODEID]...")
@job_options
def command(nodeids: tuple[str, ...], **options: Any) -> None:
    """Write the functions behind failing tests anew, until the tests pass.

    Without a NODEID all tests are run first. Test files are never changed. Nothing is written without
    --apply or --branch.
    """
    out = output(options)
    here = workspace(options)
    targets = [place.node_id(text, here.root, here.here) for text in nodeids]
    sys.exit(jobs.run(here, "fix", targets, out))
