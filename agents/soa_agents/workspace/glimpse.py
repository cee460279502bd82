"""The functions around one place of a long text, before the whole of it has been read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from soa_agents.workspace.blocks import blocks_of
from soa_agents.workspace.live import Live, partly
from soa_agents.workspace.syntax import line_ends, parse, start_of, statements

_TOP = re.compile(r"^(?:@|(?:async[ \t]+def|def|class)[ \t]+(\w+))", re.MULTILINE)


class _Top(NamedTuple):
    """A definition at the margin, from its first decorator to the next one's."""

    name: str
    start: int
    end: int


def glimpse(path: str, text: str, offset: int) -> Live | None:
    """The text with the functions of that definition at the margin which holds the character `offset`, alone.

    None where only the whole text can tell: outside functions, in a broken definition, or where its name is
    defined again. What looks like a definition in a string is taken for one.
    """
    tops = list(_tops(text))
    here = next((top for top in tops if top.start <= offset < top.end), None)
    if here is None or start_of(text) or sum(top.name == here.name for top in tops) > 1:
        return None
    syntax = parse(text[here.start : here.end])
    first = statements(syntax.root)[:1]
    end = here.start + syntax.offset(first[0].end_byte) if first else 0
    if syntax.root.has_error or offset > end:
        return None
    lines = line_ends(text[: here.start])
    moved = (block.moved(here.start, lines) for block in blocks_of(path, syntax, {}))
    blocks = [block for block in moved if block.end <= end]
    return partly(path, text, blocks) if any(b.start <= offset <= b.end for b in blocks) else None


def _tops(text: str) -> Iterator[_Top]:
    starts: list[int] = []  # of the decorators before a definition, and of itself
    name = ""
    for found in _TOP.finditer(text):
        if name:
            yield _Top(name, starts[0], found.start())
            starts.clear()
        starts.append(found.start())
        name = found[1] or ""
    if name:
        yield _Top(name, starts[0], len(text))
