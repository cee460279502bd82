"""The functions of a text while it is typed: what a change leaves alone is not read again, nor lost.

A function outside functions is a block, with all that is in it. A block that a change does not touch is moved
along. A change in the lines of one block, or between two, costs what these lines cost: they are parsed alone,
and the whole text only when a change goes beyond. Where the text is broken, the blocks elsewhere stay as they
last were, shifted by the change, whatever the parser makes of them; once the text parses again, the parser
has the last word.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

from soa_agents.workspace.blocks import Block, Member, blocks_of, read_alone, scanned
from soa_agents.workspace.functions import Function, innermost
from soa_agents.workspace.gaps import gap_at, is_torn
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.syntax import (
    Change,
    Span,
    Syntax,
    changed,
    difference,
    line_end,
    line_start,
    parse,
    reparse,
    start_of,
)

_COMPOUND = "async|def|class|if|elif|else|for|while|try|except|finally|with|match|case"
_NAMED = re.compile(r"(?:async[ \t]+)?def[ \t]+(\w+)")
_DEEPER = re.compile(r"(?:[ \t\f]*(?:#[^\r\n]*)?[\r\n])*([ \t]*)(?=[^\s#])")
_HEAD = re.compile(r"^[ \t\f]*(?:@|(?:async[ \t]+def|def|class)\b)", re.MULTILINE)


@dataclass(frozen=True)
class Live:
    """One state of a text that is being typed, and its functions."""

    path: str
    text: str
    syntax: Syntax  # of the text, or of what it was before the last changes, each in one block or gap
    blocks: tuple[Block, ...]
    sound: bool  # were the functions once read from a whole text, and followed since?
    broken: tuple[Span, ...] = ()  # lines that errors are in; more than all when it is not known in which

    @cached_property
    def functions(self) -> tuple[Function, ...]:
        """All functions in file order: at a key, who asks about one place asks `function_at`."""
        return tuple(_listed(self.blocks))

    @cached_property
    def has_stubs(self) -> bool:
        """Is any function a stub?"""
        return any(member.function.is_stub for block in self.blocks for member in block.read)

    def function_at(self, offset: int) -> Function | None:
        """The innermost function that holds a character, as `innermost` finds it among all."""
        at = _block_before(self.blocks, offset)
        if at < 0 or self.blocks[at].end < offset:
            return None
        if any(m.overload for m in self.blocks[at].read) or self._names.index(self._names[at]) < at:
            return innermost(self.functions, offset)  # with overloads, or numbered
        return innermost(tuple(_listed(self.blocks[at : at + 1])), offset)

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """The blocks' names, which those of the functions in them begin with."""
        return tuple([block.read[0].function.id.qualname for block in self.blocks])


def opened(path: str, text: str) -> Live:
    """A text that is seen for the first time. Broken, it is searched for definitions line by line."""
    syntax = parse(text)
    blocks = list(blocks_of(path, syntax, {}))
    broken = syntax.root.has_error or not all(block.clean for block in blocks)
    if broken:
        blocks = list(scanned(path, text, blocks))
    return _live(path, syntax, blocks, sound=not broken, broken=broken)


def partly(path: str, text: str, blocks: Iterable[Block]) -> Live:
    """A text of which no more than these blocks has been read."""
    known = tuple(blocks)
    return Live(path, text, parse(""), known, sound=False, broken=(Span(-1, len(text)),))


def followed(before: Live, text: str) -> Live:
    """The same text after a change."""
    if text == before.text:
        return before
    if start_of(text) or start_of(before.text):
        return opened(before.path, text)
    change = changed(before.text, text)
    return _typed(before, change, text) or _typed_between(before, change, text) or _read(before, change, text)


def _read(before: Live, change: Change, text: str) -> Live:
    """Where it has to be seen what the parser makes of the whole text."""
    syntax = reparse(before.syntax, text)
    moved = [_moved(block, change) for block in before.blocks if not block.touches(change.touched)]
    known = {(block.start, block.end): block for block in moved if block.clean}
    near = _near(before, change) if syntax.root.has_error and before.sound else None
    found = list(blocks_of(before.path, syntax, known, near))
    if not (syntax.root.has_error or _is_displaced(before, change, moved, found)):
        return _live(before.path, syntax, found, sound=True)
    mended = _mended(before, change, text, moved, found)
    return _live(before.path, syntax, mended, sound=before.sound, broken=True)


def parsed_at(live: Live, offset: int) -> tuple[Syntax, int] | None:
    """A parsed text that tells what stands at the character `offset`, and where it stands there.

    None where that is in the lines of a function that was typed in.
    """
    if live.syntax.text is live.text:
        return live.syntax, offset
    start, end, new_end = difference(live.syntax.text, live.text)
    if not start <= offset < new_end:
        return live.syntax, offset if offset < start else offset + end - new_end
    at = _block_before(live.blocks, offset)
    gap = gap_at(live.path, live.text, live.blocks, at, Span(offset, offset))
    if gap is None:
        return None
    syntax, by = gap.parsed(live.text)
    return syntax, offset + by


# -- changes in the lines of one block


def _typed(before: Live, change: Change, text: str) -> Live | None:
    """What a change in the lines of one block leads to; None where it concerns more than these."""
    at = _block_before(before.blocks, change.before.start)
    lines = _lines_around(before, at, change, text) if before.sound and at >= 0 else None
    if lines is None:
        return None
    was = Span(lines.start, lines.end - change.by)
    read, broken = read_alone(before.path, before.blocks[at], text[lines.start : lines.end])
    if broken and _heads(before.text, was) == _heads(text, lines):
        read = _torn(before.blocks[at], change, text)
    if read is None:
        return None
    errors = _errors(before, lines, change, broken)
    return _with(before, change, text, (*before.blocks[:at], read), errors)


def _typed_between(before: Live, change: Change, text: str) -> Live | None:
    """What a change between two blocks leads to; None where it concerns them, or adds or takes away one."""
    at = _block_before(before.blocks, change.before.start)
    place = Span(change.before.start, change.touched.end)
    gap = gap_at(before.path, before.text, before.blocks, at, place) if before.sound else None
    if gap is None or not _are_apart(before.broken, *gap.span):
        return None
    known = any(gap.span.start <= each.start < gap.span.end for each in before.broken)
    if not known and is_torn(gap, before.text) is not False:
        return None
    now = gap.through(change.by)
    broken = is_torn(now, text)
    if broken is None or (broken and _heads(before.text, gap.span) != _heads(text, now.span)):
        return None
    errors = _errors(before, now.span, change, broken)
    return _with(before, change, text, before.blocks[: at + 1], errors)


def _with(
    before: Live, change: Change, text: str, blocks: tuple[Block, ...], errors: tuple[Span, ...]
) -> Live:
    """The text after a change, whose first blocks are these; the others are as they were."""
    behind = (_moved(each, change) for each in before.blocks[len(blocks) :])
    blocks = (*blocks, *behind)
    return Live(before.path, text, before.syntax, blocks, sound=True, broken=errors)


def _block_before(blocks: Sequence[Block], offset: int) -> int:
    """The number of the last block that begins at or before a character; -1 for none."""
    return bisect_right(blocks, offset, key=lambda block: block.first) - 1


def _heads(text: str, lines: Span) -> list[str]:
    """How the lines begin that define something."""
    return _HEAD.findall(text, *lines)


def _errors(before: Live, lines: Span, change: Change, broken: bool) -> tuple[Span, ...]:
    """The lines that errors are in, now that it is known whether they are in these."""
    others = []
    for each in before.broken:
        by = change.by if each.start >= change.before.end else 0
        moved = Span(each.start + by, each.end + by)
        if moved.end <= lines.start or lines.end <= moved.start:
            others.append(moved)
    return (*others, lines) if broken else tuple(others)


def _torn(block: Block, change: Change, text: str) -> Block | None:
    """A block in whose lines errors are, as long as each of its functions can be told."""
    if not block.touches(change.touched):
        return block
    found = _stretched(block, change, text)
    return found if found and len(found.read) == len(block.read) else None


def _lines_around(before: Live, at: int, change: Change, text: str) -> Span | None:
    """The lines, as they are now, of a block and the change; else only simple statements.

    None where the change, or the errors in them, reach further: to the next definition or compound statement.
    """
    block = before.blocks[at]
    first, end = block.first, line_end(before.text, block.end)
    if line_start(before.text, block.start) < first or change.before.start < block.start:
        return None
    if change.before.end > end or not _are_apart(before.broken, first, end):
        other = _other(len(block.indent))
        start, end = end, _behind(before, at, other, end)
        if change.before.end >= end or not _are_apart(before.broken, first, end):
            return None
        if other.search(text, min(start, change.before.start), end + change.by):
            return None
    end = min(end, len(before.text))
    deeper = _DEEPER.match(before.text, end)
    if deeper and len(deeper[1]) > len(block.indent):
        return None  # wrongly, so that only the whole text can tell
    return Span(first, end + change.by)


def _are_apart(errors: Iterable[Span], first: int, end: int) -> bool:
    """Is each inside these lines or outside?"""
    return all(
        (first <= each.start and each.end <= end) or each.end <= first or end <= each.start for each in errors
    )


def _behind(before: Live, at: int, other: re.Pattern[str], start: int) -> int:
    """Where the first line from `start` on begins that is another block's, or an `_other`."""
    following = before.blocks[at + 1 : at + 2]
    end = line_start(before.text, following[0].start) if following else len(before.text) + 1
    found = other.search(before.text, start, end)
    return found.start() if found else end


@cache
def _other(indent: int) -> re.Pattern[str]:
    """The beginning of a line that is no simple statement, or is indented less than by `indent`."""
    less = rf"|[ \t]{{0,{indent - 1}}}[^\s#]" if indent else ""
    return re.compile(rf"^(?:[ \t\f]*(?:@|(?:{_COMPOUND})\b){less})", re.MULTILINE)


# -- changes that concern more


def _near(before: Live, change: Change) -> Span:
    """Where something else may stand in a text that is broken now: elsewhere nothing need be read."""
    touched = [Span(block.start, block.end) for block in before.blocks if block.touches(change.touched)]
    spans = [change.after, *(_through(change, span) for span in touched)]
    return Span(min(span.start for span in spans), max(span.end for span in spans))


def _is_displaced(before: Live, change: Change, moved: Iterable[Block], found: Iterable[Block]) -> bool:
    """Is something missing that was there, and something else wrongly indented? No error to the parser."""
    if all(block.clean for block in found):
        return False
    seen = {(block.start, block.name) for block in found}
    missing = any((block.start, block.name) not in seen for block in moved)
    inner = {m.function.id.name for b in before.blocks if b.touches(change.touched) for m in b.read[1:]}
    if inner and not missing:
        missing = not inner <= {m.function.id.name for block in found for m in block.read[1:]}
    return missing


def _live(path: str, syntax: Syntax, blocks: Iterable[Block], *, sound: bool, broken: bool = False) -> Live:
    ordered = tuple(sorted(blocks, key=lambda block: block.start))
    where = (Span(-1, len(syntax.text)),) if broken else ()
    return Live(path, syntax.text, syntax, ordered, sound, where)


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
            function = function._replace(id=FunctionId(function.id.path, f"{name}#{seen[name]}"))
        yield function._replace(overloads=tuple(overloads.pop(name))) if name in overloads else function


# -- blocks that stay


def _moved(block: Block, change: Change) -> Block:
    """A block that a change did not touch, where it stands now."""
    if block.start < change.before.end or not (change.by or change.lines):
        return block
    return block.moved(change.by, change.lines)


def _mended(
    before: Live, change: Change, text: str, moved: list[Block], found: list[Block]
) -> Iterator[Block]:
    """The blocks of a broken text: elsewhere as they were, at the change as far as they can be told."""
    yield from moved
    touched = [block for block in before.blocks if block.touches(change.touched)]
    stretched = [each for block in touched if (each := _stretched(block, change, text))]
    lost = {block.name for block in touched} - {block.name for block in stretched}
    if lost:  # the change is long, as one of a client that sends whole texts can be
        seen = (block for block in scanned(before.path, text, found) if block.name in lost)
        stretched += _apart(seen, [*moved, *stretched])
    near = [Span(block.start, block.end) for block in stretched] + [change.after]
    fresh = _apart(found, moved)
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
    return Block(start, end, block.scope, members, clean=False)


def _stretched_member(member: Member, change: Change, text: str) -> Member | None:
    old = member.function
    span, signature = _through(change, old.span), _through(change, old.signature)
    named = _NAMED.match(text, signature.start)
    if named is None or named.end() > span.end:
        return None
    prefix = old.id.qualname.rpartition(".")[0]
    qualname = f"{prefix}.{named[1]}" if prefix else named[1]
    function = old._replace(
        id=FunctionId(old.id.path, qualname),
        span=span,
        name=Span(*named.span(1)),
        signature=signature,
        docstring=old.docstring and _through(change, old.docstring),
        body=_through(change, old.body),
        line=old.line + (change.lines if old.span.start > change.before.end else 0),
    )
    return Member(function, member.overload)


def _through(change: Change, span: Span) -> Span:
    """Where a span is after a change; its ends inside the change go to the change's ends."""
    by = change.by
    start, end = (
        at if at <= change.before.start else at + by if at >= change.before.end else inside
        for at, inside in zip(span, change.after, strict=True)
    )
    return Span(start, max(start, end))
