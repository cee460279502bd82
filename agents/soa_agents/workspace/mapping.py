"""The functions of a workspace as agents: found when they are asked for, from what the index knows.

As a program it is the indexer: `python -m soa_agents.workspace.mapping --cache FILE FOLDER…` brings the cache
up to the disk at low priority and exits; the agents of files that are `--open` are kept beside it, so that an
answer costs one look into a table. With `--ask` it answers one question instead: an object of `buffers`
(path -> text) and `under` on its input, the agents as a list on its output.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.facts import FileFacts
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.index import Indexed, buffered, note, open_index, turn, update
from soa_agents.workspace.reaching import direct_tests
from soa_agents.workspace.snapshot import Snapshot, open_folders

Agent = dict[str, Any]
_ALL = ""  # in a path's place
_HELD = 100  # files whose names and uses are remembered while agents are looked up
_AGENTS = """
SELECT said, turn = COALESCE((SELECT CAST(said AS INTEGER) FROM state WHERE name = 'turn'), 0)
FROM agents WHERE path = ?
"""


def agents_map(graph: CallGraph, under: str | None = None) -> list[Agent]:
    """The workspace's functions as agents, in the shape of `soa/agents`; those of test modules are left out.

    `under` keeps to one file. The status is `stub`, `untested`, or `unknown` until a run says more.
    """
    paths = sorted(graph.facts) if under is None else [under] if under in graph.facts else []
    graph.look_for(name for path in paths for name in _names_in(graph.facts[path]))
    return [agent for path in paths for agent in _agents_of(graph, path)]


def refresh(snapshot: Snapshot, cache: Path, wanted: Iterable[str] = ()) -> Mapping[str, int]:
    """Bring the index up to the disk, and what is kept of the agents in the files that are `wanted`.

    Gives how many files were left out, by reason.
    """
    with closing(open_index(cache)) as store:
        changes = update(snapshot, store)
        note(store, "skipped", json.dumps(dict(changes.skipped)))
        now = turn(store)
        known = {path for (path,) in store.execute("SELECT path FROM agents WHERE turn = ?", (now,))}
        stale = sorted(set(wanted) - known)
        if stale:
            facts = Indexed(snapshot, store, {})
            graph = CallGraph(facts, facts.survey(), _HELD)
            for path in stale:
                _keep(store, path, agents_map(graph, path))
            facts.keep()
        return changes.skipped


def kept_agents(cache: Path, under: str | None) -> tuple[list[Agent], bool]:
    """The agents of a file, or of all, as they were last mapped; and whether nothing has changed since."""
    for said, current in _kept(cache, _AGENTS, under or _ALL):
        return json.loads(zlib.decompress(said)), bool(current)
    return [], False


def kept_stubs(cache: Path) -> tuple[tuple[str, str, int], ...]:
    """The stubs outside tests as they were last indexed: path, qualified name, 1-based line."""
    return tuple(_kept(cache, "SELECT path, qualname, line FROM stubs ORDER BY path, line"))


def asked_agents(snapshot: Snapshot, cache: Path, under: str | None = None) -> list[Agent]:
    """The agents with the snapshot's buffers laid over what is indexed, of a file or of all."""
    with closing(open_index(cache)) as store:
        over = buffered(snapshot)
        facts = Indexed(snapshot, store, over)
        found = agents_map(CallGraph(facts, facts.survey(), _HELD), under)
        facts.keep()
        if not over:
            _keep(store, under or _ALL, found)
        return found


def main(arguments: list[str] | None = None) -> int:
    """Bring the cache of the folders given up to the disk, or answer a question; 0 at the end."""
    parser = argparse.ArgumentParser(description="Index Python folders for SoA.")
    parser.add_argument("--cache", type=Path, required=True, metavar="FILE")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--open", action="append", default=[], metavar="PATH")
    parser.add_argument("--ask", action="store_true", help="answer the question on the input")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        os.nice(10)
    gc.disable()  # the process ends soon, and nothing it makes is circular
    folders, exclude = open_folders(options.folders), tuple(options.exclude)
    if not options.ask:
        refresh(Snapshot(folders, exclude=exclude), options.cache, options.open)
        return 0
    question = json.load(sys.stdin)
    snapshot = Snapshot(folders, question["buffers"], exclude)
    json.dump(asked_agents(snapshot, options.cache, question["under"]), sys.stdout)
    return 0


def _kept(cache: Path, query: str, *given: str) -> list[Any]:
    """Rows of the cache, which somebody else may write just now; none of one that cannot be read."""
    if not cache.exists():
        return []
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(f"{cache.as_uri()}?mode=ro", uri=True)) as store,
    ):
        return store.execute(query, given).fetchall()
    return []


def _agents_of(graph: CallGraph, path: str) -> Iterator[Agent]:
    if not graph.facts[path].is_test:
        for each in graph.facts[path].functions:
            yield _agent(graph, FunctionId(path, each.qualname), each.is_stub)


def _names_in(facts: FileFacts) -> Iterator[str]:
    """The names by which what a file holds is used."""
    if not facts.is_test:
        for qualname in (each.qualname for kind in (facts.functions, facts.classes) for each in kind):
            yield FunctionId(facts.path, qualname).name


def _agent(graph: CallGraph, function: FunctionId, is_stub: bool) -> Agent:
    children = [each for each in graph.callees(function) if not graph.facts[each.path].is_test]
    tests = direct_tests(graph, function)
    return {
        "function": str(function),
        "role": "mother" if children else "child",
        "children": [str(each) for each in children],
        "tests": list(tests),
        "status": "stub" if is_stub else "unknown" if tests else "untested",
    }


def _keep(store: sqlite3.Connection, path: str, agents: list[Agent]) -> None:
    """Tests of well-used names are listed again and again: packed, they take a tenth of the room."""
    packed = zlib.compress(json.dumps(agents).encode(), 1)
    with suppress(sqlite3.DatabaseError), store:
        store.execute("INSERT OR REPLACE INTO agents VALUES (?, ?, ?)", (path, turn(store), packed))


if __name__ == "__main__":
    raise SystemExit(main())
