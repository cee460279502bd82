"""`soa agents`: the workspace's functions as agents, by file, stubs and failures first in sight."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import click
from rich.text import Text
from soa_agents.verify.testmap import as_seen
from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.index import scan
from soa_agents.workspace.mapping import agents_map
from soa_agents.workspace.snapshot import Snapshot, open_folders
from soa_agents.workspace.store import cache_file

from soa_server.cli import exits, jobs, place, show, words
from soa_server.cli.options import Workspace, workspace

MARKS = {"stub": "◦ stub", "passing": "✓", "failing": "✗ failing", "untested": "? untested", "unknown": ""}

LEFT_OUT = "Left out: calls on values whose class no name, import or annotation in the text tells."

EXAMPLES = """\b
Examples:
  soa agents                        everything, by file
  soa agents --stubs billing        what is still to be written below billing/
  soa agents --json | jq .agents    for a script
"""


@click.command(epilog=EXAMPLES, short_help="Show the functions and how they stand.")
@click.argument("path", default=".", metavar="[PATH]")
@click.option("--stubs", is_flag=True, help="Only functions that are still stubs.")
@click.option("--failing", is_flag=True, help="Run all tests and keep the functions behind failing ones.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else.")
def command(path: str, stubs: bool, failing: bool, as_json: bool) -> None:
    """Print the functions of the workspace as agents: whose children they are, and how they stand.

    Nothing is executed without --failing: tests are those that use a function, as read from the files, or
    were seen to run it. Calls are followed through imports, self and annotated names; on a value whose class
    the text does not name they are left out.
    """
    here = workspace()
    wanted = {name for name, on in (("stub", stubs), ("failing", failing)) if on}
    below = place.file_or_folder(path, here.root, here.here)
    known = _tested(here) if failing else _agents(here)
    agents = [a for a in known if _inside(a, below) and (not wanted or a["status"] in wanted)]
    if as_json:
        click.echo(json.dumps({"agents": agents, "complete": True}, ensure_ascii=False))
        return
    out = show.console()
    for file, members in groupby(agents, key=lambda agent: FunctionId.parse(agent["function"]).path):
        out.print(Text(file, "bold"))
        for line in _lines(list(members)):
            out.print(show.coloured(line))
    out.print(Text(_counts(agents)))
    out.print(Text(LEFT_OUT, "dim"))


def _agents(here: Workspace) -> list[dict[str, Any]]:
    snapshot = Snapshot(open_folders([here.root]), exclude=here.settings.index_exclude)
    agents = agents_map(CallGraph(scan(snapshot, cache_file(snapshot.folders))))
    return as_seen(agents, cache_file(snapshot.folders, "tests"), snapshot.text)


def _tested(here: Workspace) -> list[dict[str, Any]]:
    """The agents with what a run of all tests says of them. Ends the command when the tests cannot be run."""
    result, _ = jobs.ran(here, "runTests", ["."])
    if result.update.state != "done":
        exits.say(result.update.message)
        sys.exit(result.exit_code)
    behind = {failure.suspect for failure in result.failures}
    passing = {nodeid.partition("[")[0] for nodeid in result.passing}
    known = []
    for agent in _agents(here):
        passes = agent["status"] == "unknown" and passing.issuperset(agent["tests"])
        status = "failing" if agent["function"] in behind else "passing" if passes else agent["status"]
        known.append({**agent, "status": status})
    return known


def _inside(agent: Mapping[str, Any], below: str) -> bool:
    path = FunctionId.parse(agent["function"]).path
    return below == "." or path == below or path.startswith(f"{below}/")


def _lines(members: list[dict[str, Any]]) -> Iterable[str]:
    """One line a function, in file order, nested functions below the one they stand in."""
    names = [FunctionId.parse(agent["function"]).qualname for agent in members]
    width = max(len(name) for name in names)
    for agent, name in zip(members, names, strict=True):
        branch = "└─" if agent is members[-1] else "├─"
        status = MARKS[agent["status"]]
        yield f"{branch} {name:<{width}}  {status:<10}  {agent['role'].title():<6}  {_tests(agent)}".rstrip()


def _tests(agent: Mapping[str, Any]) -> str:
    return words.several(len(agent["tests"]), "test") if agent["tests"] else ""


def _counts(agents: list[dict[str, Any]]) -> str:
    """`12 functions: 2 stubs, 1 failing`."""
    tally = Counter(agent["status"] for agent in agents)
    parts = [words.several(tally["stub"], "stub")] if tally["stub"] else []
    parts += [f"{tally[status]} {status}" for status in ("failing", "passing", "untested") if tally[status]]
    return words.several(len(agents), "function") + (": " + ", ".join(parts) if parts else "")
