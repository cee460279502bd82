"""A private SQLite file of what can be found out again: damaged or older, it is made anew without a word."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_path

from soa_agents.workspace.snapshot import Folder

_UNUSED = 30 * 24 * 3600.0  # seconds after which what belongs to a workspace nobody opened is dropped
BUSY_SECONDS = 10.0  # that one process waits for another's write


def cache_file(folders: Iterable[Folder], what: str = "") -> Path:
    """The file in the user's cache that is the workspace's of these folders alone; one for each `what`."""
    named = "\0".join(str(folder.root) for folder in folders)
    digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    return _folder() / f"{digest}{what and '-'}{what}.sqlite3"


def open_store(place: Path | None, version: int, tables: str) -> sqlite3.Connection:
    """The file at `place` with these tables, emptied when it is damaged or of another version.

    In memory when there is no place for it, or none that can be written.
    """
    if place is not None:
        for _ in range(2):
            try:
                _private_folder(place.parent)
                store = _prepared(sqlite3.connect(place, timeout=BUSY_SECONDS), version, tables)
                _tidy(place)
                return store
            except sqlite3.OperationalError:
                break  # read-only or locked: not ours to remove
            except (sqlite3.DatabaseError, OSError):
                _remove(place)
    return _prepared(sqlite3.connect(":memory:"), version, tables)


def _prepared(store: sqlite3.Connection, version: int, tables: str) -> sqlite3.Connection:
    try:
        write_ahead(store)
        if _version(store) != version:
            _make(store, version, tables)
        if store.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("the cache is damaged")
    except BaseException:
        store.close()
        raise
    return store


def write_ahead(store: sqlite3.Connection) -> None:
    """Let readers work beside a writer; a power cut may cost the last writes, the end of a process none.

    SQLite does not wait by itself where another process does the same just now.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            store.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(0.01)
    store.execute("PRAGMA synchronous = NORMAL")


def _make(store: sqlite3.Connection, version: int, tables: str) -> None:
    """Make the tables and note their version in one step: who comes meanwhile waits, and finds them made."""
    store.execute("BEGIN IMMEDIATE")
    if _version(store) != version:
        for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            store.execute(f'DROP TABLE "{name}"')
        for table in tables.split(";"):
            store.execute(table)
        store.execute(f"PRAGMA user_version = {version}")
    store.commit()


def _version(store: sqlite3.Connection) -> int:
    return int(store.execute("PRAGMA user_version").fetchone()[0])


def _remove(place: Path) -> None:
    """Remove a file with its journal, which would be played into a new file of that name."""
    for end in ("", "-wal", "-shm"):
        with suppress(OSError):
            place.with_name(place.name + end).unlink()


def _folder() -> Path:
    return user_cache_path("soa-language-server", appauthor=False) / "index"


def _tidy(place: Path) -> None:
    """Note that a file is in use, and drop those of workspaces that nobody has opened for long."""
    if place.parent != _folder():  # a place of somebody's choice: what lies beside it is not ours
        return
    with suppress(OSError):
        os.utime(place)
        for other in place.parent.glob("*.sqlite3"):
            if other.stat().st_mtime < time.time() - _UNUSED:
                _remove(other)


def _private_folder(folder: Path) -> None:
    """The folder, made with those above it that are missing; what is made here is the user's alone."""
    if not folder.is_dir():
        _private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
