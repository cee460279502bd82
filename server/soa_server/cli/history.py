"""`soa history`: the jobs of this workspace, and one of them in full."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.text import Text
from soa_agents.swarm.ledger import Entry, Ledger, path_of

from soa_server.cli import board as boards
from soa_server.cli import exits, reports, show, words
from soa_server.cli.options import REPORT, report_file, workspace
from soa_server.cli.past import job_of

if TYPE_CHECKING:
    from soa_agents.jobs.history import Story

HEAD = ("JOB", "WHEN", "KIND", "TARGET", "VERDICT", "AGENTS", "CALLS", "TOKENS", "COST")
LEFT = 5  # columns that are texts; the others are numbers

EXAMPLES = """\b
Examples:
  soa history                  what was generated here in the last 30 days
  soa history 3f2a             one job, by the beginning of its id: its agents, what each round changed
  soa history 3f2a --report a.html   the same as a page with charts
  soa history --json           for a script
  soa history --clear          forget every job that is not running
"""


@click.command(epilog=EXAMPLES, short_help="Show the jobs of this workspace.")
@click.argument("job", default="", metavar="[JOB]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
@click.option("--report", metavar="FILE", help=REPORT)
@click.option("--clear", is_flag=True, help="Forget every job that is not running, prompts and replies too.")
def command(job: str, as_json: bool, report: str | None, clear: bool) -> None:
    """Print the jobs of this workspace, the newest first; with JOB the agents of one and their revisions.

    Jobs are kept for 30 days, with prompts, replies and test reports, in a file that only you can read.
    """
    root = workspace().root
    if clear and (job or as_json or report):
        raise click.UsageError("--clear stands alone: it forgets all jobs.")
    if report and not job:
        raise click.UsageError("--report is about one job: name it.")
    if job:
        file = report_file(report)
        with job_of(root, job) as (ledger, entry):
            if file:
                exits.say(reports.write(ledger, entry.id, file))
            else:
                _one(ledger, entry, as_json)
        return
    if not path_of(root).exists():  # looking makes no ledger
        _nothing(as_json)
        return
    with closing(Ledger.of(root)) as ledger:
        if clear:
            exits.say(f"Forgot {words.several(ledger.clear(), 'job')} of this workspace.")
        else:
            _all(ledger, as_json)


def _nothing(as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"jobs": []}))
    else:
        exits.say("No job has run in this workspace yet. Start one with soa generate.")


def _all(ledger: Ledger, as_json: bool) -> None:
    entries = ledger.entries()
    if as_json:
        click.echo(json.dumps({"jobs": [_plain(ledger, entry) for entry in entries]}, ensure_ascii=False))
        return
    if not entries:
        _nothing(as_json)
        return
    rows = [HEAD, *(_row(ledger, entry) for entry in entries)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    out = show.console()
    for row in rows:
        cells = [
            cell.ljust(width) if column < LEFT else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        out.print(Text("  ".join(cells).rstrip(), "bold" if row is HEAD else ""))


def _row(ledger: Ledger, entry: Entry) -> tuple[str, ...]:
    usage = entry.last.usage
    cost = usage.cost_usd if usage else None
    return (
        entry.id[:12],
        _when(entry.started),
        entry.last.kind,
        entry.last.target or "the workspace",
        _verdict(ledger, entry),
        str(entry.agents),
        str(usage.calls if usage else 0),
        words.short(usage.tokens if usage else 0),
        "–" if cost is None else f"${cost:.2f}",
    )


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _verdict(ledger: Ledger, entry: Entry) -> str:
    if not entry.ended:
        return "running" if ledger.is_running(entry.id) else "interrupted"
    return (entry.last.state == "done" and entry.last.verdict) or entry.last.state


def _plain(ledger: Ledger, entry: Entry) -> dict[str, Any]:
    from soa_agents.wire import params

    update = entry.last
    if _verdict(ledger, entry) == "interrupted":
        update = replace(update, message=interrupted(entry))
    return params(update)


def interrupted(entry: Entry) -> str:
    """The sentence for a job that was cut off."""
    return (
        f"SoA was interrupted at step {max(entry.calls, 1)} of {words.name(entry.last.target)}; its replies "
        f"are kept. Go on with soa resume {entry.id[:12]}."
    )


def _one(ledger: Ledger, entry: Entry, as_json: bool) -> None:
    from soa_agents.jobs.history import story

    told = story(tuple(ledger.events(entry.id)))
    if as_json:
        from soa_agents.wire import params, to_json

        last = {update.agent_id: params(update) for update in told.updates}
        whole = {
            "jobs": [_plain(ledger, entry)],
            "agents": list(last.values()),
            "revisions": [to_json(revision) for revision in told.revisions],
            "patch": told.diff,
        }
        click.echo(json.dumps(whole, ensure_ascii=False))
        return
    out = show.console()
    what = f"{entry.last.kind} {entry.last.target}".rstrip()
    out.print(Text(f"{what}   {_verdict(ledger, entry)}   {_when(entry.started)}   {entry.id}", "bold"))
    out.print(Text(entry.last.message if entry.ended else interrupted(entry)))
    _print_story(out, told)


def _print_story(out: Console, told: Story) -> None:
    board = boards.Board()
    for update in told.updates:
        board = boards.heard(board, update)
    for line in boards.lines(board):
        out.print(show.coloured(line))
    for agent in board.agents.values():
        own = [revision for revision in told.revisions if revision.agent == agent.id]
        if own:
            out.print(Text(f"\n{agent.name}", "bold"))
        for revision in own:
            when = f", round {revision.round}" if revision.round else ""
            out.print(Text(f"  {revision.step}{when}{'' if revision.diff else ': no change'}"))
            out.print(show.diff(revision.diff, "    "), end="")
    if told.diff:
        out.print(Text("\nresult", "bold"))
        out.print(show.diff(told.diff, "  "), end="")
