"""The functions of a file in blocks: each function outside functions with all that is in it.

The parser tells them; in a text that is broken from the first, indentation does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

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
from soa_agents.workspace.syntax import Span, Syntax, parse, statements

_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?(?:(def)|class)[ \t]+(\w+)[ \t]*[(:\[]", re.MULTILINE)
_OPENING = re.compile(r"(?:async|if|elif|else|try|except|finally|for|while|with|match)\b")
_WRAP = "if 1:\n"  # an indented definition can be parsed by itself below this


class Member(NamedTuple):
    """A function of a block, as yet without a number behind its name."""

    function: Function
    overload: bool


class Block(NamedTuple):
    """A function outside functions, and those in it."""

    start: int
    end: int
    scope: Scope
    read: tuple[Member, ...]  # as they stood when they were read
    clean: bool = True  # without a syntax error in it, and indented as what it stands in
    by: int = 0  # characters and lines that they have moved by since
    lines: int = 0

    @property
    def members(self) -> tuple[Member, ...]:
        """The functions where they stand now. Worked out when asked for: at a key, most only move."""
        if not (self.by or self.lines):
            return self.read
        return tuple(Member(shifted(m.function, self.by, self.lines), m.overload) for m in self.read)

    @property
    def name(self) -> FunctionId:
        """The function's that all the others are in."""
        return self.read[0].function.id

    @property
    def indent(self) -> str:
        """The white space before it."""
        return self.read[0].function.indent

    @property
    def first(self) -> int:
        """Where its first line begins: the white space before a definition is its own."""
        return self.start - len(self.indent)

    def moved(self, by: int, lines: int) -> Block:
        """The block `by` characters and `lines` lines further on."""
        return Block(
            self.start + by,
            self.end + by,
            self.scope,
            self.read,
            self.clean,
            self.by + by,
            self.lines + lines,
        )

    def touches(self, span: Span) -> bool:
        """Do they share a character, or meet?"""
        return self.first <= span.end and span.start <= self.end


def blocks_of(
    path: str, syntax: Syntax, known: Mapping[tuple[int, int], Block], near: Span | None = None
) -> Iterator[Block]:
    """The blocks of a text; those in `known`, by their places, are taken where no error is seen now.

    With `near`, others are read only where they touch it.
    """
    for node, scope in definitions(syntax, path.endswith(".pyi"), nested=False):
        if node.type == "class_definition":
            continue
        place = syntax.span(with_decorators(node))
        block = known.get(place)
        if block is None or block.scope != scope or node.has_error:
            if near is not None and (place.end < near.start or near.end < place.start):
                continue
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
    whole = with_decorators(node)
    clean = not node.has_error and not is_displaced(syntax, whole)
    return Block(*syntax.span(whole), scope, members, clean=clean)


def is_displaced(syntax: Syntax, definition: Node) -> bool:
    """Is it indented otherwise than what it is in begins? That is an error, but none to the parser."""
    around = definition.parent
    first = None if around is None or around.type == "module" else statements(around)[0]
    return _indentation(syntax, definition) != (b"" if first is None else _indentation(syntax, first))


def _indentation(syntax: Syntax, node: Node) -> bytes:
    """What stands before it in its line, from the last form feed on, as Python counts."""
    before = syntax.data[node.start_byte - node.start_point.column : node.start_byte]
    return before.rpartition(b"\f")[2]


def _member(path: str, syntax: Syntax, node: Node, scope: Scope) -> Member:
    decorators = decorators_of(syntax, node)
    named = FunctionId(path, scope.prefix + name_of(syntax, node))
    return Member(function_of(syntax, Defined(named, node, scope, decorators, ())), is_overload(decorators))


def shifted(function: Function, by: int, lines: int) -> Function:
    """The function `by` characters and `lines` lines further on. Spelled out: it is done to many."""
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
        before = [*around]
        while around and (around[-1][0] >= width or _is_left(around[-1][0], text, last, match.start())):
            around.pop()
        last = match.end()
        if not match[2]:
            around.append((width, match[3]))
            continue
        owner = ".".join(name for _, name in around) or None
        block = known.get(match.start(3))
        if block is None or block.scope.owner != owner or not _is_decorated(text, match, block):
            block = _parsed_alone(path, text, match, Scope(f"{owner}." if owner else "", owner))
        if block is not None:
            inside, end = width, block.end
            yield block
        else:  # half a definition ends nothing
            around = before


def _is_left(width: int, text: str, start: int, end: int) -> bool:
    """Do the lines up to the definition at `end` leave what is indented by `width`?

    Not where only that explains the definition's own indentation: a line further left that opens nothing is
    broken, or part of a string.
    """
    lines = [match.end() - 1 for match in _outside(width).finditer(text, start, end)]
    return bool(lines) and _OPENING.match(text, lines[-1]) is not None


@cache
def _outside(width: int) -> re.Pattern[str]:
    """The beginning of a line that something indented by `width` does not hold."""
    return re.compile(rf"^[ \t]{{0,{width}}}[^\s#)\]}}]", re.MULTILINE)


def _is_decorated(text: str, match: re.Match[str], block: Block) -> bool:
    """Has the parser found the decorators above the definition?"""
    return block.start <= _with_decorators(text, match.start()) + len(match[1])


def _with_decorators(text: str, start: int) -> int:
    """Where the decorators begin that stand, a line each, above the line that begins at `start`."""
    while start:
        above = text.rfind("\n", 0, start - 1) + 1
        if text[above:start].lstrip()[:1] != "@":
            break
        start = above
    return start


def read_alone(path: str, block: Block, lines: str) -> tuple[Block | None, bool]:
    """A block as its lines and those behind it have it now, without the rest of the file; are they broken?

    None where they hold more than the block and simple statements: the whole file says what that means.
    """
    outer = block.members[0].function
    wrap = _WRAP if outer.indent else ""
    syntax = parse(wrap + lines)
    if syntax.root.has_error:
        return None, True
    held = statements(syntax.root)
    if wrap and len(held) == 1:
        held = statements(held[0].child_by_field_name("consequence"))
    if any(_is_shifted(syntax, held[0], each) for each in held[1:]):
        return None, True  # no error to the parser, but to Python
    if any(_holds_more(syntax, each) for each in held[1:]) or lines.rstrip(" \t").endswith("\\"):
        return None, False
    found = (node for node, _ in definitions(syntax, nested=False) if with_decorators(node) == held[0])
    read = next((_block(path, syntax, node, block.scope) for node in found), None)
    if read is None or not read.clean:
        return None, False
    return read.moved(block.first - len(wrap), outer.line - 1 - wrap.count("\n")), False


def _holds_more(syntax: Syntax, other: Node) -> bool:
    """Is it no simple statement, or in the middle of a line?"""
    is_simple = other.type.endswith("_statement") and not other.child_by_field_name("body")
    return not is_simple or bool(_indentation(syntax, other).strip())


def _is_shifted(syntax: Syntax, first: Node, other: Node) -> bool:
    """Does it begin a line that is indented otherwise than the first?"""
    before = _indentation(syntax, other)
    return not before.strip() and before != _indentation(syntax, first)


def _parsed_alone(path: str, text: str, match: re.Match[str], scope: Scope) -> Block | None:
    end = _outside(len(match[1])).search(text, match.end())
    start = _with_decorators(text, match.start())
    wrap = _WRAP if match[1] else ""
    syntax = parse(wrap + text[start : end.start() if end else len(text)])
    by = start - len(wrap)
    for node, _ in definitions(syntax, nested=False):
        if node.type == "function_definition":
            block = _block(path, syntax, node, scope)
            if block is None or block.members[0].function.name.start + by != match.start(3):
                return None  # the parser has passed over this one
            signature = block.members[0].function.signature
            if _DEFINITION.search(syntax.text, signature.start + 1, signature.end):
                return None  # never closed: it swallowed the definitions below
            lines = text.count("\n", 0, start) - wrap.count("\n")
            return block.moved(by, lines)._replace(scope=scope, clean=False)
    return None
