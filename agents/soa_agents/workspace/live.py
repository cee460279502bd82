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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from soa_agents.workspace.blocks import Block, Member, blocks_of, scanned, shifted
from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.syntax import Change, Span, Syntax, parse, reparse, start_of

_NAMED = re.compile(r"(?:async\s+)?def\s+(\w+)")


@dataclass(frozen=True, slots=True)
class Live:
    """One state of a text that is being typed, and its functions in file order."""

    path: str
    syntax: Syntax
    functions: tuple[Function, ...]
    blocks: tuple[Block, ...]
    sound: bool  # were the functions once read from a whole text, and followed since?


def opened(path: str, text: str) -> Live:
    """A text that is seen for the first time. Broken, it is searched for definitions line by line."""
    syntax = parse(text)
    blocks = list(blocks_of(path, syntax, {}))
    broken = syntax.root.has_error or not _is_valid(text)
    if broken:
        blocks = list(scanned(path, text, blocks))
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
    found = list(blocks_of(before.path, syntax, known))
    if not _is_broken(before, change, syntax, moved, found):
        return _live(before.path, syntax, found, sound=True)
    return _live(before.path, syntax, _mended(before, change, text, moved, found), sound=before.sound)


def _is_broken(
    before: Live, change: Change, syntax: Syntax, moved: Iterable[Block], found: Iterable[Block]
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


def _live(path: str, syntax: Syntax, blocks: Iterable[Block], *, sound: bool) -> Live:
    ordered = tuple(sorted(blocks, key=lambda block: block.start))
    return Live(path, syntax, tuple(_listed(ordered)), ordered, sound)


def _listed(blocks: Iterable[Block]) -> Iterator[Function]:
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


# -- blocks that stay


def _moved(block: Block, change: Change) -> Block:
    """A block that a change did not touch, where it stands now."""
    by = change.after.end - change.before.end
    if block.start < change.before.end or not (by or change.lines):
        return block
    members = tuple(Member(shifted(m.function, by, change.lines), m.overload) for m in block.members)
    return Block(block.start + by, block.end + by, block.scope, members, block.exact, block.clean)


def _mended(
    before: Live, change: Change, text: str, moved: list[Block], found: list[Block]
) -> Iterator[Block]:
    """The blocks of a broken text: those elsewhere as they were, those at the change as far as they can be.

    Only what the parser finds as well may be taken over by the next reading.
    """
    moved_ids, found_ids = ({id(block) for block in blocks} for blocks in (moved, found))
    yield from (block if id(block) in found_ids else replace(block, exact=False) for block in moved)
    touched = [block for block in before.blocks if block.touches(change.before)]
    stretched = [each for block in touched if (each := _stretched(block, change, text))]
    lost = {block.name for block in touched} - {block.name for block in stretched}
    if lost:  # the change is long, as one of a client that sends whole texts can be
        seen = (block for block in scanned(before.path, text, found) if block.name in lost)
        stretched += _apart(seen, [*moved, *stretched])
    near = [Span(block.start, block.end) for block in stretched] + [change.after]
    fresh = _apart((block for block in found if id(block) not in moved_ids), moved)
    if before.sound:
        fresh = [block for block in fresh if any(block.touches(span) for span in near)]
    read = {(block.start, block.end, block.name): block for block in fresh if block.clean}
    yield from (read.get((block.start, block.end, block.name), block) for block in stretched)
    yield from _apart(fresh, stretched)


def _apart(blocks: Iterable[Block], others: Iterable[Block]) -> list[Block]:
    """Those of `blocks` that share no character with one of `others`, which share none among themselves."""
    places = sorted((other.start, other.end) for other in others)
    found = []
    for block in blocks:
        at = bisect_left(places, (block.end,))
        if not at or places[at - 1][1] <= block.start:
            found.append(block)
    return found


def _stretched(block: Block, change: Change, text: str) -> Block | None:
    """A block that a change touched, with the functions whose names can still be read."""
    members = tuple(
        each for member in block.members if (each := _stretched_member(member, change, text)) is not None
    )
    if not members:
        return None
    start, end = _through(change, Span(block.start, block.end))
    return replace(block, start=start, end=end, members=members, exact=False, clean=False)


def _stretched_member(member: Member, change: Change, text: str) -> Member | None:
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
    return Member(function, member.overload)


def _through(change: Change, span: Span) -> Span:
    """Where a span is after a change; its ends inside the change go to the change's ends."""
    by = change.after.end - change.before.end
    start, end = (
        at if at <= change.before.start else at + by if at >= change.before.end else inside
        for at, inside in zip(span, change.after, strict=True)
    )
    return Span(start, max(start, end))
