"""Which modules' names something lists, so that a new name would be met. Copied beside the tests; pure.

Python 3.9 or newer, standard library only. What runs in a candidate's own process meets the names that were
added, as it would in a new one. So only two kinds of listing count: by code that ran while the tests were
collected, and by what tells an order, in which a name that was added comes last.
"""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator
from typing import Any

_HINT = re.compile(r"\b(?:dir|vars|getmembers|globals|locals)\s*\(|__dict__|\bmodules\s*\[")
_STAR = re.compile(r"^\s*from\s+(\S+)\s+import\s+\*", re.MULTILINE)
_ORDERED = ("vars", "globals")  # the others sort what they list
_ONE_NAME = ("get", "pop", "setdefault", "update")
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)


def starred(text: str, package: str) -> Iterator[str]:
    """The last names of the modules of which `text` imports everything; `package` is what "." means."""
    for name in _STAR.findall(text):
        yield name.rpartition(".")[2] or package


def listed(text: str, module: Any, ran: set[int]) -> Iterator[str]:
    """The last names of the modules and classes whose names `text`, which is `module`'s, lists; "" for any.

    `ran` are the lines at which functions begin that ran while the tests were collected.
    """
    if _HINT.search(text) is None:
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:
        yield ""
        return
    lookups = {id(node) for node in _lookups(tree)}
    for node, early in _with_time(tree, True, ran):
        what = _about(node, early)
        if what is not None and id(node) not in lookups:
            yield from _meant(what, module)


def _with_time(node: ast.AST, early: bool, ran: set[int]) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether its code ran while collecting."""
    yield node, early
    later = early
    if isinstance(node, _DEFS):
        later = min([node.lineno, *(d.lineno for d in node.decorator_list)]) in ran
    body = {id(statement) for statement in node.body} if isinstance(node, _DEFS) else set()
    for child in ast.iter_child_nodes(node):
        yield from _with_time(child, later if id(child) in body else early, ran)


def _lookups(tree: ast.Module) -> Iterator[ast.AST]:
    """What is only asked for one name: `globals()[name]`, `thing.__dict__.get(name)`, `name in vars(x)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in _ONE_NAME:
                yield node.func.value
        elif (
            isinstance(node, ast.Compare)
            and len(node.ops) == 1
            and isinstance(node.ops[0], (ast.In, ast.NotIn))
        ):
            yield node.comparators[0]


def _about(node: ast.AST, early: bool) -> str | None:
    """The expression whose names the node lists, empty for those around it; None when it lists none."""
    if isinstance(node, ast.Attribute) and node.attr == "__dict__":
        return ast.unparse(node.value)
    if isinstance(node, ast.Subscript) and ast.unparse(node).endswith("modules[__name__]"):
        return "" if early else None
    if not isinstance(node, ast.Call):
        return None
    name = ast.unparse(node.func).rpartition(".")[2]
    if name not in ("dir", "vars", "getmembers", "globals", "locals") or not (early or name in _ORDERED):
        return None
    if not node.args:
        return "" if early or name == "globals" else None  # in a function the others list what is local
    return ast.unparse(node.args[0])


def _meant(expression: str, module: Any) -> Iterator[str]:
    """The last names of the modules and classes that an expression in `module` may mean."""
    thing: Any = module
    for part in expression.split(".") if expression else ():
        thing = getattr(thing, part, None)
    if isinstance(thing, (types.ModuleType, type)):
        yield thing.__name__.rpartition(".")[2]
    elif thing is None and "mod" in expression.lower():
        yield ""
