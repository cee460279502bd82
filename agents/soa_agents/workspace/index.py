"""The facts of every file of a workspace, kept in SQLite between runs, and the agents that follow from them.

As a program it is the indexer: `python -m soa_agents.workspace.index --cache FILE FOLDER…` fills the cache at
low priority and exits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, file_facts
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import direct_tests
from soa_agents.workspace.snapshot import Snapshot, SourceFile, open_folders
from soa_agents.workspace.store import open_store

_VERSION = 3  # raised whenever `FileFacts` or what is read into it changes
_BATCH = 200  # files between two commits: an interrupted run keeps what it has
_TABLE = """
CREATE TABLE IF NOT EXISTS files (
    disk TEXT PRIMARY KEY, path TEXT, size INTEGER, mtime_ns INTEGER, digest TEXT, facts TEXT
) WITHOUT ROWID
"""


def scan(snapshot: Snapshot, cache: Path | None = None) -> dict[str, FileFacts]:
    """The facts of every Python file of the snapshot by path, those of unchanged files from `cache`.

    A missing, damaged or older cache is made anew without a word; a cache that cannot be written is not used.
    """
    listing = snapshot.python_files()
    store = open_store(cache, _VERSION, _TABLE)
    with closing(store):
        known = _known(store)
        return {file.path: facts for file, facts in _facts(snapshot, listing.files, known, store)}


def stored(snapshot: Snapshot, cache: Path) -> dict[str, FileFacts]:
    """What the cache knows of the snapshot's folders, by path, without a look at the disk's files."""
    if not cache.exists():
        return {}
    with closing(open_store(cache, _VERSION, _TABLE)) as store:
        rows = _known(store).values()
    found = {path: facts for path, *_, said in rows if (facts := _read(said)) is not None}
    return {path: facts for path, facts in found.items() if snapshot.folder(path) is not None}


def agents_map(graph: CallGraph, under: str | None = None) -> list[dict[str, Any]]:
    """The workspace's functions as agents, in the shape of `soa/agents`; those of test modules are left out.

    `under` keeps to one file. The status is `stub`, `untested`, or `unknown` until a run says more.
    """
    paths = sorted(graph.facts) if under is None else [under] if under in graph.facts else []
    return [
        _agent(graph, FunctionId(path, each.qualname), each.is_stub)
        for path in paths
        if not graph.facts[path].is_test
        for each in graph.facts[path].functions
    ]


def main(arguments: list[str] | None = None) -> int:
    """Fill the cache for the folders given; 0 at the end."""
    parser = argparse.ArgumentParser(description="Index Python folders for SoA.")
    parser.add_argument("--cache", type=Path, required=True, metavar="FILE")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    if hasattr(os, "nice"):
        os.nice(10)
    scan(Snapshot(open_folders(options.folders), exclude=tuple(options.exclude)), options.cache)
    return 0


def _agent(graph: CallGraph, function: FunctionId, is_stub: bool) -> dict[str, Any]:
    children = [each for each in graph.callees(function) if not graph.facts[each.path].is_test]
    tests = direct_tests(graph, function)
    return {
        "function": str(function),
        "role": "mother" if children else "child",
        "children": [str(each) for each in children],
        "tests": list(tests),
        "status": "stub" if is_stub else "unknown" if tests else "untested",
    }


def _facts(
    snapshot: Snapshot,
    files: Iterable[SourceFile],
    known: Mapping[str, tuple[Any, ...]],
    store: sqlite3.Connection,
) -> Iterator[tuple[SourceFile, FileFacts]]:
    """The facts file by file; what had to be read anew goes into the store."""
    pending = []
    for file in files:
        row = known.get(str(file.disk))
        kept = _kept(row, file) if row and file.path not in snapshot.buffers else None
        if kept is None:
            text = snapshot.text(file.path)
            if text is None:
                continue
            digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
            kept = _kept(row, file, digest) if row else None
            kept = kept or file_facts(file.path, text)
            if file.path not in snapshot.buffers:
                pending.append(_row(file, digest, kept))
        yield file, kept
        if len(pending) >= _BATCH:
            _keep(store, pending)
            pending = []
    _keep(store, pending)
    gone = set(known) - {str(file.disk) for file in files}
    _forget(
        store, [disk for disk in gone if any(Path(disk).is_relative_to(f.root) for f in snapshot.folders)]
    )


def _kept(row: tuple[Any, ...], file: SourceFile, digest: str | None = None) -> FileFacts | None:
    """The facts of a row, when it is of this file as it is: same size and time, or same digest."""
    path, size, mtime_ns, seen, facts = row
    same = digest == seen if digest else (size, mtime_ns) == (file.size, file.mtime_ns)
    if path != file.path or not same:
        return None
    return _read(facts)


def _read(said: str) -> FileFacts | None:
    try:
        path, is_test, functions, classes, imports, uses = json.loads(said)
        return FileFacts(
            path,
            is_test,
            tuple(
                FunctionFact(name, line, owner, stub, tuple(used))
                for name, line, owner, stub, used in functions
            ),
            tuple(ClassFact(name, tuple(bases), tuple(used)) for name, bases, used in classes),
            tuple(Import(*each) for each in imports),
            tuple(uses),
        )
    except (ValueError, TypeError):
        return None


def _said(facts: FileFacts) -> str:
    """Lists without the fields' names, which are most of the text; `_VERSION` says what they mean."""
    functions = [[f.qualname, f.line, f.owner, f.is_stub, f.uses] for f in facts.functions]
    classes = [[c.qualname, c.bases, c.uses] for c in facts.classes]
    imports = [[i.name, i.module, i.attribute] for i in facts.imports]
    whole = [facts.path, facts.is_test, functions, classes, imports, facts.uses]
    return json.dumps(whole, separators=(",", ":"))


def _row(file: SourceFile, digest: str, facts: FileFacts) -> tuple[Any, ...]:
    return (str(file.disk), file.path, file.size, file.mtime_ns, digest, _said(facts))


def _known(store: sqlite3.Connection) -> dict[str, tuple[Any, ...]]:
    try:
        rows = store.execute("SELECT disk, path, size, mtime_ns, digest, facts FROM files")
        return {disk: tuple(rest) for disk, *rest in rows}
    except sqlite3.DatabaseError:
        return {}


def _keep(store: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    with suppress(sqlite3.DatabaseError), store:  # a cache that cannot be written only costs time
        store.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)


def _forget(store: sqlite3.Connection, disks: list[str]) -> None:
    with suppress(sqlite3.DatabaseError), store:
        store.executemany("DELETE FROM files WHERE disk = ?", [(disk,) for disk in disks])


if __name__ == "__main__":
    raise SystemExit(main())
