"""Operations on the text of one function: taken apart, cut out, moved to the right.

All of them take source that parses, with `\n` line ends, and leave what stands inside string literals alone.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from soa_agents.swarm.code import definition, docstring_node, same_code

_HOLDERS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)  # of docstrings
_TEXTS = (ast.Constant, ast.JoinedStr)


@dataclass(frozen=True, slots=True)
class Parts:
    """A function taken apart: `header + comment + lead + docstring + body` is its source again.

    `header` ends with the signature's colon. A function on one line comes with its body on a line below.
    """

    header: str
    comment: str  # behind the colon, with the blanks before it and the line's end
    lead: str  # comment lines before the docstring
    docstring: str  # whole lines, "" where there is none
    body: str
    indent: str  # white space before the body's statements


def stub_of(source: str) -> str:
    """The signature and docstring of a function whose body does not parse, with `...` for the body.

    Raises `SyntaxError` when the signature does not parse either.
    """
    lines, end, docstring = source.split("\n"), (0, 0), ""
    try:
        tokens = _tokens(source)
        end = _colon(tokens)
        passed = (tokenize.COMMENT, tokenize.NEWLINE, tokenize.NL, tokenize.INDENT)
        first = next(token for token in tokens if token.type not in passed)
        docstring = f"    {first.string}\n" if first.type == tokenize.STRING else ""
    except (tokenize.TokenError, StopIteration, ValueError, SyntaxError):
        pass
    row, column = end
    header = "\n".join([*lines[: max(row - 1, 0)], lines[row - 1][:column]])
    stub = f"{header}\n{docstring}    ..."
    ast.parse(stub)
    return stub


def parts(source: str) -> Parts:
    """Take the one function of `source` apart. Overloads before it belong to its header."""
    node = definition(source)
    lines = source.split("\n")
    row, column = _colon(token for token in _tokens(source) if token.start[0] >= node.lineno)
    header = "\n".join([*lines[: row - 1], lines[row - 1][:column]])
    doc, first = docstring_node(node), node.body[0]
    if first.lineno == row:
        text = _segment(lines, first, node.body[-1])
        comment = _comment_behind(lines, node.body[-1])
        indent = "    "
        if doc is None:
            return Parts(header, f"{comment}\n", "", "", indent + text, indent)
        rest = _segment(lines, node.body[1], node.body[-1]) if node.body[1:] else ""
        own = _segment(lines, doc, doc)
        return Parts(header, f"{comment}\n", "", f"{indent}{own}\n", indent + rest if rest else "", indent)
    comment = lines[row - 1][column:].rstrip() + "\n"
    indent = lines[first.lineno - 1][: character_at(lines, first.lineno, first.col_offset)]
    if doc is None:
        return Parts(header, comment, "", "", _joined(lines[row:]), indent)
    lead = "".join(f"{line}\n" for line in lines[row : doc.lineno - 1])
    if node.body[1:] and node.body[1].lineno == doc.end_lineno:
        own, rest = _segment(lines, doc, doc), _segment(lines, node.body[1], node.body[-1])
        return Parts(header, comment, lead, f"{indent}{own}\n", indent + rest, indent)
    end = doc.end_lineno or doc.lineno
    docstring = "".join(f"{line}\n" for line in lines[doc.lineno - 1 : end])
    return Parts(header, comment, lead, docstring, _joined(lines[end:]), indent)


def cut(source: str, node: ast.stmt) -> str:
    """The text of a statement (a function with its decorators), dedented to column 0."""
    lines = source.split("\n")
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(each.lineno for each in decorators)])
    last = node.end_lineno or node.lineno
    lines[first - 1] = start = lines[first - 1].rpartition("\f")[2]
    margin = start[: len(start) - len(start.lstrip())]
    inside = _inside_strings(source)
    taken = [
        line if first + offset in inside else _without_margin(line, margin)
        for offset, line in enumerate(lines[first - 1 : last])
    ]
    return "\n".join(taken).rstrip()


def indent_unit(source: str) -> str:
    """The white space that the first indented line of `source` has more than the line it belongs to."""
    try:
        for token in _tokens(source):
            if token.type == tokenize.INDENT:
                return token.string
    except (tokenize.TokenError, SyntaxError):
        pass
    return "    "


def indented(source: str, prefix: str, unit: str) -> str:
    """Dedented `source` moved to the right by `prefix`, each level indented by `unit`.

    Docstrings move with their code; other strings that span lines keep every character.
    """
    inside, docstrings = _inside_strings(source), _docstring_lines(source)
    own = indent_unit(source)
    lines = [
        line if number in inside else _leveled(line, own, unit, docstrings.get(number))
        for number, line in enumerate(source.split("\n"), 1)
    ]
    if own == unit or not _parses_alike(source, "\n".join(lines)):
        lines = source.split("\n")
    return "\n".join(
        prefix + line if line.strip() and number not in inside else line
        for number, line in enumerate(lines, 1)
    )


def first_line(source: str) -> str:
    """The first line of a definition's docstring; empty where it has none or cannot be read."""
    try:
        (function,) = ast.parse(source).body
    except (SyntaxError, ValueError):
        return ""
    said = (
        ast.get_docstring(function) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) else None
    )
    return said.strip().partition("\n")[0] if said else ""


def words(source: str) -> frozenset[str]:
    """Every identifier-like word of `source`, strings and comments included."""
    return frozenset(re.findall(r"\w+", source))


def _parses_alike(one: str, two: str) -> bool:
    try:
        return same_code(ast.parse(one).body, ast.parse(two).body)
    except SyntaxError:
        return False


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source, newline="\n").readline)


def _colon(tokens: Iterator[tokenize.TokenInfo]) -> tuple[int, int]:
    """Row (from 1) and column just behind the colon that ends the first signature."""
    depth, seen = 0, False
    for token in tokens:
        seen = seen or (token.string == "def" and depth == 0)
        if token.type == tokenize.OP:
            depth += (token.string in "([{") - (token.string in ")]}")
            if seen and depth == 0 and token.string == ":":
                return token.end
    raise ValueError("the signature has no colon")


def character_at(lines: Sequence[str], row: int, offset: int) -> int:
    """The character that `ast` means by `offset` in a row (from 1): it counts UTF-8 bytes."""
    return len(lines[row - 1].encode()[:offset].decode())


def _segment(lines: Sequence[str], first: ast.stmt, last: ast.stmt) -> str:
    start = character_at(lines, first.lineno, first.col_offset)
    row = last.end_lineno or last.lineno
    end = character_at(lines, row, last.end_col_offset or 0)
    if first.lineno == row:
        return lines[row - 1][start:end]
    return "\n".join([lines[first.lineno - 1][start:], *lines[first.lineno : row - 1], lines[row - 1][:end]])


def _comment_behind(lines: Sequence[str], last: ast.stmt) -> str:
    row = last.end_lineno or last.lineno
    rest = lines[row - 1][character_at(lines, row, last.end_col_offset or 0) :]
    return rest.rstrip() if rest.strip().startswith("#") else ""


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines).rstrip()


@lru_cache(maxsize=16)  # every helper of a reply is cut out of the same text
def _inside_strings(source: str) -> frozenset[int]:
    """Rows that begin inside a string literal which is no docstring."""
    every = tuple(ast.walk(ast.parse(source)))
    documented = {
        node.lineno for holder in every if isinstance(holder, _HOLDERS) and (node := docstring_node(holder))
    }
    spread = (each for each in every if isinstance(each, _TEXTS) and each.lineno != each.end_lineno)
    if all(each.lineno in documented for each in spread):
        return frozenset()  # nearly every reply: reading its tokens costs more than all else
    rows: set[int] = set()
    opened: list[int] = []
    for token in _tokens(source):
        kind = tokenize.tok_name[token.type]
        if kind == "STRING" and token.start[0] not in documented:
            rows.update(range(token.start[0] + 1, token.end[0] + 1))
        elif kind == "FSTRING_START":
            opened.append(token.start[0])
        elif kind == "FSTRING_END":
            rows.update(range(opened.pop() + 1, token.end[0] + 1))
    return frozenset(rows)


def _docstring_lines(source: str) -> dict[int, str]:
    """The rows inside docstrings, each with the white space before its docstring."""
    lines, rows = source.split("\n"), dict[int, str]()
    for holder in ast.walk(ast.parse(source)):
        if isinstance(holder, _HOLDERS) and (node := docstring_node(holder)):
            start = lines[node.lineno - 1]
            margin = start[: len(start) - len(start.lstrip())]
            rows |= dict.fromkeys(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1), margin)
    return rows


def _without_margin(line: str, margin: str) -> str:
    if line.startswith(margin):
        return line[len(margin) :]
    return line.lstrip()  # a comment or continuation line that stands further left


def _leveled(line: str, own: str, unit: str, docstring: str | None) -> str:
    """`line` with each leading `own` replaced by `unit`; in a docstring only up to where it begins."""
    levels, rest = 0, line
    while rest.startswith(own) and (docstring is None or (levels + 1) * len(own) <= len(docstring)):
        levels, rest = levels + 1, rest[len(own) :]
    return unit * levels + rest
