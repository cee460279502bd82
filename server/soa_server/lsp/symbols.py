"""Symbols of what no Python server tells: stubs, functions with failing tests, agents at work. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from soa_agents.workspace.functions import Function, Span
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp.documents import Outline

MOST = 200  # symbols of a workspace told at once; the client asks anew at every letter of its query


class Symbol(NamedTuple):
    """A function of a document, and what SoA says of it."""

    qualname: str
    detail: str
    is_method: bool
    span: Span
    name: Span


class Place(NamedTuple):
    """A function somewhere in the workspace: `range` as the client counts, line and unit of both ends."""

    uri: str
    qualname: str
    detail: str
    range: tuple[int, int, int, int]


def in_document(
    outline: Outline, failing: Mapping[str, tuple[str, ...]], written: Collection[str]
) -> tuple[Symbol, ...]:
    """The document's functions that SoA has something to say of, in file order.

    `failing` are the node ids that fail because of a function, `written` what running jobs write, both by
    qualified name. Of a file of tests there is nothing to say.
    """
    if is_test_file(outline.path):
        return ()
    return tuple(
        Symbol(function.id.qualname, detail, function.owner is not None, function.span, function.name)
        for function in outline.functions
        if (detail := _detail(function, failing, written))
    )


def matches(query: str, qualname: str) -> bool:
    """Are the query's letters in the name, in order, whatever their case?"""
    letters = iter(qualname.lower())
    return all(letter in letters for letter in query.lower())


def _detail(function: Function, failing: Mapping[str, tuple[str, ...]], written: Collection[str]) -> str:
    name = function.id.qualname
    if name in written:
        return "SoA writes it"
    if function.is_stub:
        return "stub"
    return f"{len(failing[name])} failing" if name in failing else ""
