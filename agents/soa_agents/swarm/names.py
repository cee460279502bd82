"""The names a module has taken. Pure."""

from __future__ import annotations

import ast

from soa_agents.workspace.functions import functions


def module_names(text: str) -> frozenset[str]:
    """Every name bound at the top level of a module; of one that does not parse, its functions' names."""
    try:
        tree = ast.parse(text.removeprefix("\ufeff"))
    except (SyntaxError, ValueError):
        return frozenset(f.id.qualname for f in functions("", text) if "." not in f.id.qualname)
    return frozenset(name for statement in tree.body for name in _bound(statement))


def _bound(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {statement.name}
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
        case _:
            stored = (
                n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
            inner = (n for n in ast.walk(statement) if isinstance(n, ast.FunctionDef | ast.ClassDef))
            return {n.id for n in stored} | {n.name for n in inner}
