"""What stands between two blocks of a file: imports, class headers and docstrings, statements at the margin.

Read alone, with a stand-in for the function that follows, it tells whether that one and all behind it still
stand where they stood: then nothing else of the file need be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from soa_agents.workspace.blocks import Block, is_displaced
from soa_agents.workspace.functions import Scope, definitions, with_decorators
from soa_agents.workspace.syntax import Span, Syntax, line_start, parse

_STATEMENT = re.compile(r"^(?!(?:elif|else|except|finally)\b)[^\s#)\]}]", re.MULTILINE)
_INDENT = re.compile(r"^([ \t\f]*)[^\s#]", re.MULTILINE)
_STAND_IN = "def _(): 0\n"
_ODD = re.compile(r"\r(?!\n)")  # ends a line, but not to the patterns above


class Gap(NamedTuple):
    """Whole lines between two blocks, the first of them a statement's or the one behind the first block."""

    span: Span
    above: str  # puts them where they stand: the classes around the first block, a stand-in for it
    indent: str  # of that block; nothing more than that may begin a statement
    margin: Scope
    following: tuple[str, Scope]  # indentation and scope of the function behind, or of one that would be

    def parsed(self, text: str) -> tuple[Syntax, int]:
        """These lines of `text`, and how much further on their characters are there than in the file."""
        lines = text[self.span.start : self.span.end]
        ended = "" if lines.endswith(("\n", "\r")) or not lines else "\n"
        below = f"{ended}{self.following[0]}{_STAND_IN}"
        return parse(self.above + lines + below), len(self.above) - self.span.start

    def through(self, by: int) -> Gap:
        """The same lines when there is more or less in them."""
        return self._replace(span=Span(self.span.start, self.span.end + by))


def gap_at(path: str, text: str, blocks: Sequence[Block], at: int, place: Span) -> Gap | None:
    """The lines around `place` up to the next block, behind the block of that number (-1 for none).

    They are as few as can be. None where `place` is also in a block's lines.
    """
    before = blocks[at] if at >= 0 else None
    after = blocks[at + 1] if at + 1 < len(blocks) else None
    margin = Scope(declares=path.endswith(".pyi"))
    start = _next_line(text, before.end) if before else 0
    end = after.first if after else len(text)
    line = line_start(text, place.start)
    if line < start or (after and (place.end >= end or line_start(text, after.start) != end)):
        return None
    indent = before.indent if before else ""
    above = _around(before, margin) if before and indent else ""
    for found in _STATEMENT.finditer(text, start, line):
        start, indent, above = found.start(), "", ""
    following = (after.indent, after.scope) if after else ("", margin)
    return Gap(Span(start, end), above, indent, margin, following)


def is_torn(gap: Gap, text: str) -> bool | None:
    """Are there errors in these lines? None where what follows stands otherwise, or is another function."""
    first = _INDENT.search(text, *gap.span)
    if (first and len(first[1]) > len(gap.indent)) or _ODD.search(text, *gap.span):
        return None
    syntax, _ = gap.parsed(text)
    if syntax.root.has_error:
        return True
    found = [
        (node, scope)
        for node, scope in definitions(syntax, below=(syntax.root, gap.margin), nested=False)
        if node.type == "function_definition"
    ]
    if len(found) != (2 if gap.above else 1) or with_decorators(found[-1][0]) != found[-1][0]:
        return None
    if is_displaced(syntax, found[-1][0]):
        return True
    return False if found[-1][1] == gap.following[1] else None


def _around(block: Block, margin: Scope) -> str:
    """What an indented block stands in, as far as it is known, and a stand-in for it."""
    names = block.scope.prefix.split(".")[:-1]
    declares = block.scope.declares and not margin.declares
    bases = "(Protocol)" if declares else ""
    heads = [
        f"{block.indent[: len(block.indent) * depth // len(names)]}class {name}{bases}:\n"
        for depth, name in enumerate(names)
    ]
    return "".join(heads or [f"if {'TYPE_CHECKING' if declares else 1}:\n"]) + block.indent + _STAND_IN


def _next_line(text: str, offset: int) -> int:
    found = re.compile(r"\r\n?|\n").search(text, offset)
    return found.end() if found else len(text) + 1
