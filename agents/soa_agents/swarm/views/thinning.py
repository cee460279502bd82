"""A long test made short: of its rows of parameters and of its body what tells most. Pure."""

from __future__ import annotations

import re
from itertools import pairwise

from tree_sitter import Node

from soa_agents.swarm.views.around import bounded
from soa_agents.workspace.functions import functions
from soa_agents.workspace.syntax import Syntax, parse, walk

_TABLES = frozenset({"list", "tuple", "set", "dictionary"})
_MANY = 8  # elements, each on lines of its own, that make a literal a table
_TELLING = re.compile(r"\bassert|\braises\(|\.assert\w+\(")


def thinned(code: str, limit: int) -> str:
    """A test function in about `limit` characters, or as it stands when it is no longer than that.

    Of its longest table of rows those are kept that stand below a comment, and a spread of the others, the
    first and the last included; the text says how many. If that is not enough, the body goes down to the
    statements that assert, each with the one before it.
    """
    if len(code) <= limit:
        return code
    syntax = parse(code)
    tables = [node for node in walk(syntax.root) if _is_table(node)]
    if tables:
        longest = max(tables, key=lambda node: node.end_byte - node.start_byte)
        code = _with_fewer_rows(syntax, longest, len(code) - limit)
    return code if len(code) <= limit * 4 // 3 else _with_less_body(code, limit)


def _rows(table: Node) -> list[Node]:
    return [child for child in table.named_children if child.type != "comment"]


def _is_table(node: Node) -> bool:
    if node.type not in _TABLES or len(_rows(node)) < _MANY:
        return False
    places = [(node.start_point[0],) * 2, *((r.start_point[0], r.end_point[0]) for r in _rows(node))]
    apart = all(before[1] < after[0] for before, after in pairwise(places))
    return apart and places[-1][1] < node.end_point[0]


def _with_fewer_rows(syntax: Syntax, table: Node, excess: int) -> str:
    """The code with so many rows of the table left out that it is shorter by about `excess` characters."""
    lines, rows = syntax.text.split("\n"), _rows(table)
    size = max(1, (table.end_byte - table.start_byte) // len(rows))
    wanted = max(4, len(rows) - excess // size - 2)
    above = {c.start_point[0] for c in table.named_children if c.type == "comment"}
    marked = [n for n, row in enumerate(rows) if row.start_point[0] - 1 in above]
    kept = {0, len(rows) - 1, *marked[: wanted - 2]}
    others = [n for n in range(len(rows)) if n not in kept]
    kept |= {others[n * len(others) // (wanted - len(kept))] for n in range(max(0, wanted - len(kept)))}
    first = table.start_point[0] + 1
    margin = re.match(r"\s*", lines[rows[0].start_point[0]])
    shown = [*lines[:first], f"{margin.group() if margin else ''}# {len(kept)} of {len(rows)} rows:"]
    for n in sorted(kept):
        start, end = rows[n].start_point[0], rows[n].end_point[0] + 1
        while start - 1 in above:
            start -= 1
        shown += lines[start:end]
    return "\n".join([*shown, *lines[table.end_point[0] :]])


def _with_less_body(code: str, limit: int) -> str:
    """The code with the statements of its body that assert and what precedes each, as many as fit."""
    syntax, found = parse(code), functions("", code)
    if not found:
        return bounded(code, limit)
    outermost = min((n for n in walk(syntax.root) if n.type == "block"), key=lambda n: n.start_byte)
    own = (n for n in outermost.named_children if syntax.span(n).start >= found[0].body.start)
    body = [syntax.source(node) for node in own]
    telling = [n for n, text in enumerate(body) if _TELLING.search(text)]
    kept, room = list[int](), limit
    for n in dict.fromkeys(each for place in telling for each in (place - 1, place) if each >= 0):
        room -= len(body[n])
        if room > 0:
            kept.append(n)
    if not kept:
        return bounded(code, limit)
    shown = [code[: found[0].body.start].rstrip()]
    for before, n in pairwise([-1, *sorted(kept), len(body)]):
        shown += ["    ..."] if n > before + 1 else []
        shown += [f"    {body[n]}"] if n < len(body) else []
    return "\n".join(shown)
