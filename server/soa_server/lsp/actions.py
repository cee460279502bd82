"""Code actions: one table, answered from memory. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from soa_agents.workspace.functions import Function, innermost
from soa_agents.workspace.outline import DocstringPlace
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp.documents import Outline


@dataclass(frozen=True, slots=True)
class OurDiagnostic:
    """One of our own diagnostics as the client sent it back: where it begins and its tests."""

    offset: int
    nodeids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a request for code actions is about. `jobs` are those running in the document, newest last."""

    outline: Outline
    offset: int
    diagnostics: tuple[OurDiagnostic, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def function(self) -> Function | None:
        """The innermost function that holds the cursor."""
        return innermost(self.outline.functions, self.offset)

    @property
    def docstring(self) -> DocstringPlace | None:
        """The docstring that holds the cursor."""
        places = self.outline.docstrings
        return next((d for d in places if d.span.start <= self.offset <= d.span.end), None)

    @property
    def in_tests(self) -> bool:
        """In a file of tests, which SoA never writes."""
        return is_test_file(self.outline.path)


@dataclass(frozen=True, slots=True)
class Action:
    """A code action: its command gets `argument` as its one object. `fixes` are diagnostics by place."""

    kind: str
    title: str
    command: str
    argument: dict[str, Any]
    fixes: tuple[int, ...] = ()


Offer = Callable[[Cursor], Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of action. `offers` yields a title, an argument and the diagnostics it fixes."""

    kind: str
    command: str
    offers: Offer


def _target(cursor: Cursor, qualname: str) -> dict[str, Any]:
    document = cursor.outline.document
    return {"uri": document.uri, "qualname": qualname, "version": document.version}


def _generate(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    function = cursor.function
    if function is not None and function.is_stub and not cursor.in_tests:
        yield "Generate with SoA", _target(cursor, function.id.qualname), ()


def _regenerate(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    function = cursor.function
    if function is not None and not function.is_stub and not cursor.in_tests:
        yield "Regenerate with SoA", _target(cursor, function.id.qualname), ()


def _fix(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    if cursor.in_tests:  # a test without a suspect: there is nothing that SoA may rewrite
        return
    for index, diagnostic in enumerate(cursor.diagnostics):
        function = innermost(cursor.outline.functions, diagnostic.offset)
        if function is not None and diagnostic.nodeids:
            title = f"Regenerate with SoA ({len(diagnostic.nodeids)} failing tests)"
            yield title, _target(cursor, function.id.qualname), (index,)


def _stubs(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    place = cursor.docstring
    if place is not None and not cursor.in_tests:
        yield "Generate stubs from docstring with SoA", _target(cursor, place.id.qualname), ()


def _file(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    if any(function.is_stub for function in cursor.outline.functions) and not cursor.in_tests:
        document = cursor.outline.document
        argument = {"uri": document.uri, "version": document.version}
        yield "Implement all stubs in this file with SoA", argument, ()


def _run_tests(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    function = cursor.function
    if function is not None:
        argument = {"uri": cursor.outline.document.uri, "qualname": function.id.qualname}
        yield "Run this function's tests with SoA", argument, ()


def _cancel(cursor: Cursor) -> Iterator[tuple[str, dict[str, Any], tuple[int, ...]]]:
    if cursor.jobs:
        yield "Cancel SoA", {"jobId": cursor.jobs[-1]}, ()


TABLE: tuple[Row, ...] = (
    Row("refactor.rewrite.soa.generate", "soa.generate", _generate),
    Row("refactor.rewrite.soa.regenerate", "soa.regenerate", _regenerate),
    Row("quickfix.soa.regenerate", "soa.regenerate", _fix),
    Row("refactor.rewrite.soa.stubs", "soa.stubs", _stubs),
    Row("refactor.rewrite.soa.file", "soa.implementFile", _file),
    Row("refactor.rewrite.soa.runTests", "soa.runTests", _run_tests),
    Row("refactor.rewrite.soa.cancel", "soa.cancel", _cancel),
)

KINDS = tuple(row.kind for row in TABLE)


def available(cursor: Cursor, only: Sequence[str] | None = None) -> tuple[Action, ...]:
    """The actions at the cursor; `only` are kinds or their beginnings, None for every kind."""
    return tuple(
        Action(row.kind, title, row.command, argument, fixes)
        for row in TABLE
        if _wanted(row.kind, only)
        for title, argument, fixes in row.offers(cursor)
    )


def _wanted(kind: str, only: Sequence[str] | None) -> bool:
    return only is None or any(
        not prefix or kind == prefix or kind.startswith(prefix + ".") for prefix in only
    )
