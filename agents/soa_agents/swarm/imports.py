"""The top level of a module as it stands, however broken elsewhere: what it binds, where imports go."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from soa_agents.swarm.code import Def
from soa_agents.workspace.syntax import IMPORTS, Span, Syntax, line_end, parse, start_of, statements

_DEFINITIONS = frozenset({"function_definition", "class_definition", "decorated_definition"})


@dataclass(frozen=True, slots=True)
class Statement:
    """One top-level statement. `node` is None where it does not parse by itself."""

    span: Span
    kind: str  # tree-sitter's name for it
    node: ast.stmt | None


@lru_cache(maxsize=16)
def top_level(text: str) -> tuple[Statement, ...]:
    """The top-level statements of a module in file order. Their nodes are shared: not to be changed."""
    syntax = parse(text)
    return tuple(
        Statement(_span(syntax, node), node.type, _parsed(syntax.source(node)))
        for node in statements(syntax.root)
    )


def bindings(text: str) -> dict[str, list[ast.stmt]]:
    """What binds each qualified name of a module: functions, classes, constants, imports, class members.

    Names inside functions are left out. Broken statements bind nothing.
    """
    found: defaultdict[str, list[ast.stmt]] = defaultdict(list)
    for statement in top_level(text):
        if statement.node is not None:
            for name, node in _bound_in([statement.node], ""):
                found[name].append(node)
    return dict(found)


def module_names(text: str) -> frozenset[str]:
    """Every name bound at the top level of a module."""
    return frozenset(name for name in bindings(text) if "." not in name)


def names(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a statement binds itself: those that a loop counts with, not those bound in the loop."""
    if isinstance(statement, ast.ClassDef | Def):
        return (statement.name,)
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return tuple(meanings(statement))
    inner = {id(node) for each in inner_statements(statement) for node in ast.walk(each)}
    return tuple(
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in inner
    )


def inner_statements(node: ast.stmt) -> list[ast.stmt]:
    """The statements that a compound statement other than a definition runs."""
    if isinstance(node, ast.ClassDef | Def):
        return []
    inner = [each for field in ("body", "orelse", "finalbody") for each in getattr(node, field, [])]
    return inner + [each for handler in getattr(node, "handlers", []) for each in handler.body]


def meanings(statement: ast.stmt) -> dict[str, str]:
    """The names an import statement binds and what they mean: `{"b": "x:a"}` for `from x import a as b`."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: f"={alias.name}" if alias.asname else alias.name
            for alias in statement.names
        }
    if isinstance(statement, ast.ImportFrom):
        source = "." * statement.level + (statement.module or "")
        return {alias.asname or alias.name: f"{source}:{alias.name}" for alias in statement.names}
    return {}


def single_imports(statement: ast.Import | ast.ImportFrom) -> tuple[str, ...]:
    """The statement as one import for each name."""
    alone = []
    for alias in statement.names:
        if isinstance(statement, ast.Import):
            alone.append(ast.unparse(ast.Import([alias])))
        else:
            alone.append(ast.unparse(ast.ImportFrom(statement.module, [alias], statement.level)))
    return tuple(alone)


def imported(text: str) -> dict[str, set[str]]:
    """What the module's top level already imports; for type checkers alone does not count."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for statement in top_level(text):
        for node in _run([statement.node] if statement.node is not None else []):
            for name, meaning in meanings(node).items():
                found[name].add(meaning)
    return dict(found)


def new_imports(node: ast.Import | ast.ImportFrom, text: str) -> tuple[str, ...]:
    """The single imports of `node` that the module does not have."""
    have = imported(text)
    return tuple(
        each
        for each in single_imports(node)
        for name, meaning in meanings(ast.parse(each).body[0]).items()
        if meaning not in have.get(name, ())
    )


def missing(text: str, wanted: Iterable[str]) -> tuple[str, ...]:
    """The import statements of `wanted` that the module does not have, once each and joined by source."""
    have = {meaning for each in imported(text).items() for meaning in _pairs(each)}
    plain: list[str] = []
    sources: dict[tuple[str | None, int], list[ast.alias]] = {}
    for source in wanted:
        for node in ast.parse(source).body:
            for alone in single_imports(node) if isinstance(node, ast.Import | ast.ImportFrom) else ():
                single = ast.parse(alone).body[0]
                pair = next(iter(meanings(single).items()))
                if pair in have:
                    continue
                have.add(pair)
                if isinstance(single, ast.ImportFrom):
                    sources.setdefault((single.module, single.level), []).extend(single.names)
                else:
                    plain.append(alone)
    joined = [
        ast.unparse(ast.ImportFrom(module, sorted(aliases, key=lambda alias: alias.name), level))
        for (module, level), aliases in sources.items()
    ]
    return tuple(plain + joined)


def import_place(text: str) -> tuple[int, bool]:
    """Where new imports go: an offset behind the end of a line's content, and whether imports stand there.

    Behind the last import of the header (what comes before the first definition), else behind the module's
    docstring, else behind the comments that open the file, else the very start (behind a byte order mark).
    """
    found = top_level(text)
    end: int | None = None
    is_import = False
    for number, statement in enumerate(found):
        if statement.kind in _DEFINITIONS:
            break
        if statement.kind in IMPORTS:
            end, is_import = statement.span.end, statement.kind != "future_import_statement"
        elif number == 0 and _is_docstring(statement.node):
            end = statement.span.end
    if end is None:
        return _after_comments(text, found), False
    return line_end(text, end), is_import


def _span(syntax: Syntax, node: Node) -> Span:
    return Span(syntax.offset(node.start_byte), syntax.end(node))


def _parsed(source: str) -> ast.stmt | None:
    try:
        body = ast.parse(source.replace("\r\n", "\n").replace("\r", "\n")).body
    except (SyntaxError, ValueError):  # ValueError: a NUL character
        return None
    return body[0] if body else None


def _bound_in(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield prefix + node.name, node
            yield from _bound_in(node.body, f"{prefix}{node.name}.")
        else:
            for name in names(node):
                yield prefix + name, node
            yield from _bound_in(inner_statements(node), prefix)


def _run(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Simple statements that run when the module is imported, branches included."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            yield from _run(node.orelse)
        elif inner := inner_statements(node):
            yield from _run(inner)
        else:
            yield node


def _pairs(found: tuple[str, set[str]]) -> list[tuple[str, str]]:
    return [(found[0], meaning) for meaning in found[1]]


def _is_docstring(node: ast.stmt | None) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _after_comments(text: str, found: Sequence[Statement]) -> int:
    """Behind the comments that open the file: all when a blank line follows them, else shebang and coding."""
    start = start_of(text)
    limit = found[0].span.start if found else len(text)
    lines = re.findall(r"[^\r\n]*(?:\r\n|\r|\n)", text[start:limit])
    block = [line for line in lines if line.strip()]
    opening = 0
    while opening < len(lines) and lines[opening].startswith("#"):
        opening += 1
    if opening == len(block) and opening == len(lines) and found:
        opening = sum(bool(re.match(r"#!|#.*coding[:=]", line)) for line in lines[:2])
    taken = "".join(lines[:opening])
    return start + len(taken.rstrip("\r\n"))
