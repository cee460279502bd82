"""Changes of one function such as a model might write, at random: for measuring, not for jobs. Pure."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Iterator

_OPERATORS = {ast.Add: "-", ast.Sub: "+", ast.Mult: "+", ast.Div: "*", ast.Mod: "//", ast.FloorDiv: "/"}
_COMPARISONS = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "=="}
_COMPARISONS |= {ast.In: "not in", ast.NotIn: "in", ast.Is: "is not", ast.IsNot: "is"}

_HELPERS = (
    "def {name}(value):\n    return value\n",
    "def {name}(value, *, times=1):\n    for _ in range(times):\n        pass\n    return value\n",
    "@functools.lru_cache(maxsize=None)\ndef {name}_sign():\n    return 1\n\n\n"
    "def {name}(value):\n    return value if {name}_sign() else None\n",
)
_IMPORT = "import functools\n"


def mutate(text: str, line: int, chance: random.Random, helpers: bool) -> str | None:
    """`text` with the function that begins at `line` changed in one place; None where nothing can be.

    With `helpers` a part of it moves into one to three new functions of the module, one needs an import.
    """
    tree = ast.parse(text)
    node = next((n for n in ast.walk(tree) if _begins(n) == line), None)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    places = [place for place in _places(node) if place[0].lineno == place[0].end_lineno]
    if not places:
        return None
    where, change = chance.choice(places)
    changed = _replaced(text, where, change(_segment(text, where)))
    return _with_helpers(changed, tree, node, chance) if helpers else changed


def _begins(node: ast.AST) -> int:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return 0
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


_Place = tuple[ast.expr | ast.stmt, Callable[[str], str]]


def _places(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[_Place]:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    inside = [node for statement in body for node in ast.walk(statement)]
    quoted = {id(part) for node in inside if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    for node in inside:
        if id(node) in quoted:
            continue
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            yield node, _between(node.left, node.right, _OPERATORS[type(node.op)])
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield node, _between(node.left, node.comparators[0], _COMPARISONS[type(node.ops[0])])
        elif isinstance(node, ast.Constant):
            yield node, _other_constant(node.value)
        elif isinstance(node, ast.Return) and node.value is not None:
            yield node.value, lambda text: "None"
        elif isinstance(node, ast.If) and node.test.lineno == node.test.end_lineno:
            yield node.test, lambda text: f"not ({text})"
        elif isinstance(node, ast.Expr | ast.Assign | ast.AugAssign) and node.col_offset > 0:
            yield node, lambda text: f"pass  # {text}"


def _between(left: ast.expr, right: ast.expr, operator: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        return f"({ast.unparse(left)}) {operator} ({ast.unparse(right)})"

    return change


def _other_constant(value: object) -> Callable[[str], str]:
    if isinstance(value, bool) or value is None:
        other = "True" if not value else "False"
    elif isinstance(value, int | float):
        other = repr(value + 1)
    elif isinstance(value, str):
        other = repr(value + "x")
    else:
        other = "None"
    return lambda text: other


def _segment(text: str, node: ast.expr | ast.stmt) -> str:
    return ast.get_source_segment(text, node) or ""


def _replaced(text: str, node: ast.expr | ast.stmt, new: str) -> str:
    lines = text.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()
    assert node.end_col_offset is not None  # noqa: S101 - parsed from text
    changed = line[: node.col_offset] + new.encode() + line[node.end_col_offset :]
    lines[node.lineno - 1] = changed.decode()
    return "".join(lines)


def _with_helpers(
    text: str, tree: ast.Module, function: ast.FunctionDef | ast.AsyncFunctionDef, chance: random.Random
) -> str:
    """The function's last one-line return goes through a new helper, which stands above or below it."""
    returns = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value and node.value.lineno == node.value.end_lineno
    ]
    holder = next(s for s in tree.body if s.lineno <= function.lineno <= (s.end_lineno or 0))
    helper = chance.choice(_HELPERS)
    lines = text.splitlines(keepends=True)
    if returns:
        value = max(returns, key=lambda node: node.lineno).value
        line = lines[value.lineno - 1] if value else ""
        head, word, rest = line.rstrip("\n").partition("return ")
        if word and "#" not in rest and ";" not in rest:
            lines[value.lineno - 1 if value else 0] = f"{head}return _soa_part({rest})\n"
    text_of_helper = helper.format(name="_soa_part")
    above = chance.random() < 0.5 or holder.end_lineno is None
    at = min([holder.lineno, *(d.lineno for d in getattr(holder, "decorator_list", []))]) - 1
    at = at if above else (holder.end_lineno or at)
    lines[at:at] = [text_of_helper + "\n\n"] if above else ["\n\n" + text_of_helper]
    if "functools" in helper and not _imports_functools(tree):
        first = _after_docstring(tree)
        lines[first:first] = [_IMPORT]
    return "".join(lines)


def _imports_functools(tree: ast.Module) -> bool:
    names = (a for s in tree.body if isinstance(s, ast.Import) for a in s.names)
    return any(a.name == "functools" and a.asname is None for a in names)


def _after_docstring(tree: ast.Module) -> int:
    """The line after the docstring and `from __future__`, where an import may stand."""
    last = 0
    for statement in tree.body:
        future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
        docstring = statement is tree.body[0] and isinstance(statement, ast.Expr)
        if not (future or docstring):
            break
        last = statement.end_lineno or last
    return last
