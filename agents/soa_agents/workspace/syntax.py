"""Tree-sitter behind one small value: Python source in, nodes with spans in characters out.

Tree-sitter goes on after a syntax error, which is why spans come from it and not from `ast`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import AnyStr, NamedTuple

import tree_sitter_python
from tree_sitter import Language, Node, Parser, Tree

IMPORTS = frozenset({"import_statement", "import_from_statement", "future_import_statement"})
_BOM = "\ufeff"
_SKIPPED = frozenset({"comment", "line_continuation"})
_BLANKS = re.compile(r"[ \t\f]*")
_TOKEN = re.compile(rb"\s*\S?\w*")
_BLOCK = 4096  # bytes or characters compared at once, where two texts are
_BOM_LINES = b"\n\n\n"  # what the parser sees in a byte order mark's place, at equal length


class Span(NamedTuple):
    """A half-open range of a file's text, counted in characters (code points)."""

    start: int
    end: int


class Syntax(NamedTuple):
    """A parsed text. Nodes count bytes, everything this class hands out counts characters."""

    text: str
    data: bytes  # what the parser read: as long as the text in UTF-8, with `\n` for every other line end
    tree: Tree
    continuations: tuple[int, ...]  # offsets of UTF-8 continuation bytes; empty for ASCII

    @property
    def root(self) -> Node:
        """The module."""
        return self.tree.root_node

    def offset(self, byte: int) -> int:
        """The character at a byte offset: the continuation bytes before it count for nothing."""
        return byte - bisect_left(self.continuations, byte)

    def byte(self, offset: int) -> int:
        """The byte offset of a character: behind the continuation bytes of the characters before it."""
        before = range(len(self.continuations))
        return offset + bisect_left(before, offset, key=lambda at: self.continuations[at] - at - 1)

    def span(self, node: Node) -> Span:
        """Where a node stands."""
        return Span(self.offset(node.start_byte), self.offset(node.end_byte))

    def source(self, node: Node) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.text[start:end]

    def end(self, node: Node) -> int:
        """Where a node's last statement ends: comments behind it are not part of it, as in `ast`."""
        return self.offset(_last_token(node).end_byte)

    def line(self, offset: int) -> int:
        """The 1-based line of a character; lines end with `\\n`, `\\r\\n` or `\\r`, as Python counts them."""
        return line_ends(self.text[:offset]) + 1

    def first_line(self, node: Node) -> int:
        """The 1-based line that a node begins on, at no cost: the parser knows it."""
        row: int = node.start_point.row
        return row + 1 - (len(_BOM_LINES) if self.text.startswith(_BOM) else 0)


@cache
def language() -> Language:
    """Python, as tree-sitter knows it."""
    return Language(tree_sitter_python.language())


def parse(text: str) -> Syntax:
    """Parse Python source, however broken."""
    data = _read(text)
    marked = (1, 2) if text.startswith(_BOM) else ()
    found = () if len(data) == len(text) else (*marked, *_continuations(data, 0, len(data)))
    return Syntax(text, data, Parser(language()).parse(data), found)


class Change(NamedTuple):
    """A text became another one: `before` was replaced by `after`; `lines` more line ends are in it."""

    before: Span
    after: Span
    lines: int
    touched: Span  # `before` and the white space behind it, which may be the indentation of what follows

    @property
    def by(self) -> int:
        """How much longer the text became."""
        return self.after.end - self.before.end


def changed(old: str, new: str) -> Change:
    """How a text became another one, as one change; a line end is changed as a whole."""
    start, end, new_end = difference(old, new)
    if start and old[start - 1] == "\r":
        start -= 1
    if old[end : end + 1] == "\n" and "\r" in (old[end - 1 : end], new[new_end - 1 : new_end]):
        end, new_end = end + 1, new_end + 1
    lines = line_ends(new[start:new_end]) - line_ends(old[start:end])
    behind = _BLANKS.match(old, end)
    touched = Span(start, behind.end() if behind else end)
    return Change(Span(start, end), Span(start, new_end), lines, touched)


def reparse(syntax: Syntax, text: str) -> Syntax:
    """Parse what a text became: only what the difference concerns is read again.

    Neither text begins with a byte order mark.
    """
    data = _read(text)
    start, end, new_end = difference(syntax.data, data)
    while start and _continues(syntax.data, start) | _continues(data, start):  # whole characters
        start -= 1
    while _continues(syntax.data, end) | _continues(data, new_end):
        end, new_end = end + 1, new_end + 1
    first, last = (bisect_left(syntax.continuations, at) for at in (start, end))
    continuations = (
        *syntax.continuations[:first],
        *_continuations(data, start, new_end),
        *[at + new_end - end for at in syntax.continuations[last:]],
    )
    tree = syntax.tree.copy()
    _tell(tree, syntax.data, data, (start, end, new_end))
    return Syntax(text, data, Parser(language()).parse(data, tree), continuations)


def _tell(tree: Tree, old: bytes, new: bytes, change: tuple[int, int, int]) -> None:
    """Tell a tree of a change, as one from within the token before it to the end of the token behind it.

    The parser then takes over far more of what follows. Where indentation may have changed, it otherwise
    passes over the rest of the file at once, to read all of it again: a tenfold difference at many places.
    """
    start, end, new_end = change
    first = max(len(new[:start].rstrip()) - 1, 0)
    more = _len_of_token(new, new_end)
    points = (_point(new, first), _point(old, end + more), _point(new, new_end + more))
    tree.edit(first, end + more, new_end + more, *points)


def _len_of_token(data: bytes, at: int) -> int:
    found = _TOKEN.match(data, at)
    return found.end() - at if found else 0


def _read(text: str) -> bytes:
    """A text as the parser reads it."""
    data = text.encode("utf-8", "replace")  # a lone surrogate becomes one `?`, still one character
    # Tree-sitter knows neither a byte order mark nor `\r` as a line end; both are replaced at equal length.
    if text.startswith(_BOM):
        data = _BOM_LINES + data[3:]
    if b"\r" in data:
        data = re.sub(rb"\r(?!\n)", b"\n", data)
    return data


def _continuations(data: bytes, start: int, end: int) -> Iterator[int]:
    return (match.start() for match in re.compile(rb"[\x80-\xbf]").finditer(data, start, end))


def difference(old: AnyStr, new: AnyStr) -> tuple[int, int, int]:
    """Where two texts begin to differ, and where in each of them they are the same again, to the end."""
    start = _same(old, new, min(len(old), len(new)), lambda text, at, size: text[at : at + size])
    most = min(len(old), len(new)) - start
    tail = _same(old, new, most, lambda text, at, size: text[len(text) - at - size : len(text) - at])
    return start, len(old) - tail, len(new) - tail


def _same(old: AnyStr, new: AnyStr, most: int, part: Callable[[AnyStr, int, int], AnyStr]) -> int:
    """How much is the same, in blocks first: comparing one by one is slow in Python."""
    at, size = 0, _BLOCK
    while size:
        while at + size <= most and part(old, at, size) == part(new, at, size):
            at += size
        size //= 2
    return at


def _continues(data: bytes, at: int) -> bool:
    return at < len(data) and 0x80 <= data[at] <= 0xBF


def _point(data: bytes, at: int) -> tuple[int, int]:
    return data.count(b"\n", 0, at), at - data.rfind(b"\n", 0, at) - 1


@lru_cache(maxsize=4)  # a tree takes many times its text's room
def parsed(text: str) -> Syntax:
    """As `parse`, remembered for the last few texts: for those who ask many small things of one."""
    return parse(text)


def statements(block: Node | None) -> tuple[Node, ...]:
    """The statements of a block or module, without comments."""
    if block is None:
        return ()
    return tuple(child for child in block.named_children if child.type not in _SKIPPED)


def start_of(text: str) -> int:
    """Where a text begins, behind a byte order mark."""
    return len(_BOM) if text.startswith(_BOM) else 0


def line_ends(text: str) -> int:
    """How many line ends are in a text."""
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def line_start(text: str, offset: int) -> int:
    """Where the line begins that holds `offset`."""
    return max(text.rfind("\n", 0, offset), text.rfind("\r", 0, offset)) + 1


def line_end(text: str, offset: int) -> int:
    """The end of the line's content that holds `offset`."""
    found = re.compile(r"[\r\n]").search(text, offset)
    return found.start() if found else len(text)


def walk(node: Node) -> Iterator[Node]:
    """A node and everything below it, in source order."""
    stack = [node]
    while stack:
        current = stack.pop()
        yield current
        stack.extend(reversed(current.children))


def docstring_of(block: Node | None) -> Node | None:
    """The string expression that is the docstring of a function's, class's or module's statements."""
    first = next(iter(statements(block)), None)
    if first is None or first.type != "expression_statement" or len(first.named_children) != 1:
        return None
    value = first.named_children[0]
    while value.type == "parenthesized_expression" and len(value.named_children) == 1:
        value = value.named_children[0]
    parts = value.named_children if value.type == "concatenated_string" else [value]
    return value if parts and all(_is_plain_string(part) for part in parts) else None


def _is_plain_string(node: Node) -> bool:
    """Neither an f-string nor bytes."""
    if node.type in _SKIPPED:
        return True
    if node.type != "string" or not node.children:
        return False
    prefix = (node.children[0].text or b"").lower()
    return not any(letter in prefix for letter in (b"f", b"b", b"t"))


def _last_token(node: Node) -> Node:
    while True:
        for child in reversed(node.children):
            if child.type not in _SKIPPED and child.end_byte > child.start_byte:
                node = child
                break
        else:
            return node
