"""The facts of every file of a workspace, kept in SQLite between runs: only what changed is read again."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from sys import intern
from typing import Any

from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, file_facts
from soa_agents.workspace.snapshot import Snapshot, SourceFile, read_text
from soa_agents.workspace.store import open_store

_VERSION = 4  # raised whenever a table, `FileFacts` or what is read into it changes
_BATCH = 200  # files between two commits: an interrupted run keeps what it has
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    disk TEXT PRIMARY KEY, path TEXT, size INTEGER, mtime_ns INTEGER, digest TEXT, facts TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents (path TEXT PRIMARY KEY, said BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, said TEXT) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Changes:
    """What an update found: the facts before and after by path; None where there was or is no such file."""

    files: Mapping[str, tuple[FileFacts | None, FileFacts | None]] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)  # files left out, by reason


def open_index(cache: Path | None) -> sqlite3.Connection:
    """The store; a missing, damaged or older one is made anew without a word, in memory if need be."""
    return open_store(cache, _VERSION, _TABLES)


def scan(snapshot: Snapshot, cache: Path | None = None) -> dict[str, FileFacts]:
    """The facts of every Python file of the snapshot by path, those of unchanged files from `cache`."""
    with closing(open_index(cache)) as store:
        update(snapshot, store)
        return {**known_facts(snapshot, store), **buffered(snapshot)}


def update(snapshot: Snapshot, store: sqlite3.Connection) -> Changes:
    """Bring the store up to the disk; open buffers do not count. A change makes the map of agents old."""
    listing = snapshot.python_files()
    known = _stamps(store)
    skipped = dict(listing.skipped)
    changed: dict[str, tuple[FileFacts | None, FileFacts | None]] = {}
    pending: list[tuple[Any, ...]] = []
    here = set()
    for file in listing.files:
        disk = str(file.disk)
        here.add(disk)
        if known.get(disk) == (file.path, file.size, file.mtime_ns):
            continue
        text = read_text(file.disk)
        if text is None:
            here.discard(disk)
            if file.path not in snapshot.buffers:
                skipped["unreadable or binary"] = skipped.get("unreadable or binary", 0) + 1
            continue
        before, row = _row_before(store, file, text)
        after = before if before is not None and row[-1] is not None else file_facts(file.path, text)
        pending.append(row if row[-1] is not None else (*row[:-1], _said(after)))
        if after != before:
            changed[file.path] = before, after
        if len(pending) >= _BATCH:
            _keep(store, pending)
            pending = []
    _keep(store, pending)
    gone = {disk: path for disk, (path, *_) in known.items() if disk not in here and _ours(snapshot, disk)}
    changed |= {path: (before, None) for path in gone.values() if (before := _facts_of(store, path))}
    _forget(store, list(gone))
    if changed:
        note(store, "mapped", None)
    return Changes(changed, skipped)


def stored(snapshot: Snapshot, cache: Path) -> dict[str, FileFacts]:
    """What the cache knows of the snapshot's folders, by path, without a look at the disk's files."""
    if not cache.exists():
        return {}
    with closing(open_index(cache)) as store:
        return known_facts(snapshot, store)


def buffered(snapshot: Snapshot) -> dict[str, FileFacts]:
    """The facts of the open buffers."""
    return {path: file_facts(path, text) for path, text in snapshot.buffers.items() if path.endswith(".py")}


def known_facts(snapshot: Snapshot, store: sqlite3.Connection) -> dict[str, FileFacts]:
    """The facts in the store that belong to the snapshot's folders; for a damaged row the file is read."""
    found: dict[str, FileFacts] = {}
    try:
        rows = store.execute("SELECT path, facts FROM files ORDER BY path").fetchall()
    except sqlite3.DatabaseError:
        rows = []
    for path, said in rows:
        if snapshot.folder(path) is not None:
            facts = _read(said)
            if facts is None and (text := snapshot.text(path)) is not None:
                facts = file_facts(path, text)
            if facts is not None:
                found[path] = facts
    return found


def note(store: sqlite3.Connection, name: str, said: str | None) -> None:
    """Keep a word about the store as a whole; None takes it back."""
    with suppress(sqlite3.DatabaseError), store:
        store.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, said))


def noted(store: sqlite3.Connection, name: str) -> str | None:
    """What was kept by `note`."""
    with suppress(sqlite3.DatabaseError):
        for (said,) in store.execute("SELECT said FROM state WHERE name = ?", (name,)):
            return str(said) if said is not None else None
    return None


def _stamps(store: sqlite3.Connection) -> dict[str, tuple[str, int, int]]:
    """Path, size and time of every file, without its facts."""
    try:
        rows = store.execute("SELECT disk, path, size, mtime_ns FROM files")
        return {disk: (path, size, mtime_ns) for disk, path, size, mtime_ns in rows}
    except sqlite3.DatabaseError:
        return {}


def _row_before(
    store: sqlite3.Connection, file: SourceFile, text: str
) -> tuple[FileFacts | None, tuple[Any, ...]]:
    """The facts kept of a file, and its new row: without facts unless the text is the same."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    row = (str(file.disk), file.path, file.size, file.mtime_ns, digest)
    with suppress(sqlite3.DatabaseError):
        found = store.execute("SELECT path, digest, facts FROM files WHERE disk = ?", row[:1]).fetchone()
        if found is not None:
            path, seen, said = found
            before = _read(said) if path == file.path else None
            return before, (*row, said if before is not None and seen == digest else None)
    return None, (*row, None)


def _facts_of(store: sqlite3.Connection, path: str) -> FileFacts | None:
    with suppress(sqlite3.DatabaseError):
        for (said,) in store.execute("SELECT facts FROM files WHERE path = ?", (path,)):
            return _read(said)
    return None


def _ours(snapshot: Snapshot, disk: str) -> bool:
    return any(Path(disk).is_relative_to(folder.root) for folder in snapshot.folders)


def _read(said: str) -> FileFacts | None:
    try:
        path, is_test, functions, classes, imports, uses = json.loads(said)
        return FileFacts(
            path,
            is_test,
            tuple(
                FunctionFact(name, line, owner, stub, tuple(map(intern, used)))
                for name, line, owner, stub, used in functions
            ),
            tuple(ClassFact(name, tuple(bases), tuple(map(intern, used))) for name, bases, used in classes),
            tuple(Import(*each) for each in imports),
            tuple(map(intern, uses)),  # the same names again and again: once in memory
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


def _keep(store: sqlite3.Connection, rows: list[tuple[Any, ...]]) -> None:
    with suppress(sqlite3.DatabaseError), store:  # a cache that cannot be written only costs time
        store.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)


def _forget(store: sqlite3.Connection, disks: list[str]) -> None:
    with suppress(sqlite3.DatabaseError), store:
        store.executemany("DELETE FROM files WHERE disk = ?", [(disk,) for disk in disks])
