"""A function in two parts: some of its statements moved into a helper, by what lives across the cut. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_REFUSED: tuple[type[ast.AST], ...] = (
    ast.Yield,
    ast.YieldFrom,
    ast.Await,
    ast.Global,
    ast.Nonlocal,
    ast.Import,
    ast.ImportFrom,
)
_REFUSED += (ast.NamedExpr, ast.ClassDef, ast.Try)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.Lambda, *_COMPREHENSIONS)


@dataclass(frozen=True, slots=True)
class Split:
    """`caller` does what the function did, with `helper` for a part; `stub` is the helper without a body."""

    caller: str
    helper: str
    stub: str


def splits(source: str, name: str) -> Iterator[Split]:
    """Every way to move two or more neighbouring top-level statements of a function into a helper `name`.

    What the moved part reads becomes a parameter, what is read later of what it binds becomes the result.
    A part is left out where that would not be the same: names that may be unbound, jumps out of it.
    """
    function = ast.parse(source).body[0]
    if not isinstance(function, ast.FunctionDef) or any(isinstance(n, _REFUSED) for n in ast.walk(function)):
        return
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    for first in range(len(body)):
        for last in range(first + 2, len(body) + 1):
            if last - first < len(body) and (found := _split(function, body, (first, last), name)):
                yield found


def _split(
    function: ast.FunctionDef, body: Sequence[ast.stmt], cut: tuple[int, int], name: str
) -> Split | None:
    before, moved, after = body[: cut[0]], body[cut[0] : cut[1]], body[cut[1] :]
    if after and any(isinstance(node, ast.Return) for each in moved for node in _own(each)):
        return None
    parameters = _parameters(function)
    bound = [*parameters, *_bound(before)]
    kept = [each for each in dict.fromkeys(_bound(moved, sure=False)) if each in _read(after)]
    unsure = [each for each in kept if each not in _bound(moved)]
    if any(each not in bound for each in unsure):
        return None
    needed = {*_read(moved), *unsure}
    if needed & ({*_bound(before, sure=False)} - {*bound}):
        return None
    inputs = [each for each in dict.fromkeys(bound) if each in needed]
    call = f"{name}({', '.join(inputs)})"
    return _written(function, (before, moved, after), kept, (name, call, inputs))


def _written(
    function: ast.FunctionDef,
    parts: tuple[Sequence[ast.stmt], Sequence[ast.stmt], Sequence[ast.stmt]],
    kept: Sequence[str],
    helper: tuple[str, str, Sequence[str]],
) -> Split:
    before, moved, after = parts
    name, call, inputs = helper
    result = ", ".join(kept)
    called = f"return {call}" if not after else f"{result} = {call}" if kept else call
    ending = [f"return {result}"] if after and kept else []
    head = f"def {name}({', '.join(inputs)}):\n"
    says = f'    """A part of {function.name}."""\n'
    text = head + says + _indented([*map(ast.unparse, moved), *ending])
    lines = [*map(ast.unparse, before), called, *map(ast.unparse, after)]
    caller = _header(function) + _indented(lines)
    return Split(caller.rstrip("\n"), text.rstrip("\n"), f"{head}{says}    ...")


def _header(function: ast.FunctionDef) -> str:
    decorators = "".join(f"@{ast.unparse(each)}\n" for each in function.decorator_list)
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return f"{decorators}def {function.name}({ast.unparse(function.args)}){returns}:\n"


def _indented(lines: Sequence[str]) -> str:
    return "".join(f"    {row}\n" for line in lines for row in line.split("\n"))


def _parameters(function: ast.FunctionDef | ast.Lambda) -> list[str]:
    args = function.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [each.arg for each in every if each is not None]


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """A node and those below it, scopes of their own not entered."""
    yield node
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _own(child)


def _read(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that are looked at, also by `+=` and by scopes inside, whose own names are left out."""
    return set[str]().union(*(_looked_up(each) for each in nodes))


def _looked_up(node: ast.AST) -> set[str]:
    below = _read(ast.iter_child_nodes(node))
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Store) else {node.id}
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return below | {node.target.id}
    if isinstance(node, _COMPREHENSIONS):
        return below - {*_stored(each.target for each in node.generators)}
    if isinstance(node, ast.FunctionDef):
        return below - {*_parameters(node), *_bound(node.body, sure=False)}
    return below - {*_parameters(node)} if isinstance(node, ast.Lambda) else below


def _bound(statements: Sequence[ast.stmt], sure: bool = True) -> list[str]:
    """Names that are bound there: `sure` for those that are whenever the statements have run."""
    found: list[str] = []
    for each in statements:
        if isinstance(each, ast.FunctionDef):
            found.append(each.name)
        elif not sure or isinstance(each, ast.Assign | ast.AnnAssign | ast.AugAssign):
            found += _stored([each])
            found += [node.name for node in _own(each) if isinstance(node, ast.FunctionDef)]
    return found


def _stored(nodes: Iterable[ast.AST]) -> list[str]:
    own = (node for each in nodes for node in _own(each))
    return [node.id for node in own if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
