"""`soa resume`: go on with a job that was cut off."""

from __future__ import annotations

import sys
from typing import Any

import click
from soa_agents.errors import Refused
from soa_agents.swarm.events import JobRequested
from soa_agents.swarm.job import StartJob, resumed

from soa_server.cli import jobs
from soa_server.cli.options import Workspace, output, ray_option, result_options, workspace
from soa_server.cli.past import job_of

EXAMPLES = """\b
Examples:
  soa history                  which jobs were interrupted
  soa resume 3f2a              go on with one, by the beginning of its id; print the diff
  soa resume --apply 3f2a      write the result when it is proven
"""


@click.command(epilog=EXAMPLES, short_help="Go on with an interrupted job.")
@click.argument("job")
@ray_option
@result_options
def command(job: str, **options: Any) -> None:
    """Go on with a job whose process was ended before the job was.

    Replies that came before are not asked for again; what was in flight is. The job keeps its own settings
    and limits; the model is asked where the settings of now say, and tests run where --ray says, or here. It
    is refused when a file that it may write has changed meanwhile.
    """
    out = output(options)
    here = workspace({"ray": options["ray"]})
    start = resumed(_asked_for(here, job), here.settings.model, {}, here.ray)
    sys.exit(jobs.run_start(here, start, here.key, out))


def _asked_for(here: Workspace, name: str) -> StartJob:
    """What the job was started with. Raises `UsageError` for an unknown one."""
    with job_of(here.root, name) as (ledger, entry):
        start = next(e.start for e in ledger.events(entry.id) if isinstance(e, JobRequested))
    if len(start.folders) > 1:
        raise Refused("This job belongs to an editor's workspace of several folders. Resume it there.")
    return start
