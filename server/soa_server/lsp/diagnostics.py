"""Failing tests as diagnostics: which stand where, and which documents must hear of a change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from soa_agents.errors import UsageError
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import Snapshot

from soa_server.lsp.documents import Documents, canonical
from soa_server.lsp.lines import LineIndex

if TYPE_CHECKING:
    from soa_agents.swarm.job import TestDiagnostic

Place = tuple[int, int, int, int]  # line, character, end line, end character, in the agreed encoding


class Related(NamedTuple):
    """Where an assertion failed."""

    uri: str
    range: Place
    message: str


class Failing(NamedTuple):
    """One diagnostic: the tests that fail because of one function, or one test without a suspect."""

    range: Place
    message: str
    nodeids: tuple[str, ...]
    related: tuple[Related, ...] = ()
    qualname: str = ""  # of the function; none of a test


@dataclass(slots=True)
class Diagnostics:
    """The failing tests known now, by node id. `proven` are functions whose last run was green."""

    documents: Documents
    proven: set[str] = field(default_factory=set)
    _failures: dict[str, tuple[TestDiagnostic, Snapshot]] = field(default_factory=dict)
    shown: Mapping[str, tuple[Failing, ...]] = field(default_factory=dict)  # by URI, as last told

    def update(
        self, failures: Iterable[TestDiagnostic], passing: Iterable[str], snapshot: Snapshot
    ) -> dict[str, tuple[Failing, ...]]:
        """Take the outcome of a run; what each changed document must show now, by URI (empty: nothing)."""
        for nodeid in passing:
            self._failures.pop(nodeid, None)
        for failure in failures:
            self._failures[failure.nodeid] = (failure, Snapshot(snapshot.folders))
        shown = self._by_uri()
        cleared = dict.fromkeys(self.shown.keys() - shown.keys(), ())
        self.shown = shown
        return {**cleared, **shown}

    def suspects(self) -> frozenset[str]:
        """The functions that stand behind failing tests, as text."""
        return frozenset(failure.suspect for failure, _ in self._failures.values() if failure.suspect)

    def failing_in(self, disk: Path) -> dict[str, tuple[str, ...]]:
        """The node ids that fail because of a function of that file, by the function's qualified name."""
        found: dict[str, tuple[str, ...]] = {}
        for failure, snapshot in self._failures.values():
            path, _, qualname = failure.suspect.partition("::")
            if qualname and _disk(snapshot, path) == disk:
                found[qualname] = (*found.get(qualname, ()), failure.nodeid)
        return found

    def _by_uri(self) -> dict[str, tuple[Failing, ...]]:
        groups: dict[str, list[tuple[TestDiagnostic, Snapshot]]] = {}
        for failure, snapshot in self._failures.values():
            groups.setdefault(failure.suspect or failure.test or failure.nodeid, []).append(
                (failure, snapshot)
            )
        found: dict[str, list[Failing]] = {}
        for name, members in groups.items():
            placed = self._failing(name, members)
            if placed is not None:
                found.setdefault(placed[0], []).append(placed[1])
        return {uri: tuple(failing) for uri, failing in found.items()}

    def _failing(
        self, name: str, members: list[tuple[TestDiagnostic, Snapshot]]
    ) -> tuple[str, Failing] | None:
        path, _, qualname = name.partition("::")
        target = self._locate(FunctionId(path, qualname or FunctionId.MODULE), members[0][1])
        if target is None:
            return None
        related = [self._related(failure, snapshot) for failure, snapshot in members]
        more = f" (and {len(members) - 1} more)" if len(members) > 1 else ""
        message = f"{_test(members[0][0].nodeid)} fails: {members[0][0].message}{more}"
        nodeids = tuple(failure.nodeid for failure, _ in members)
        suspect = qualname if members[0][0].suspect else ""
        known = tuple(each for each in related if each is not None)
        return target[0], Failing(target[1], message, nodeids, known, suspect)

    def _locate(self, function: FunctionId, snapshot: Snapshot) -> tuple[str, Place] | None:
        """The URI and the range of a function's name; the file's first line when it is not found there."""
        found = self._lines(function.path, snapshot)
        if found is None:
            return None
        uri, lines = found
        named = next((f.name for f in functions(function.path, lines.text) if f.id == function), None)
        start, end = named if named is not None else lines.line_span(0)
        return uri, (*lines.position(start), *lines.position(end))

    def _related(self, failure: TestDiagnostic, snapshot: Snapshot) -> Related | None:
        found = self._lines(failure.path, snapshot) if failure.path and failure.line else None
        if found is None:
            return None
        lines = found[1]
        start, end = lines.line_span(failure.line - 1)
        place = (*lines.position(start), *lines.position(end))
        return Related(found[0], place, f"{_test(failure.nodeid)}: {failure.message}")

    def _lines(self, path: str, snapshot: Snapshot) -> tuple[str, LineIndex] | None:
        disk = _disk(snapshot, path)
        if disk is None:
            return None
        document = self.documents.at(disk)
        if document is not None:
            return document.uri, document.lines(self.documents.encoding)
        text = snapshot.text(path)
        if text is None:
            return None
        return canonical(disk.as_uri()), LineIndex.of(text, self.documents.encoding)


def _disk(snapshot: Snapshot, path: str) -> Path | None:
    try:
        return snapshot.disk(path)
    except UsageError:  # outside the folders, say in an installed package
        return None


def _test(nodeid: str) -> str:
    return nodeid.rpartition("::")[2]
