"""The top level of a module as it stands, however broken elsewhere: what it binds, what it imports."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from soa_agents.swarm.code import Def
from soa_agents.workspace.syntax import Span, Syntax, parse, statements


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


@lru_cache(maxsize=32)
def imported(text: str) -> Mapping[str, Set[str]]:
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
