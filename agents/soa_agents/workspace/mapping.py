"""The functions of a workspace as agents, kept beside the index: an answer costs a look into a table.

As a program it is the indexer: `python -m soa_agents.workspace.mapping --cache FILE FOLDER…` brings the cache
up to the disk at low priority and exits. With `--ask` it answers one question about open buffers instead: an
object of `buffers` (path -> text) and `under` on its input, the agents as a list on its output.
"""

from __future__ import annotations

import argparse
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
from soa_agents.workspace.index import Changes, buffered, known_facts, note, noted, open_index, update
from soa_agents.workspace.reaching import direct_tests
from soa_agents.workspace.snapshot import Snapshot, open_folders

Agent = dict[str, Any]
_FEW = 50  # changed files; of more, everything is mapped anew


def agents_map(graph: CallGraph, under: str | None = None) -> list[Agent]:
    """The workspace's functions as agents, in the shape of `soa/agents`; those of test modules are left out.

    `under` keeps to one file. The status is `stub`, `untested`, or `unknown` until a run says more.
    """
    paths = sorted(graph.facts) if under is None else [under] if under in graph.facts else []
    return [agent for path in paths for agent in _agents_of(graph, path)]


def refresh(snapshot: Snapshot, cache: Path) -> Mapping[str, int]:
    """Bring index and map up to the disk; how many files were left out, by reason."""
    with closing(open_index(cache)) as store:
        mapped = noted(store, "mapped") is not None
        changes = update(snapshot, store)
        if changes.files or not mapped:
            facts = known_facts(snapshot, store)
            _map(store, facts, _affected(changes, facts) if mapped else None)
        note(store, "mapped", "yes")
        note(store, "skipped", json.dumps(dict(changes.skipped)))
        return changes.skipped


def kept_agents(cache: Path, under: str | None = None) -> list[Agent]:
    """The agents as the last `refresh` mapped them, of all files or of one."""
    if not cache.exists():
        return []
    query, given = "SELECT said FROM agents ORDER BY path", ()
    if under is not None:
        query, given = "SELECT said FROM agents WHERE path = ?", (under,)  # type: ignore[assignment]
    with (
        suppress(sqlite3.DatabaseError),
        closing(sqlite3.connect(f"{cache.as_uri()}?mode=ro", uri=True)) as store,
    ):
        return [
            agent for (said,) in store.execute(query, given) for agent in json.loads(zlib.decompress(said))
        ]
    return []


def asked_agents(snapshot: Snapshot, cache: Path, under: str | None = None) -> list[Agent]:
    """The agents with the snapshot's buffers laid over what is indexed."""
    with closing(open_index(cache)) as store:
        facts = {**known_facts(snapshot, store), **buffered(snapshot)}
    return agents_map(CallGraph(facts), under)


def main(arguments: list[str] | None = None) -> int:
    """Bring the cache of the folders given up to the disk, or answer a question; 0 at the end."""
    parser = argparse.ArgumentParser(description="Index Python folders for SoA.")
    parser.add_argument("--cache", type=Path, required=True, metavar="FILE")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--ask", action="store_true", help="answer the question on the input")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        os.nice(10)
    folders, exclude = open_folders(options.folders), tuple(options.exclude)
    if not options.ask:
        refresh(Snapshot(folders, exclude=exclude), options.cache)
        return 0
    question = json.load(sys.stdin)
    snapshot = Snapshot(folders, question["buffers"], exclude)
    json.dump(asked_agents(snapshot, options.cache, question["under"]), sys.stdout)
    return 0


def _agents_of(graph: CallGraph, path: str) -> Iterator[Agent]:
    if not graph.facts[path].is_test:
        for each in graph.facts[path].functions:
            yield _agent(graph, FunctionId(path, each.qualname), each.is_stub)


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


def _map(store: sqlite3.Connection, facts: Mapping[str, FileFacts], paths: Iterable[str] | None) -> None:
    """Keep the agents of these files, or of all of them."""
    graph = CallGraph(facts)
    wanted = sorted(facts if paths is None else set(paths) & facts.keys())
    rows = ((path, _packed(found)) for path in wanted if (found := list(_agents_of(graph, path))))
    with suppress(sqlite3.DatabaseError), store:
        if paths is None:
            store.execute("DELETE FROM agents")
        else:
            store.executemany("DELETE FROM agents WHERE path = ?", [(path,) for path in paths])
        store.executemany("INSERT INTO agents VALUES (?, ?)", rows)


def _packed(agents: list[Agent]) -> bytes:
    """Tests of well-used names are listed again and again: a tenth of the room."""
    return zlib.compress(json.dumps(agents).encode(), 1)


def _affected(changes: Changes, facts: Mapping[str, FileFacts]) -> set[str] | None:
    """The files whose agents may be others now; None for all.

    Where what a file defines and imports is as it was, only its own functions can have other children, and
    only what its code names, or named, can have other tests. A class's name may stand for methods elsewhere.
    """
    if len(changes.files) > _FEW:
        return None
    names: set[str] = set()
    for before, after in changes.files.values():
        if before is None or after is None or _offered(before) != _offered(after):
            return None
        names |= {name for _, name in _named(before) ^ _named(after)}
    if any(each.qualname.rpartition(".")[2] in names for file in facts.values() for each in file.classes):
        return None
    users = {path for path, file in facts.items() if any(_last(f.qualname) in names for f in file.functions)}
    return users | set(changes.files)


def _offered(facts: FileFacts) -> tuple[Any, ...]:
    classes = [(each.qualname, each.bases) for each in facts.classes]
    return facts.is_test, facts.imports, classes, [(each.qualname, each.owner) for each in facts.functions]


def _named(facts: FileFacts) -> set[tuple[str, str]]:
    """Who names what in a file, by every part of a dotted name."""
    code = [("", facts.uses), *((each.qualname, each.uses) for each in facts.classes)]
    code += [(each.qualname, each.uses) for each in facts.functions]
    return {(who, part) for who, uses in code for use in uses for part in use.split(".")}


def _last(qualname: str) -> str:
    return qualname.rpartition(".")[2].partition("#")[0]


if __name__ == "__main__":
    raise SystemExit(main())
