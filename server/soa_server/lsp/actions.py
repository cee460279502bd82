"""Code actions: one table, answered from memory. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp.documents import Outline


class OurDiagnostic(NamedTuple):
    """One of our own diagnostics as the client sent it back: where it begins and its tests."""

    offset: int
    nodeids: tuple[str, ...]


@dataclass(frozen=True)
class Cursor:
    """What a request for code actions is about. `jobs` are those running in the document, newest last."""

    outline: Outline
    offset: int
    diagnostics: tuple[OurDiagnostic, ...] = ()
    jobs: tuple[str, ...] = ()

    @cached_property
    def function(self) -> Function | None:
        """The innermost function that holds the cursor; before a line's first word, the word counts too."""
        found = self.outline.function_at(self.offset)
        if found is not None:
            return found
        lines = self.outline.lines
        first, _ = lines.line_span(lines.position(self.offset)[0])
        return self.outline.function_at(first) if self.offset < first else None

    @cached_property
    def documented(self) -> FunctionId | None:
        """What the docstring is of that holds the cursor."""
        return self.outline.documented_at(self.offset)

    @property
    def in_tests(self) -> bool:
        """In a file of tests, which SoA never writes."""
        return is_test_file(self.outline.path)


class Action(NamedTuple):
    """A code action: its command gets `argument` as its one object. `fixes` are diagnostics by place."""

    kind: str
    title: str
    command: str
    argument: dict[str, Any]
    fixes: tuple[int, ...] = ()


class Disabled(NamedTuple):
    """An action that cannot be had here, shown to a person who asked for it, with the reason."""

    kind: str
    title: str
    reason: str


class Offered(NamedTuple):
    """What an action would be run with. `more` goes behind the title."""

    argument: dict[str, Any]
    fixes: tuple[int, ...] = ()
    more: str = ""


Offer = Callable[[Cursor], Iterator[Offered]]


class Row(NamedTuple):
    """One kind of action.

    Where `offers` yields nothing, `reason` says why.
    """

    kind: str
    title: str
    command: str
    offers: Offer
    reason: Callable[[Cursor], str]


def _target(cursor: Cursor, qualname: str) -> dict[str, Any]:
    document = cursor.outline.document
    return {"uri": document.uri, "qualname": qualname, "version": document.version}


def _generate(cursor: Cursor) -> Iterator[Offered]:
    function = cursor.function
    if function is not None and function.is_stub and not cursor.in_tests:
        yield Offered(_target(cursor, function.id.qualname))


def _regenerate(cursor: Cursor) -> Iterator[Offered]:
    function = cursor.function
    if function is not None and not function.is_stub and not cursor.in_tests:
        yield Offered(_target(cursor, function.id.qualname))


def _fix(cursor: Cursor) -> Iterator[Offered]:
    if cursor.in_tests:  # a test without a suspect: there is nothing that SoA may rewrite
        return
    for index, diagnostic in enumerate(cursor.diagnostics):
        function = cursor.outline.function_at(diagnostic.offset)
        if function is not None and diagnostic.nodeids:
            more = f" ({len(diagnostic.nodeids)} failing tests)"
            yield Offered(_target(cursor, function.id.qualname), (index,), more)


def _stubs(cursor: Cursor) -> Iterator[Offered]:
    documented = cursor.documented
    if documented is not None and not cursor.in_tests:
        yield Offered(_target(cursor, documented.qualname))


def _file(cursor: Cursor) -> Iterator[Offered]:
    if cursor.outline.live.has_stubs and not cursor.in_tests:
        document = cursor.outline.document
        yield Offered({"uri": document.uri, "version": document.version})


def _run_tests(cursor: Cursor) -> Iterator[Offered]:
    function = cursor.function
    if function is not None:
        yield Offered({"uri": cursor.outline.document.uri, "qualname": function.id.qualname})


def _cancel(cursor: Cursor) -> Iterator[Offered]:
    if cursor.jobs:
        yield Offered({"jobId": cursor.jobs[-1]})


def _why_not_generate(cursor: Cursor) -> str:
    function = cursor.function
    if cursor.in_tests or function is None:
        return _why_no_function(cursor)
    return f"{function.id.name} has a body already; take Regenerate with SoA."


def _why_not_regenerate(cursor: Cursor) -> str:
    function = cursor.function
    if cursor.in_tests or function is None:
        return _why_no_function(cursor)
    return f"{function.id.name} is a stub; take Generate with SoA."


def _why_no_function(cursor: Cursor) -> str:
    if cursor.in_tests:
        return _TESTS
    return "The cursor stands in no function; put it into one."


def _why_no_fix(cursor: Cursor) -> str:
    return "SoA knows of no failing test here; run the function's tests first."


def _why_no_stubs(cursor: Cursor) -> str:
    return _TESTS if cursor.in_tests else "The cursor stands in no docstring; put it into one."


def _why_no_file(cursor: Cursor) -> str:
    name = cursor.outline.path.rpartition("/")[2]
    return _TESTS if cursor.in_tests else f"{name} has no stubs to implement."


def _why_no_tests(cursor: Cursor) -> str:
    return "The cursor stands in no function; put it into one."


def _why_no_cancel(cursor: Cursor) -> str:
    return "No job of SoA runs in this document."


_TESTS = "SoA never writes tests; put the cursor into the function that they test."
_REWRITE = "refactor.rewrite.soa"

TABLE: tuple[Row, ...] = (
    Row(f"{_REWRITE}.generate", "Generate with SoA", "soa.generate", _generate, _why_not_generate),
    Row(f"{_REWRITE}.regenerate", "Regenerate with SoA", "soa.regenerate", _regenerate, _why_not_regenerate),
    Row("quickfix.soa.regenerate", "Regenerate with SoA", "soa.regenerate", _fix, _why_no_fix),
    Row(f"{_REWRITE}.stubs", "Generate stubs from docstring with SoA", "soa.stubs", _stubs, _why_no_stubs),
    Row(
        f"{_REWRITE}.file",
        "Implement all stubs in this file with SoA",
        "soa.implementFile",
        _file,
        _why_no_file,
    ),
    Row(
        f"{_REWRITE}.runTests",
        "Run this function's tests with SoA",
        "soa.runTests",
        _run_tests,
        _why_no_tests,
    ),
    Row(f"{_REWRITE}.cancel", "Cancel SoA", "soa.cancel", _cancel, _why_no_cancel),
)

KINDS = tuple(row.kind for row in TABLE)


def available(cursor: Cursor, only: Sequence[str] | None = None) -> tuple[Action, ...]:
    """The actions at the cursor; `only` are kinds or their beginnings, None for every kind."""
    return tuple(
        Action(row.kind, row.title + offered.more, row.command, offered.argument, offered.fixes)
        for row in TABLE
        if _wanted(row.kind, only)
        for offered in row.offers(cursor)
    )


def disabled(cursor: Cursor, only: Sequence[str]) -> tuple[Disabled, ...]:
    """Why a person who asked for kinds of actions gets none of them.

    Each kind of ours that was named has its reason. Where only a kind above ours was named (`refactor`), and
    nothing of ours can be had, there is the one reason why nothing can be generated.
    """
    named = [kind for kind in only if "soa" in kind.split(".")]
    rows = [row for row in TABLE if _wanted(row.kind, named)]
    if not rows and not available(cursor, only):
        rows = [row for row in TABLE[:1] if _wanted(row.kind, [kind for kind in only if kind])]
    return tuple(
        Disabled(row.kind, row.title, row.reason(cursor)) for row in rows if not any(row.offers(cursor))
    )


def _wanted(kind: str, only: Sequence[str] | None) -> bool:
    return only is None or any(
        not prefix or kind == prefix or kind.startswith(prefix + ".") for prefix in only
    )
