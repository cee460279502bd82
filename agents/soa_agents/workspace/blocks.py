"""The functions of a file in blocks: each function outside functions with all that is in it.

The parser tells them; in a text that is broken from the first, indentation does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from tree_sitter import Node

from soa_agents.workspace.functions import (
    Defined,
    Function,
    Scope,
    decorators_of,
    definitions,
    function_of,
    is_overload,
    name_of,
    with_decorators,
)
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.syntax import Span, Syntax, parse

_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?(?:(def)|class)[ \t]+(\w+)[ \t]*[(:\[]", re.MULTILINE)
_WRAP = "if 1:\n"  # an indented definition can be parsed by itself below this


@dataclass(frozen=True, slots=True)
class Member:
    """A function of a block, as yet without a number behind its name."""

    function: Function
    overload: bool


@dataclass(frozen=True, slots=True)
class Block:
    """A function outside functions, and those in it. `exact`: the parser found it where it is now."""

    start: int
    end: int
    scope: Scope
    members: tuple[Member, ...]
    exact: bool = True
    clean: bool = True  # without a syntax error in it

    @property
    def name(self) -> FunctionId:
        """The function's that all the others are in."""
        return self.members[0].function.id

    def touches(self, span: Span) -> bool:
        """Do they share a character, or meet? The white space before a definition is its own."""
        first = self.start - len(self.members[0].function.indent)
        return first <= span.end and span.start <= self.end


def blocks_of(path: str, syntax: Syntax, known: Mapping[tuple[int, int], Block]) -> Iterator[Block]:
    """The blocks of a text; those in `known`, by their places, are taken as they are."""
    for node, scope in definitions(syntax, path.endswith(".pyi"), nested=False):
        if node.type != "class_definition":
            place = syntax.span(with_decorators(node))
            block = known.get(place)
            if block is None or block.scope != scope:
                block = _block(path, syntax, node, scope)
            if block is not None:
                yield block


def _block(path: str, syntax: Syntax, node: Node, scope: Scope) -> Block | None:
    members = tuple(
        _member(path, syntax, inner, around)
        for inner, around in definitions(syntax, below=(node, scope))
        if inner.type != "class_definition"
    )
    if not members:
        return None
    return Block(*syntax.span(with_decorators(node)), scope, members, clean=not node.has_error)


def _member(path: str, syntax: Syntax, node: Node, scope: Scope) -> Member:
    decorators = decorators_of(syntax, node)
    named = FunctionId(path, scope.prefix + name_of(syntax, node))
    return Member(function_of(syntax, Defined(named, node, scope, decorators, ())), is_overload(decorators))


def shifted(function: Function, by: int, lines: int) -> Function:
    """The function `by` characters and `lines` lines further on. Spelled out: it is done at every key."""
    string = function.docstring
    return Function(
        function.id,
        Span(function.span[0] + by, function.span[1] + by),
        Span(function.name[0] + by, function.name[1] + by),
        Span(function.signature[0] + by, function.signature[1] + by),
        string and Span(string[0] + by, string[1] + by),
        Span(function.body[0] + by, function.body[1] + by),
        function.line + lines,
        function.indent,
        function.is_stub,
        function.is_async,
        function.owner,
        function.decorators,
    )


def scanned(path: str, text: str, found: Iterable[Block]) -> Iterator[Block]:
    """The blocks of a text by its indentation: as the parser has them where both agree, else parsed alone."""
    known = {block.members[0].function.name.start: block for block in found if block.clean}
    around: list[tuple[int, str]] = []  # the classes that a line is in: width, name
    inside = -1  # the width of the function that a line is in
    end = last = 0  # of the last block, of the last definition looked at
    for match in _DEFINITION.finditer(text):
        width = len(match[1].expandtabs())
        if match.start() < end or width > inside >= 0:
            continue
        inside = -1
        while around and (
            around[-1][0] >= width or _outside(around[-1][0]).search(text, last, match.start())
        ):
            around.pop()
        last = match.end()
        if not match[2]:
            around.append((width, match[3]))
            continue
        owner = ".".join(name for _, name in around) or None
        block = known.get(match.start(3))
        if block is None or block.scope.owner != owner:
            block = _parsed_alone(path, text, match, Scope(f"{owner}." if owner else "", owner))
        if block is not None:
            inside, end = width, block.end
            yield block


@cache
def _outside(width: int) -> re.Pattern[str]:
    """The beginning of a line that something indented by `width` does not hold."""
    return re.compile(rf"^[ \t]{{0,{width}}}[^\s#)\]}}]", re.MULTILINE)


def _with_decorators(text: str, start: int) -> int:
    """Where the decorators begin that stand, a line each, above the line that begins at `start`."""
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if text[above:start].lstrip()[:1] != "@":
            break
        start = above
    return start


def _parsed_alone(path: str, text: str, match: re.Match[str], scope: Scope) -> Block | None:
    end = _outside(len(match[1])).search(text, match.end())
    start = _with_decorators(text, match.start())
    wrap = _WRAP if match[1] else ""
    syntax = parse(wrap + text[start : end.start() if end else len(text)])
    by = start - len(wrap)
    for node, _ in definitions(syntax, nested=False):
        if node.type == "function_definition":
            block = _block(path, syntax, node, scope)
            if block is None:
                return None
            signature = block.members[0].function.signature
            if _DEFINITION.search(syntax.text, signature.start + 1, signature.end):
                return None  # never closed: it swallowed the definitions below
            lines = text.count("\n", 0, start) - wrap.count("\n")
            members = tuple(Member(shifted(m.function, by, lines), m.overload) for m in block.members)
            return Block(block.start + by, block.end + by, scope, members, exact=False, clean=False)
    return None
