"""Known ways to pass tests without doing the work. A hit is shown to the person; it refuses nothing. Pure."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flag:
    """One place that can fool tests: its 1-based line in the file and what it does."""

    line: int
    why: str


_CALLER = "reads its caller's frame"
_TESTS = "looks at the test that is running"
_ENDS = "ends the process instead of returning"
_MEMORY = "searches the objects of other code"

_NAMES = {  # dotted name as written, by its ending
    "sys._getframe": _CALLER,
    "sys._current_frames": _CALLER,
    "sys.settrace": "watches other code while it runs",
    "sys.setprofile": "watches other code while it runs",
    "inspect.currentframe": _CALLER,
    "inspect.stack": _CALLER,
    "inspect.getouterframes": _CALLER,
    "os._exit": _ENDS,
    "os.abort": _ENDS,
    "os.kill": "sends signals to processes",
    "gc.get_objects": _MEMORY,
    "gc.get_referrers": _MEMORY,
    "atexit.register": "acts after the tests have ended",
}
_ATTRIBUTES = {"f_back": _CALLER, "f_locals": _CALLER, "tb_frame": _CALLER, "__subclasses__": _MEMORY}
_MODULES = {
    "pytest": "uses pytest inside the program",
    "_pytest": "reaches into pytest",
    "unittest": "uses the test framework inside the program",
    "ctypes": "reaches into memory with ctypes",
    "soa_recorder": "reaches into SoA",
    "soa_pytest_plugin": "reaches into SoA",
}
_COMPARISONS = frozenset({"__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"})
_TEST_MODULE = re.compile(r"(^|\.)(test_\w+|\w+_test|conftest)(\.|$)|^tests?(\.|$)")
_TEST_FILE = re.compile(r"(^|/)(test_\w*|\w*_test|conftest)\.py$|^tests?/")
_PATCHED = "changes a builtin for everybody"


def screen(source: str, first_line: int = 1) -> tuple[Flag, ...]:
    """The flags of `source`, which begins at line `first_line` of its file; () when it does not parse."""
    try:
        tree = ast.parse(textwrap.dedent(source))
    except (SyntaxError, ValueError):
        return ()
    found = {Flag(line + first_line - 1, why) for line, why in _found(tree)}
    return tuple(sorted(found, key=lambda flag: (flag.line, flag.why)))


def _found(tree: ast.Module) -> Iterator[tuple[int, str]]:
    names = _imported(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from ((node.lineno, why) for why in _of_import(node))
            case ast.Attribute() | ast.Name():
                if why := _of_name(node, names):
                    yield node.lineno, why
            case ast.Constant(value=str(text)) if text == "PYTEST_CURRENT_TEST":
                yield node.lineno, _TESTS
            case ast.Call():
                if why := _of_call(node):
                    yield node.lineno, why
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as value):
                if name in _COMPARISONS and _answers_always(value):
                    yield node.lineno, f"answers {name} without looking at the other object"
            case ast.Assign(targets=[*targets]):
                yield from ((node.lineno, _PATCHED) for target in targets if _is_builtin(target))
            case ast.Subscript(slice=ast.Constant(value=str(name))) if _TEST_MODULE.search(name):
                if _dotted(node.value) == "sys.modules":
                    yield node.lineno, "looks into a loaded test module"
            case ast.FunctionDef() if node.name in _COMPARISONS and _answers_always(node):
                yield node.lineno, f"answers {node.name} without looking at the other object"
            case ast.ExceptHandler() if _swallows_assertions(node):
                yield node.lineno, "catches the test's own assertion errors"


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local name -> what it was imported as, so that `from os import _exit as leave` is seen."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
    return names


def _of_import(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    for module in modules:
        if why := _MODULES.get(module.partition(".")[0]):
            yield why
        elif _TEST_MODULE.search(module) and not module.startswith("test.support"):
            yield "imports the tests"


def _of_name(node: ast.Attribute | ast.Name, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES:
        return _ATTRIBUTES[node.attr]
    dotted = _dotted(node)
    head, dot, rest = dotted.partition(".")
    return _NAMES.get(names.get(head, head) + dot + rest, "")


def _of_call(node: ast.Call) -> str:
    name = _dotted(node.func)
    first = node.args[0] if node.args else None
    if name == "__import__" or name.endswith("import_module"):
        module = first.value if isinstance(first, ast.Constant) else ""
        return _MODULES.get(str(module).partition(".")[0], "")
    opens = name in ("open", "io.open", "Path", "pathlib.Path") or name.endswith(".open")
    if opens and any(
        isinstance(n, ast.Constant) and _is_test(n.value) for a in node.args for n in ast.walk(a)
    ):
        return "opens a test file"
    if name == "setattr" and first is not None and _dotted(first) in ("builtins", "__builtins__"):
        return _PATCHED
    return ""


def _is_test(value: object) -> bool:
    return isinstance(value, str) and bool(_TEST_FILE.search(value))


def _is_builtin(target: ast.expr) -> bool:
    base = target.value if isinstance(target, ast.Attribute | ast.Subscript) else None
    return base is not None and _dotted(base) in ("builtins", "__builtins__", "builtins.__dict__")


def _answers_always(node: ast.FunctionDef | ast.Lambda) -> bool:
    """A comparison that answers with a constant and never looks at its other operand."""
    if len(node.args.args) < 2:
        return False
    other = node.args.args[1].arg
    if any(isinstance(n, ast.Name) and n.id in (other, "NotImplemented") for n in ast.walk(node)):
        return False
    if isinstance(node, ast.Lambda):
        return isinstance(node.body, ast.Constant)
    return any(isinstance(n, ast.Return) and isinstance(n.value, ast.Constant) for n in ast.walk(node))


def _swallows_assertions(node: ast.ExceptHandler) -> bool:
    return (
        node.type is not None
        and _dotted(node.type) == "AssertionError"
        and all(isinstance(statement, ast.Pass) for statement in node.body)
    )


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""
