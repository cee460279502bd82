"""Which tests ran which functions, remembered between runs in a private SQLite file beside the index.

A record holds a digest of everything that ran: of each function's text, and of what stands outside functions
in its file. While none of them has changed the test would run the same again: its record is the truth.
Otherwise it is a hint. Nothing here is worth a failure: what cannot be read was never seen.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from soa_agents.verify.report import Outcome, Report
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file
from soa_agents.workspace.store import open_store

Text = Callable[[str], str | None]  # the text of a path as it is now, None where there is none to trust

_VERSION = 1  # raised whenever the tables change, or what a digest is of
_MOST = 500_000  # rows after which the map is begun anew: names of tests that come and go for ever
_SAID = ("passed", "failed", "error", "timeout", "xfailed", "xpassed")  # outcomes of tests that ran
_SHOWN = 20  # tests told of an agent that is named by none
_AT_IMPORT = ""  # in place of a node id: what ran while modules were imported
_TABLES = """
CREATE TABLE IF NOT EXISTS bodies (path TEXT PRIMARY KEY, text TEXT, digests TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (
    id INTEGER PRIMARY KEY, path TEXT, qualname TEXT, digest TEXT, UNIQUE (path, qualname, digest)
);
CREATE TABLE IF NOT EXISTS tests (nodeid TEXT PRIMARY KEY, outcome TEXT, seconds REAL, ran BLOB)
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A test as it was last seen to run.

    `ran` are those of the functions asked about; `current`: nothing that ran during it has changed since.
    A test that was itself changed since has lost its parameters.
    """

    nodeid: str
    outcome: Outcome
    seconds: float
    ran: frozenset[FunctionId]
    current: bool

    @property
    def passed(self) -> bool:
        """Green as pytest counts it."""
        return self.outcome in ("passed", "xfailed", "xpassed")


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is remembered: tests by node id, and which of the functions run while modules are imported."""

    tests: tuple[Seen, ...] = ()
    at_import: frozenset[FunctionId] = frozenset()


def remember(place: Path, text: Text, report: Report) -> None:
    """Keep what each test of `report` ran, on the files as `text` tells them."""
    told = [r for r in report.tests if r.ran and r.outcome in _SAID]
    if not told and not report.imported:
        return
    with closing(open_store(place, _VERSION, _TABLES)) as store, suppress(sqlite3.DatabaseError), store:
        store.execute("BEGIN IMMEDIATE")
        if store.execute("SELECT COUNT(*) FROM versions").fetchone()[0] > _MOST:
            store.execute("DELETE FROM tests")
            store.execute("DELETE FROM versions")
        memory = _Memory(store, text)
        memory.keep(_AT_IMPORT, "passed", 0.0, memory.here(report.imported), partly=True)
        for each in told:
            memory.keep(each.nodeid, each.outcome, each.seconds, memory.here((*each.ran, *each.support)))
        memory.keep_bodies()


def recall(
    place: Path, text: Text, wanted: Collection[FunctionId], tests: Collection[str] = frozenset()
) -> Recalled:
    """The tests that were seen to run one of `wanted`, and those of `tests` (without parameters), sorted."""
    if not place.exists():
        return Recalled()
    with closing(open_store(place, _VERSION, _TABLES)) as store, suppress(sqlite3.DatabaseError):
        memory = _Memory(store, text)
        found = {seen.nodeid: seen for seen in memory.seen(frozenset(wanted), frozenset(tests))}
        at_import = found.pop(_AT_IMPORT, None)
        memory.keep_bodies()
        store.commit()
        seen = tuple(found[nodeid] for nodeid in sorted(found))
        return Recalled(seen, at_import.ran if at_import else frozenset())
    return Recalled()


def as_seen(agents: Sequence[Mapping[str, Any]], place: Path, text: Text) -> list[dict[str, Any]]:
    """Agents in the shape of `soa/agents`, with what was seen of the tests that run them.

    One that no test names has those that were seen to run it, the quickest. What only passing tests ran, and
    nothing of that has changed since, is passing; for what a failing test ran others may be to blame.
    """
    runs: defaultdict[FunctionId, list[Seen]] = defaultdict(list)
    for seen in recall(place, text, {FunctionId.parse(each["function"]) for each in agents}).tests:
        for function in seen.ran:
            runs[function].append(seen)
    return [_as_seen(each, runs[FunctionId.parse(each["function"])]) for each in agents]


def _as_seen(agent: Mapping[str, Any], runs: list[Seen]) -> dict[str, Any]:
    if not runs or agent["status"] == "stub":
        return dict(agent)
    quickest = sorted(runs, key=lambda seen: seen.seconds)
    tests = agent["tests"] or list(dict.fromkeys(s.nodeid.partition("[")[0] for s in quickest))[:_SHOWN]
    good = all(seen.current and seen.passed for seen in runs)
    return {**agent, "tests": tests, "status": "passing" if good else "unknown"}


def digests(path: str, text: str) -> dict[str, str]:
    """A digest of each function of a file by its qualified name, and of the rest under `<module>`.

    In a test file helpers and fixtures belong to the rest too: what is recorded of them is not all they do.
    """
    found, rest, end = {}, [], 0
    for each in functions(path, text):
        start, stop = each.span
        found[each.id.qualname] = _digest(text[start:stop])
        if start >= end and not (is_test_file(path) and not each.id.name.startswith("test")):
            rest.append(text[end:start])
            end = stop
    lines = "\0".join([*rest, text[end:]]).splitlines()
    return {**found, FunctionId.MODULE: _digest("\n".join(line for line in lines if line.strip()))}


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


class _Memory:
    """One look into the file: versions of functions by number, and which of them are those of now."""

    def __init__(self, store: sqlite3.Connection, text: Text) -> None:
        self._store = store
        self._text = text
        self._digests: dict[str, dict[str, str]] = {}
        self._parsed: dict[str, tuple[str, str, str]] = {}  # rows to keep
        self.versions: dict[tuple[str, str, str], int] = {
            (path, qualname, digest): number
            for number, path, qualname, digest in store.execute("SELECT * FROM versions")
        }
        self._of = {number: version for version, number in self.versions.items()}
        self._is_current = cache(self._compared)

    def here(self, ran: Iterable[FunctionId]) -> frozenset[int]:
        """The numbers of these functions and what is around them; empty if one is not there."""
        listed = list(ran)
        around = {FunctionId(each.path, FunctionId.MODULE) for each in listed}
        numbers = {self._number(each) for each in (*listed, *around)}
        return frozenset[int]() if None in numbers else frozenset(n for n in numbers if n is not None)

    def keep(
        self, nodeid: str, outcome: str, seconds: float, ran: frozenset[int], *, partly: bool = False
    ) -> None:
        """Write a test's record. One still true is added to: what others left in a cache hides what it runs.

        `partly`: whatever of the old record is still true counts by itself.
        """
        if not ran:
            return
        row = self._store.execute("SELECT ran FROM tests WHERE nodeid = ?", (nodeid,)).fetchone()
        before = _numbers(row[0]) if row else frozenset[int]()
        true = frozenset(filter(self._is_current, before))
        together = ran | (true if partly or true == before else frozenset[int]())
        blob = array("I", sorted(together)).tobytes()
        self._store.execute(
            "INSERT OR REPLACE INTO tests VALUES (?, ?, ?, ?)", (nodeid, outcome, seconds, blob)
        )

    def seen(self, wanted: frozenset[FunctionId], tests: frozenset[str]) -> Iterator[Seen]:
        """The records of tests that ran one of `wanted` or are among `tests`."""
        named = ((FunctionId(path, name), n) for (path, name, _), n in self.versions.items())
        numbers = {n: function for function, n in named if function in wanted}
        asked, merged = frozenset(numbers), dict[str, Seen]()
        own = self._of_test_files()
        for nodeid, outcome, seconds, blob in self._store.execute("SELECT * FROM tests"):
            ran = _numbers(blob)
            found = frozenset(map(numbers.__getitem__, ran & asked))
            if not found and nodeid.partition("[")[0] not in tests:
                continue
            name = self._name_now(nodeid, ran & own)
            if name is not None:
                one = Seen(name, outcome, seconds, found, all(map(self._is_current, ran)))
                merged[name] = _together(merged[name], one) if name in merged else one
        yield from merged.values()

    def keep_bodies(self) -> None:
        """Write the digests of files that had to be parsed, so that the next look need not."""
        self._store.executemany("INSERT OR REPLACE INTO bodies VALUES (?, ?, ?)", self._parsed.values())

    def _number(self, function: FunctionId) -> int | None:
        digest = self._now(function.path).get(function.qualname)
        if digest is None:
            return None
        version = (function.path, function.qualname, digest)
        if version not in self.versions:
            number = self._store.execute(
                "INSERT INTO versions (path, qualname, digest) VALUES (?, ?, ?)", version
            ).lastrowid
            assert number is not None  # noqa: S101 - a row was inserted
            self.versions[version], self._of[number] = number, version
        return self.versions[version]

    def _compared(self, number: int) -> bool:
        path, qualname, digest = self._of.get(number, ("", "", ""))
        return bool(path) and self._now(path).get(qualname) == digest

    def _of_test_files(self) -> frozenset[int]:
        of_tests = cache(is_test_file)
        return frozenset(number for number, (path, *_) in self._of.items() if of_tests(path))

    def _name_now(self, nodeid: str, own: frozenset[int]) -> str | None:
        """How to ask for a test now: without parameters once it was changed, None when it is no more.

        `own` is what it ran of test files.
        """
        path, _, name = nodeid.partition("[")[0].partition("::")
        if not nodeid:
            return nodeid
        if not self._now(path):
            return None
        if all(map(self._is_current, own)):
            return nodeid
        gone = (path, name.replace("::", ".")) in {self._of[n][:2] for n in own}
        if gone and name.replace("::", ".") not in self._now(path):
            return None
        return f"{path}::{name}"

    def _now(self, path: str) -> dict[str, str]:
        """The digests of a file as it is now; empty when there is none."""
        if path not in self._digests:
            text = self._text(path)
            self._digests[path] = {} if text is None else self._read(path, text)
        return self._digests[path]

    def _read(self, path: str, text: str) -> dict[str, str]:
        whole = _digest(text)
        row = self._store.execute("SELECT text, digests FROM bodies WHERE path = ?", (path,)).fetchone()
        if row is not None and row[0] == whole:
            return dict(json.loads(row[1]))
        found = digests(path, text)
        self._parsed[path] = (path, whole, json.dumps(found, separators=(",", ":")))
        return found


def _numbers(blob: bytes) -> frozenset[int]:
    return frozenset(array("I", blob))


def _together(one: Seen, other: Seen) -> Seen:
    """Two records of what has one name now: the parameters of a test that was changed."""
    outcome = other.outcome if one.passed else one.outcome
    return replace(
        one, outcome=outcome, seconds=one.seconds + other.seconds, ran=one.ran | other.ran, current=False
    )
