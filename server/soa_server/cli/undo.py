"""`soa undo`: take back what a job wrote."""

from __future__ import annotations

from pathlib import Path

import click
from soa_agents.swarm.events import JobRequested
from soa_agents.workspace.snapshot import Folder, Snapshot

from soa_server.cli import exits, show, write
from soa_server.cli.options import workspace
from soa_server.cli.past import job_of

EXAMPLES = """\b
Examples:
  soa undo 3f2a                print the diff that takes it back
  soa undo --apply 3f2a        write it
"""


@click.command(epilog=EXAMPLES, short_help="Take back what a job wrote.")
@click.argument("job")
@click.option("--apply", is_flag=True, help="Write the files; without it the diff is only printed.")
def command(job: str, apply: bool) -> None:
    """Print the inverse of what a job wrote, or write it.

    Edits that you made elsewhere in the same files stay. It is refused when what the job wrote was edited
    since.
    """
    from soa_agents.jobs.undo import undo

    with job_of(workspace().root, job) as (ledger, entry):
        events = tuple(ledger.events(entry.id))
    folders = next(e.start.folders for e in events if isinstance(e, JobRequested))
    snapshot = Snapshot(tuple(Folder(f.name, Path(f.root)) for f in folders))
    patch, texts = undo(events, snapshot.text)
    show.console().print(show.diff(patch.unified(texts)), end="")
    if apply:
        exits.say(write.back(snapshot, patch, texts))
