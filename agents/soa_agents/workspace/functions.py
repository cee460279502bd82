"""The functions of one file, with exact spans (tree-sitter), whatever else in the file is broken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from soa_agents.workspace.ids import FunctionId


class Span(NamedTuple):
    """A half-open range of a file's text, counted in characters (code points)."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Function:
    """One function definition of a file."""

    id: FunctionId
    span: Span  # first decorator (or `def`, `async`) to the end of the last statement; no trailing newline
    name: Span
    signature: Span  # `def` or `async` up to and including the colon
    docstring: Span | None  # the string expression alone
    body: Span  # the statements after the docstring; empty at the docstring's end when there are none
    line: int  # 1-based line of `span.start`: what `co_firstlineno` says
    indent: str  # white space before the first decorator or `def`
    is_stub: bool
    is_async: bool
    owner: str | None  # qualname of the class it is directly in
    decorators: tuple[str, ...] = ()  # their texts, without `@`
    overloads: tuple[Span, ...] = ()  # spans of the `@overload` declarations that belong to it


def functions(path: str, text: str) -> tuple[Function, ...]:
    """Every function of `text` in file order, nested ones included."""
    raise NotImplementedError


def innermost(found: tuple[Function, ...], offset: int) -> Function | None:
    """The innermost function whose span (or whose overloads' spans) holds the character `offset`."""
    raise NotImplementedError
