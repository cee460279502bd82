"""What the files of a workspace say, kept in SQLite between runs: only what changed is read again.

Of every file it is known what it imports, which names it spells and which stubs it holds. The rest of its
facts is read, and kept, when somebody asks for it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

from soa_agents.workspace.facts import ClassFact, FileFacts, FunctionFact, Import, Survey, Types, spelled_in
from soa_agents.workspace.glance import Sketch, sketch
from soa_agents.workspace.reading import file_facts
from soa_agents.workspace.snapshot import Snapshot, read_text
from soa_agents.workspace.store import open_store

_VERSION = 9  # raised whenever a table, `FileFacts` or what is read into it changes
_RECENT = 100  # files whose facts are held in memory
_BATCH = 200  # files between two commits: an interrupted run keeps what it has
_TABLES = """
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, digest BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (path TEXT PRIMARY KEY, said TEXT, imports TEXT, spelled TEXT);
CREATE TABLE IF NOT EXISTS stubs (
    path TEXT, qualname TEXT, line INTEGER, PRIMARY KEY (path, qualname)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS agents (path TEXT PRIMARY KEY, turn INTEGER, said BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, said TEXT) WITHOUT ROWID
"""


_KEEP = """
REPLACE INTO facts SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM files WHERE path = ? AND digest = ?)
"""


class Changes(NamedTuple):
    """What an update found: how many files had changed, and how many were left out, by reason."""

    files: int
    skipped: Mapping[str, int]


def open_index(cache: Path | None) -> sqlite3.Connection:
    """The store; a missing, damaged or older one is made anew without a word, in memory if need be."""
    return open_store(cache, _VERSION, _TABLES)


def scan(snapshot: Snapshot, cache: Path | None = None) -> dict[str, FileFacts]:
    """The facts of every Python file of the snapshot by path, those of unchanged files from `cache`."""
    with closing(open_index(cache)) as store:
        update(snapshot, store)
        known = Indexed(snapshot, store, {})
        facts = {**known, **buffered(snapshot)}
        known.keep()
        return facts


def update(snapshot: Snapshot, store: sqlite3.Connection) -> Changes:
    """Bring the store up to the disk; open buffers do not count. With every change its `turn` goes up."""
    listing = snapshot.python_files()
    gone = _stamps(store)
    skipped = Counter(listing.skipped)
    changed: list[tuple[Any, ...]] = []
    count = 0
    for file in listing.files:
        size, mtime_ns, seen = gone.get(file.path, (None, None, None))
        if (size, mtime_ns) != (file.size, file.mtime_ns):
            text = read_text(file.disk)
            if text is None:
                skipped["unreadable or binary"] += file.path not in snapshot.buffers
                continue
            digest = _digest(text)
            stamp = (file.path, file.size, file.mtime_ns, digest)
            changed.append((stamp, None if seen == digest else _first_read(file.path, text)))
            if len(changed) >= _BATCH:
                count += _keep(store, changed)
                changed = []
        gone.pop(file.path, None)
    count += _keep(store, changed) + _forget(store, gone)
    return Changes(count, {why: many for why, many in skipped.items() if many})


def turn(store: sqlite3.Connection) -> int:
    """How often the store has changed: what follows from its facts is good for one turn."""
    return int(noted(store, "turn") or 0)


def buffered(snapshot: Snapshot) -> dict[str, FileFacts]:
    """The facts of the open buffers."""
    return {path: file_facts(path, text) for path, text in snapshot.buffers.items() if path.endswith(".py")}


def known_facts(snapshot: Snapshot, store: sqlite3.Connection) -> dict[str, FileFacts]:
    """All facts in the store that belong to the snapshot's folders."""
    return dict(Indexed(snapshot, store, {}))


class Indexed(Mapping[str, FileFacts]):
    """The facts in the store that belong to a snapshot's folders, each read when it is asked for.

    Those in `over` win. A file whose facts are not kept is read; `keep` keeps them. Those that
    were asked for last are held in memory, no more.
    """

    def __init__(self, snapshot: Snapshot, store: sqlite3.Connection, over: Mapping[str, FileFacts]) -> None:
        self._snapshot = snapshot
        self._store = store
        self._over = over
        self._recent = lru_cache(maxsize=_RECENT)(self._find)
        self._fresh: dict[str, tuple[bytes, FileFacts]] = {}  # not kept yet, with the digest of their text
        paths = (path for (path,) in _rows(store, "SELECT path FROM facts ORDER BY path"))
        self._paths = dict.fromkeys(path for path in paths if snapshot.folder(path) is not None)
        self._paths.update(dict.fromkeys(over))

    def __getitem__(self, path: str) -> FileFacts:
        """The facts of one file; raises `KeyError` for a file that is not in the workspace."""
        if path not in self._paths:
            raise KeyError(path)
        return self._over.get(path) or self._recent(path)

    def __iter__(self) -> Iterator[str]:
        """The paths."""
        return iter(self._paths)

    def __len__(self) -> int:
        """The number of files."""
        return len(self._paths)

    def __contains__(self, path: object) -> bool:
        """Is that file in the workspace?"""
        return path in self._paths

    def survey(self) -> Survey:
        """What is asked of all files, without their facts."""
        return Survey(self._spelled(), self._imports)

    def keep(self) -> None:
        """Keep the facts that were read, of the files that are as they were when they were indexed."""
        rows = [(*_said(facts), path, digest) for path, (digest, facts) in self._fresh.items()]
        with suppress(sqlite3.DatabaseError), self._store:
            self._store.executemany(_KEEP, rows)
        self._fresh.clear()

    def _find(self, path: str) -> FileFacts:
        for said, imports in _rows(self._store, "SELECT said, imports FROM facts WHERE path = ?", path):
            facts = _read(path, said, imports) if said else None
            if facts is not None:
                return facts
        text = read_text(self._snapshot.disk(path)) or ""
        facts = file_facts(path, text)
        self._fresh[path] = _digest(text), facts
        if len(self._fresh) >= _BATCH:
            self.keep()
        return facts

    def _spelled(self) -> Iterator[tuple[str, str]]:
        yield from ((path, spelled_in(each)) for path, each in self._over.items())
        for path, names in _rows(self._store, "SELECT path, spelled FROM facts"):
            if path in self._paths and path not in self._over:
                yield path, names

    def _imports(self) -> Iterator[tuple[str, tuple[Import, ...]]]:
        yield from ((path, each.imports) for path, each in self._over.items())
        for path, imports in _rows(self._store, "SELECT path, imports FROM facts"):
            if path in self._paths and path not in self._over:
                yield path, tuple(Import(*each) for each in json.loads(imports))


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


def _rows(store: sqlite3.Connection, query: str, *given: str) -> Iterator[Any]:
    """The rows found; none more where the store is damaged."""
    with suppress(sqlite3.DatabaseError):
        yield from store.execute(query, given)


def _stamps(store: sqlite3.Connection) -> dict[str, tuple[int, int, bytes]]:
    """Size, time and digest of every file by path."""
    rows = _rows(store, "SELECT path, size, mtime_ns, digest FROM files")
    return {path: stamp for path, *stamp in rows}


def _read(path: str, said: str, imports: str) -> FileFacts | None:
    try:
        is_test, functions, classes, uses, types = json.loads(said)
        return FileFacts(
            path,
            is_test,
            tuple(
                FunctionFact(name, line, owner, stub, tuple(map(intern, used)))
                for name, line, owner, stub, used in functions
            ),
            tuple(
                ClassFact(name, tuple(bases), tuple(map(intern, used)), _types(own))
                for name, bases, used, own in classes
            ),
            tuple(Import(*each) for each in json.loads(imports)),
            tuple(map(intern, uses)),  # the same names again and again: once in memory
            _types(types),
        )
    except (ValueError, TypeError):
        return None


def _types(said: list[list[str]]) -> Types:
    return tuple((name, annotated) for name, annotated in said)


def _said(facts: FileFacts | Sketch) -> tuple[str, str | None, str, str]:
    """A row: lists without the fields' names, which are most of the text; `_VERSION` says what they mean."""
    imports = [[i.name, i.module, i.attribute] for i in facts.imports]
    as_text = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
    if isinstance(facts, Sketch):
        return facts.path, None, as_text(imports), facts.spelled
    functions = [[f.qualname, f.line, f.owner, f.is_stub, f.uses] for f in facts.functions]
    classes = [[c.qualname, c.bases, c.uses, c.types] for c in facts.classes]
    said = [facts.is_test, functions, classes, facts.uses, facts.types]
    return facts.path, as_text(said), as_text(imports), spelled_in(facts)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _first_read(path: str, text: str) -> FileFacts | Sketch:
    return sketch(path, text) or file_facts(path, text)


def _keep(store: sqlite3.Connection, files: list[tuple[Any, FileFacts | Sketch | None]]) -> int:
    """Keep stamps, and facts where they are new; how many were."""
    new = [facts for _, facts in files if facts is not None]
    with suppress(sqlite3.DatabaseError), store:  # a cache that cannot be written only costs time
        store.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", [stamp for stamp, _ in files])
        store.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", map(_said, new))
        store.executemany("DELETE FROM stubs WHERE path = ?", [(each.path,) for each in new])
        store.executemany("INSERT OR REPLACE INTO stubs VALUES (?, ?, ?)", _stubs_of(new))
        if new:
            _turned(store)
    return len(new)


def _stubs_of(files: Iterable[FileFacts | Sketch]) -> Iterator[tuple[str, str, int]]:
    own = (each for each in files if isinstance(each, FileFacts) and not each.is_test)
    return ((each.path, f.qualname, f.line) for each in own for f in each.functions if f.is_stub)


def _forget(store: sqlite3.Connection, paths: Iterable[str]) -> int:
    rows = [(path,) for path in paths]
    if rows:
        with suppress(sqlite3.DatabaseError), store:
            for table in ("files", "facts", "stubs", "agents"):
                store.executemany(f"DELETE FROM {table} WHERE path = ?", rows)  # noqa: S608 - one of our tables
            _turned(store)
    return len(rows)


def _turned(store: sqlite3.Connection) -> None:
    store.execute("INSERT OR REPLACE INTO state VALUES ('turn', ?)", (turn(store) + 1,))
