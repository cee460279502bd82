"""The functions of a text while it is typed: what a change leaves alone is not read again, nor lost.

A function outside functions is a block, with all that is in it. A block that a change does not touch is moved
along. Where the text is broken, the blocks elsewhere stay as they last were, shifted by the change, whatever
the parser makes of them; once the text parses again, the parser has the last word.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
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
from soa_agents.workspace.syntax import Change, Span, Syntax, parse, reparse, start_of

_DEFINITION = re.compile(r"^([ \t]*)(?:async[ \t]+)?(?:(def)|class)[ \t]+(\w+)[ \t]*[(:\[]", re.MULTILINE)
_NAMED = re.compile(r"(?:async\s+)?def\s+(\w+)")
_WRAP = "if 1:\n"  # an indented definition can be parsed by itself below this


@dataclass(frozen=True, slots=True)
class _Member:
    """A function of a block, as yet without a number behind its name."""

    function: Function
    overload: bool


@dataclass(frozen=True, slots=True)
class _Block:
    """A function outside functions, and those in it. `exact`: the parser found it where it is now."""

    start: int
    end: int
    scope: Scope
    members: tuple[_Member, ...]
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


@dataclass(frozen=True, slots=True)
class Live:
    """One state of a text that is being typed, and its functions in file order."""

    path: str
    syntax: Syntax
    functions: tuple[Function, ...]
    blocks: tuple[_Block, ...]
    sound: bool  # were the functions once read from a whole text, and followed since?


def opened(path: str, text: str) -> Live:
    """A text that is seen for the first time. Broken, it is searched for definitions line by line."""
    syntax = parse(text)
    blocks = list(_blocks(path, syntax, {}))
    broken = syntax.root.has_error or not _is_valid(text)
    if broken:
        blocks = list(_scanned(path, text, blocks))
    return _live(path, syntax, blocks, sound=not broken)


def followed(before: Live, text: str) -> Live:
    """The same text after a change."""
    if text == before.syntax.text:
        return before
    if start_of(text) or start_of(before.syntax.text):
        return opened(before.path, text)
    syntax, change = reparse(before.syntax, text)
    moved = [_moved(block, change) for block in before.blocks if not block.touches(change.before)]
    clear = moved
    for span in change.structure:
        clear = [block for block in clear if not block.touches(span)]
    known = {(block.start, block.end): block for block in clear if block.exact}
    found = list(_blocks(before.path, syntax, known))
    if not _is_broken(before, change, syntax, moved, found):
        return _live(before.path, syntax, found, sound=True)
    return _live(before.path, syntax, _mended(before, change, text, moved, found), sound=before.sound)


def _is_broken(
    before: Live, change: Change, syntax: Syntax, moved: Iterable[_Block], found: Iterable[_Block]
) -> bool:
    """The parser sees no error in wrong indentation; where it misses what was there, Python is asked."""
    if syntax.root.has_error:
        return True
    seen = {(block.start, block.name) for block in found}
    missing = any((block.start, block.name) not in seen for block in moved)
    inner = {m.function.id.name for b in before.blocks if b.touches(change.before) for m in b.members[1:]}
    if inner and not missing:
        missing = not inner <= {m.function.id.name for block in found for m in block.members[1:]}
    return missing and not _is_valid(syntax.text)


def _is_valid(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text[start_of(text) :])
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _live(path: str, syntax: Syntax, blocks: Iterable[_Block], *, sound: bool) -> Live:
    ordered = tuple(sorted(blocks, key=lambda block: block.start))
    return Live(path, syntax, tuple(_listed(ordered)), ordered, sound)


def _listed(blocks: Iterable[_Block]) -> Iterator[Function]:
    """The functions as `functions` gives them: numbered, overloads with what they declare."""
    seen: Counter[str] = Counter()
    overloads: defaultdict[str, list[Span]] = defaultdict(list)
    for member in (member for block in blocks for member in block.members):
        function = member.function
        name = function.id.qualname
        if member.overload:
            overloads[name].append(function.span)
            continue
        seen[name] += 1
        if seen[name] > 1:
            function = replace(function, id=FunctionId(function.id.path, f"{name}#{seen[name]}"))
        yield replace(function, overloads=tuple(overloads.pop(name))) if name in overloads else function


def _blocks(path: str, syntax: Syntax, known: Mapping[tuple[int, int], _Block]) -> Iterator[_Block]:
    """The blocks of a text; those in `known`, by their places, are taken as they are."""
    for node, scope in definitions(syntax, path.endswith(".pyi"), nested=False):
        if node.type != "class_definition":
            place = syntax.span(with_decorators(node))
            block = known.get(place)
            if block is None or block.scope != scope:
                block = _block(path, syntax, node, scope)
            if block is not None:
                yield block


def _block(path: str, syntax: Syntax, node: Node, scope: Scope) -> _Block | None:
    members = tuple(
        _member(path, syntax, inner, around)
        for inner, around in definitions(syntax, below=(node, scope))
        if inner.type != "class_definition"
    )
    if not members:
        return None
    return _Block(*syntax.span(with_decorators(node)), scope, members, clean=not node.has_error)


def _member(path: str, syntax: Syntax, node: Node, scope: Scope) -> _Member:
    decorators = decorators_of(syntax, node)
    named = FunctionId(path, scope.prefix + name_of(syntax, node))
    return _Member(function_of(syntax, Defined(named, node, scope, decorators, ())), is_overload(decorators))


# -- blocks that stay


def _moved(block: _Block, change: Change) -> _Block:
    """A block that a change did not touch, where it stands now."""
    by = change.after.end - change.before.end
    if block.start < change.before.end or not (by or change.lines):
        return block
    members = tuple(_Member(_shifted(m.function, by, change.lines), m.overload) for m in block.members)
    return _Block(block.start + by, block.end + by, block.scope, members, block.exact, block.clean)


def _shifted(function: Function, by: int, lines: int) -> Function:
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


def _mended(
    before: Live, change: Change, text: str, moved: list[_Block], found: list[_Block]
) -> Iterator[_Block]:
    """The blocks of a broken text: those elsewhere as they were, those at the change as far as they can be.

    Only what the parser finds as well may be taken over by the next reading.
    """
    moved_ids, found_ids = ({id(block) for block in blocks} for blocks in (moved, found))
    yield from (block if id(block) in found_ids else replace(block, exact=False) for block in moved)
    touched = (block for block in before.blocks if block.touches(change.before))
    stretched = [each for block in touched if (each := _stretched(block, change, text))]
    near = [Span(block.start, block.end) for block in stretched] + [change.after]
    fresh = _apart((block for block in found if id(block) not in moved_ids), moved)
    if before.sound:
        fresh = [block for block in fresh if any(block.touches(span) for span in near)]
    read = {(block.start, block.end, block.name): block for block in fresh if block.clean}
    yield from (read.get((block.start, block.end, block.name), block) for block in stretched)
    yield from _apart(fresh, stretched)


def _apart(blocks: Iterable[_Block], others: Iterable[_Block]) -> list[_Block]:
    """Those of `blocks` that share no character with one of `others`, which share none among themselves."""
    places = sorted((other.start, other.end) for other in others)
    found = []
    for block in blocks:
        at = bisect_left(places, (block.end,))
        if not at or places[at - 1][1] <= block.start:
            found.append(block)
    return found


def _stretched(block: _Block, change: Change, text: str) -> _Block | None:
    """A block that a change touched, with the functions whose names can still be read."""
    members = tuple(
        each for member in block.members if (each := _stretched_member(member, change, text)) is not None
    )
    if not members:
        return None
    start, end = _through(change, Span(block.start, block.end))
    return replace(block, start=start, end=end, members=members, exact=False, clean=False)


def _stretched_member(member: _Member, change: Change, text: str) -> _Member | None:
    old = member.function
    signature = _through(change, old.signature)
    named = _NAMED.match(text, signature.start)
    if named is None:
        return None
    prefix = old.id.qualname.rpartition(".")[0]
    qualname = f"{prefix}.{named[1]}" if prefix else named[1]
    function = replace(
        old,
        id=FunctionId(old.id.path, qualname),
        span=_through(change, old.span),
        name=Span(*named.span(1)),
        signature=signature,
        docstring=old.docstring and _through(change, old.docstring),
        body=_through(change, old.body),
        line=old.line + (change.lines if old.span.start > change.before.end else 0),
    )
    return _Member(function, member.overload)


def _through(change: Change, span: Span) -> Span:
    """Where a span is after a change; its ends inside the change go to the change's ends."""
    by = change.after.end - change.before.end
    start, end = (
        at if at <= change.before.start else at + by if at >= change.before.end else inside
        for at, inside in zip(span, change.after, strict=True)
    )
    return Span(start, max(start, end))


# -- a text that was broken from the first


def _scanned(path: str, text: str, found: Iterable[_Block]) -> Iterator[_Block]:
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


def _parsed_alone(path: str, text: str, match: re.Match[str], scope: Scope) -> _Block | None:
    end = _outside(len(match[1])).search(text, match.end())
    start = match.start()
    while (above := text.rfind("\n", 0, max(start - 1, 0)) + 1) < start and text[above:start].lstrip()[
        :1
    ] == "@":
        start = above
    syntax = parse(_WRAP + " " * (not match[1]) + text[start : end.start() if end else len(text)])
    by = start - len(_WRAP) - (not match[1])
    for node, _ in definitions(syntax, nested=False):
        if node.type == "function_definition":
            block = _block(path, syntax, node, scope)
            if block is None:
                return None
            signature = block.members[0].function.signature
            if _DEFINITION.search(syntax.text, signature.start + 1, signature.end):
                return None  # never closed: it swallowed the definitions below
            lines = text.count("\n", 0, start) - 1
            members = tuple(_Member(_shifted(m.function, by, lines), m.overload) for m in block.members)
            return _Block(block.start + by, block.end + by, scope, members, exact=False, clean=False)
    return None
