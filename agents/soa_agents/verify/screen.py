"""Known ways to pass tests without doing the work. A hit is shown to the person; it refuses nothing. Pure.

`cheats.py` says which names and texts are meant. Only what can be seen without running the code is seen here:
an answer that is copied from the test's text looks like any other constant.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from soa_agents.verify import cheats

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Flag:
    """One place that can fool tests: its 1-based line in the file and what it does."""

    line: int
    why: str


def screen(source: str, first_line: int = 1) -> tuple[Flag, ...]:
    """The flags of `source`, which begins at line `first_line` of its file; () when it does not parse."""
    try:
        tree = ast.parse(textwrap.dedent(source))
        found = {Flag(line + first_line - 1, why) for line, why in _found(tree)}
    except RecursionError:
        return (Flag(first_line, "is nested too deeply to be looked at"),)
    except (SyntaxError, ValueError):
        return ()
    return tuple(sorted(found, key=lambda flag: (flag.line, flag.why)))


@dataclass(frozen=True, slots=True)
class _Known:
    """What the names of a text stand for, and the sums that are the beginning of longer ones."""

    imported: Mapping[str, str]  # by local name
    functions: Mapping[str, Function]  # by name
    begun: frozenset[ast.expr]

    def dotted(self, node: ast.AST | None) -> str:
        """`a.b.c` with `a` as it was imported, or an empty text when it is something else."""
        match node:
            case ast.Name():
                return self.imported.get(node.id, node.id)
            case ast.Attribute():
                base = self.dotted(node.value)
                return f"{base}.{node.attr}" if base else ""
        return ""


def _found(tree: ast.Module) -> Iterator[tuple[int, str]]:
    nodes = tuple(ast.walk(tree))
    sums = (node for node in nodes if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add))
    begun = frozenset(node.left for node in sums)
    known = _Known(dict(_imported(tree)), {f.name: f for f in nodes if isinstance(f, Function)}, begun)
    for node in nodes:
        if isinstance(node, ast.stmt | ast.expr | ast.ExceptHandler):
            yield from ((node.lineno, why) for why in _of(node, known) if why)


def _of(node: ast.stmt | ast.expr | ast.ExceptHandler, known: _Known) -> Iterator[str]:
    """What one node is flagged for; empty texts stand for nothing."""
    match node:
        case ast.Import() | ast.ImportFrom():
            yield from _of_import(node)
        case ast.Attribute() | ast.Name():
            yield cheats.ATTRIBUTES.get(getattr(node, "attr", ""), "")
            yield cheats.NAMES.get(known.dotted(node), "")
        case ast.Constant(value=str(text)):
            yield _of_text(text)
        case ast.BinOp(op=ast.Add()):
            yield from () if node in known.begun else map(_of_text, _beginnings(node))
        case ast.Call():
            yield from _of_call(node, known)
        case ast.Subscript():
            yield _of_subscript(node, known)
        case ast.Dict():
            named = zip(node.keys, node.values, strict=True)
            yield from (_of_comparison(k.value, v, known) for k, v in named if isinstance(k, ast.Constant))
        case ast.For():
            yield _of_loop(node.iter, known)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            yield from (_of_loop(part.iter, known) for part in node.generators)
        case ast.Assign() | ast.AugAssign() | ast.AnnAssign() | ast.Delete():
            yield from _of_assignment(node, known)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield _of_comparison(node.name, node, known)
            yield _of_guard(node, known)
        case ast.With() | ast.AsyncWith():
            yield from (_of_suppress(item.context_expr, known) for item in node.items)
        case ast.ExceptHandler() if known.dotted(node.type) == "AssertionError":
            if not any(isinstance(n, ast.Raise) for n in ast.walk(node)):
                yield "catches the test's own assertion errors"


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Local name -> what it was imported as, so that `from os import _exit as leave` is seen."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            tops = ((alias, alias.name.partition(".")[0]) for alias in node.names)
            yield from ((a.asname, a.name) if a.asname else (top, top) for a, top in tops)


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        modules = [alias.name for alias in node.names]
    else:
        modules = [node.module] if node.module else [alias.name for alias in node.names]
    for module in modules:
        yield _of_module(module)


def _of_module(name: str) -> str:
    if why := cheats.MODULES.get(name.partition(".")[0]):
        return why
    is_test = cheats.TEST_MODULE.search(name) and not name.startswith("test.support")
    return "imports the tests" if is_test else ""


def _of_text(text: str) -> str:
    if text in cheats.HIDDEN:
        return cheats.HIDDEN[text]
    return next((why for pattern, why in cheats.TEXTS if pattern.fullmatch(text)), "")


def _beginnings(node: ast.expr) -> Iterator[str]:
    """The texts that a sum makes, and that its beginnings make, as far as they can be read."""
    parts = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts.append(node.right)
        node = node.left
    text = _part(node)
    for part in reversed(parts):
        text += _part(part)
        yield text


def _part(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.BinOp(op=ast.Add()):
            *_, text = _beginnings(node)
            return text
    return "\0"


def _of_call(node: ast.Call, known: _Known) -> Iterator[str]:
    name = known.dotted(node.func)
    first = node.args[0] if node.args else None
    text = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    about = known.dotted(first.func if isinstance(first, ast.Call) else first)
    if name == "__import__" or name.endswith("import_module"):
        yield _of_module(text)
    if name in ("open", "io.open") and isinstance(first, ast.Constant) and isinstance(first.value, int):
        yield cheats.PIPES
    if name in ("exec", "eval"):
        yield cheats.TEXT
    if name in ("sys.modules.get", "sys.modules.pop") and cheats.TEST_MODULE.search(text):
        yield cheats.LOADED
    if name in ("list", "dict", "sorted", "tuple", "set", "iter") and about.startswith("sys.modules"):
        yield cheats.SEARCHES
    if name == "setattr" and len(node.args) == 3 and first is not None:
        written = node.args[1].value if isinstance(node.args[1], ast.Constant) else "?"
        yield _of_setting(about, str(written), known)
        yield _of_comparison(written, node.args[2], known)
    if name in (f"{builtins}.update" for builtins in cheats.BUILTINS):
        yield cheats.PATCHED


def _of_subscript(node: ast.Subscript, known: _Known) -> str:
    key = node.slice.value if isinstance(node.slice, ast.Constant) else None
    if known.dotted(node.value) == "sys.modules" and isinstance(key, str) and cheats.TEST_MODULE.search(key):
        return cheats.LOADED
    return ""


def _of_loop(node: ast.expr, known: _Known) -> str:
    called = node.func if isinstance(node, ast.Call) else node
    names = ("sys.modules", "sys.modules.values", "sys.modules.items", "sys.modules.copy")
    return cheats.SEARCHES if known.dotted(called) in names else ""


def _of_assignment(
    node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete, known: _Known
) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
    value = None if isinstance(node, ast.Delete) else node.value
    for target in targets:
        match target:
            case ast.Attribute(value=owner, attr=name):
                yield _of_setting(known.dotted(owner), name, known)
                yield _of_comparison(name, value, known)
            case ast.Subscript(value=owner) if known.dotted(owner) in cheats.BUILTINS:
                yield cheats.PATCHED
            case ast.Subscript(value=owner) if known.dotted(owner) == "sys.modules":
                yield cheats.IMPORTS
            case ast.Name(id=name):
                yield _of_comparison(name, value, known)


def _of_setting(owner: str, name: str, known: _Known) -> str:
    """What it means to set the attribute `name` of `owner`."""
    if owner in cheats.BUILTINS:
        return cheats.PATCHED
    if name == "__code__":
        return cheats.CODE
    tops = {thing.partition(".")[0] for thing in known.imported.values()} & sys.stdlib_module_names
    free = {owner, f"{owner}.{name}"} & cheats.FREE_TO_SET
    return f"changes {owner}.{name} for everybody" if owner.partition(".")[0] in tops and not free else ""


def _of_comparison(name: object, value: ast.AST | None, known: _Known) -> str:
    """Whether `value` is put in place as the comparison `name` and never looks at what it compares with."""
    if name not in cheats.ASKED:
        return ""
    if isinstance(value, ast.Name):
        value = known.functions.get(value.id)
    if isinstance(value, ast.Lambda | Function) and _answers_always(value, known):
        return f"answers {name} without looking at the other object"
    return ""


def _answers_always(node: Function | ast.Lambda, known: _Known) -> bool:
    arguments = [*node.args.posonlyargs, *node.args.args]
    other = arguments[1].arg if len(arguments) > 1 else node.args.vararg.arg if node.args.vararg else ""
    body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
    used = {n.id for statement in body for n in _live(statement, known) if isinstance(n, ast.Name)}
    answers = any(isinstance(n, ast.Return) and n.value for s in body for n in ast.walk(s))
    return bool(other) and answers and not used & {other, "NotImplemented"}


def _live(node: ast.AST, known: _Known) -> Iterator[ast.AST]:
    """The nodes below that can make a difference to what is answered."""
    match node:
        case ast.Delete() | ast.Expr(value=ast.Name() | ast.Constant()):
            return
        case ast.Assign(targets=[ast.Name(id="_")]):
            return
        case ast.Compare(left=left, comparators=[right]) if ast.dump(left) == ast.dump(right):
            return
        case ast.Call(args=[_, ast.Name(id="object")]) if known.dotted(node.func) == "isinstance":
            return
        case ast.BoolOp(op=ast.Or(), values=values) if any(_is_true(value) for value in values):
            return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _live(child, known)


def _is_true(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and bool(node.value)


def _of_guard(node: Function, known: _Known) -> str:
    """Whether a context manager swallows whatever fails inside its `with` block."""
    if node.name in ("__exit__", "__aexit__"):
        given = {a.arg for a in (*node.args.args[1:], node.args.vararg) if a}
        used = {n.id for s in node.body for n in _live(s, known) if isinstance(n, ast.Name)}
        true = any(isinstance(n, ast.Return) and n.value and _is_true(n.value) for n in ast.walk(node))
        return "swallows what fails inside its with block" if true and not given & used else ""
    if any(known.dotted(d).endswith("contextmanager") for d in node.decorator_list):
        for attempt in (n for n in ast.walk(node) if isinstance(n, ast.Try)):
            yields = any(isinstance(n, ast.Yield) for s in attempt.body for n in ast.walk(s))
            if yields and any(_swallows(handler, known) for handler in attempt.handlers):
                return "swallows what fails inside its with block"
    return ""


def _swallows(handler: ast.ExceptHandler, known: _Known) -> bool:
    kinds: Iterable[ast.expr | None] = (
        handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    )
    wide = any(kind is None or known.dotted(kind) in cheats.SEEN_AS_FAILURE for kind in kinds)
    return wide and not any(isinstance(n, ast.Raise) for n in ast.walk(handler))


def _of_suppress(node: ast.expr, known: _Known) -> str:
    if not isinstance(node, ast.Call) or not known.dotted(node.func).endswith("suppress"):
        return ""
    wide = any(known.dotted(kind) in cheats.SEEN_AS_FAILURE - {"Exception"} for kind in node.args)
    return "catches the test's own assertion errors" if wide else ""
