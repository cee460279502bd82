"""Puts a candidate into the collected process: the code of live functions, and what it adds to its module.

Copied beside the tests; runs in the child of a test server only: Python 3.9 or newer, standard library only.
What may be put there `soundness` decides; here is what only the live objects can tell.
"""

# ruff: noqa: I001, PTH119, PTH120, PTH123, S102 - strings in, strings out; executing is the purpose

from __future__ import annotations

import __future__

import abc
import ast
import builtins
import gc
import importlib
import importlib.util
import linecache
import os
import sys
import types
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

from soa_listing import listed, starred  # type: ignore[import-not-found]  # listing.py, likewise
from soa_soundness import (  # type: ignore[import-not-found]  # soundness.py, under the name of its copy
    Added,
    Changes,
    Outline,
    Refused,
    changes,
    first_line,
    functions_in,
    names_added,
    names_evaluated,
    outline,
)

_KINDS = 0x20 | 0x80 | 0x100 | 0x200  # generator, coroutine, iterable coroutine, asynchronous generator
_QUIET = frozenset({"abc", "builtins", "collections", "contextlib", "dataclasses", "functools", "typing"})


class Known(NamedTuple):
    """What the server has found out before it forks; children only read it."""

    root: str
    functions: dict[str, dict[tuple[int, str], list[Any]]]  # file -> (first line, name) -> live functions
    modules: dict[str, list[Any]]  # file -> its modules
    ran: set[tuple[str, int]]  # functions that ran while collecting
    listed: set[str]  # modules and classes, by last name, whose names something may have listed; "" for any
    starred: set[str]  # likewise, by `from … import *`
    examples: bool  # docstring examples were collected, which reads sources
    texts: dict[str, tuple[str, Outline]]  # filled as files are asked about


def look_around(root: str, ran: set[tuple[str, int]], examples: bool) -> Known:
    """Gather the live functions and modules of the workspace, once, at the end of collecting."""
    real: dict[str, str] = {}

    def place(name: str) -> str:
        if name not in real:
            path = os.path.realpath(name)
            real[name] = path if path.startswith(root + os.sep) and not name.startswith("<") else ""
        return real[name]

    functions: dict[str, dict[tuple[int, str], list[Any]]] = {}
    for each in gc.get_objects():
        if type(each) is types.FunctionType:
            code = each.__code__
            file = place(code.co_filename)
            if file:
                key = (code.co_firstlineno, code.co_name)
                functions.setdefault(file, {}).setdefault(key, []).append(each)
    modules: dict[str, list[Any]] = {}
    for module in list(sys.modules.values()):
        file = place(str(getattr(module, "__file__", None) or "<none>"))
        if file:
            modules.setdefault(file, []).append(module)
    return Known(root, functions, modules, ran, *_listings(modules, ran), examples, {})


def _listings(modules: dict[str, list[Any]], ran: set[tuple[str, int]]) -> tuple[set[str], set[str]]:
    """Which modules' names the workspace's files may list, as far as their texts tell."""
    found: set[str] = set()
    stars: set[str] = set()
    for path, same in modules.items():
        text = read(path)
        stars |= set(starred(text, os.path.basename(os.path.dirname(path))))
        found |= set(listed(text, same[0], {line for file, line in ran if file == path}))
    return found, stars


def read(path: str) -> str:
    """A Python file's text with the line ends Python sees; empty where there is none."""
    try:
        with open(path, "rb") as file:
            return importlib.util.decode_source(file.read())
    except (OSError, UnicodeDecodeError, SyntaxError):
        return ""


def learn(known: Known, path: str) -> None:
    """Before forking: keep the outline of a file that is asked about for the first time."""
    if path not in known.texts and path in known.modules:
        text = read(path)
        known.texts[path] = (text, outline(text))


def swap(known: Known, path: str, data: bytes) -> None:
    """Make this process as if it had imported `data` from `path`. Raises `Refused`, perhaps half-way."""
    linecache_had = linecache.cache.pop(path, None)
    same = known.modules.get(path, [])
    if not same:
        if path in known.functions or any(file == path for file, _ in known.ran):
            raise Refused("the file was run without being imported")
        return  # nobody has imported it yet: whoever does finds the candidate
    if len(same) > 1:
        raise Refused("the file was imported under two names")
    module = same[0]
    loader: Any = getattr(module.__spec__, "loader", None)
    if type(loader).__name__ not in ("SourceFileLoader", "AssertionRewritingHook"):
        raise Refused("the file was not imported in the usual way")
    if linecache_had is not None and not known.examples:
        raise Refused("something has read the file's source")
    old, known_outline = known.texts[path]
    try:
        text = importlib.util.decode_source(data)
    except (UnicodeDecodeError, SyntaxError):
        raise Refused("it cannot be decoded") from None
    found = changes(old, text, known_outline)
    for before, after in found.changed:
        _keep_closure(after, known.functions.get(path, {}).get((first_line(before), before.name), []))
    if type(loader).__name__ == "AssertionRewritingHook":  # as of every file that pytest was given by name
        rewrite: Any = sys.modules["_pytest.assertion.rewrite"]
        rewrite.rewrite_asserts(found.tree, data, path, loader.config)
    code = _compiled(found.tree, path, known_outline.flags)
    _Swap(known, path, module, found, code).do()


def _keep_closure(new: Any, live: list[Any]) -> None:
    """Have the new body name, where it never runs, what the closure has and it no longer uses.

    A function takes only code with as many such names as it has: `__class__` is one, where `super()` stood.
    """
    named = {node.id for node in ast.walk(new) if isinstance(node, ast.Name)}
    named |= {"__class__"} if "super" in named else set()
    unused = [name for function in live[:1] for name in function.__code__.co_freevars if name not in named]
    if unused:
        never = ast.If(ast.Constant(0), [ast.Expr(ast.Name(name, ast.Load())) for name in unused], [])
        new.body.append(ast.fix_missing_locations(ast.copy_location(never, new.body[-1])))


def _compiled(tree: ast.Module, path: str, flags: int) -> types.CodeType:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            code: types.CodeType = compile(tree, path, "exec", flags=flags, dont_inherit=True)
        except (SyntaxError, Warning, ValueError) as problem:
            raise Refused(f"it does not compile quietly: {problem}") from None
    return code


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            yield const
            yield from _codes(const)


class _Swap:
    """One file's changes on their way into its module."""

    def __init__(self, known: Known, path: str, module: Any, found: Changes, code: types.CodeType) -> None:
        self.known, self.path, self.module, self.found = known, path, module, found
        self.live = known.functions.get(path, {})
        self.codes = {(c.co_firstlineno, c.co_name): c for c in _codes(code)}
        self.names = vars(module)

    def do(self) -> None:
        ready = [self._replacement(old, new) for old, new in self.found.changed]
        homes = [self._home(each.path) for each in self.found.added]
        for functions, code in ready:
            for function in functions:
                function.__code__ = code
        for old, new in self.found.moved:
            self._follow(old, new)
        self._shift()
        for each, home in zip(self.found.added, homes):  # noqa: B905 - not in the oldest Python
            self._add(each, home)

    def _new_code(self, node: Any) -> Any:
        return self.codes.get((first_line(node), node.name))

    def _replacement(self, old: Any, new: Any) -> tuple[list[Any], types.CodeType]:
        """The live functions of a definition and their new code; raises `Refused`."""
        functions = self.live.get((first_line(old), old.name), [])
        code = self._new_code(new)
        if not functions or code is None:
            raise Refused(f"no live function is {old.name}")
        if _holders(functions) > _holders([_fresh()]):  # before a name here holds it too
            raise Refused(f"something else holds the code of {old.name}")
        before = functions[0].__code__
        if any(f.__code__ is not before for f in functions):
            raise Refused(f"{old.name} exists more than once")
        if (self.path, before.co_firstlineno) in self.known.ran:
            raise Refused(f"{old.name} ran while the tests were collected")
        if before.co_freevars != code.co_freevars:
            raise Refused(f"{old.name} uses other names of what surrounds it")
        if (before.co_flags ^ code.co_flags) & _KINDS and self._kind_was_seen(old, functions[0]):
            raise Refused(f"{old.name} became another kind of function")
        return functions, code

    def _kind_was_seen(self, old: Any, function: Any) -> bool:
        """Whether what defined the function may have looked whether it is a generator or a coroutine."""
        for decorator in old.decorator_list:
            named = decorator.func if isinstance(decorator, ast.Call) else decorator
            while isinstance(named, ast.Attribute):
                named = named.value
            if self._where_from(getattr(named, "id", "")) not in _QUIET:
                return True
        path = function.__qualname__.split(".")[:-1]
        if "<locals>" in path:
            return True
        try:
            self._home(tuple(path))
        except Refused:
            return True
        return False

    def _follow(self, old: ast.stmt, new: ast.stmt) -> None:
        """Give functions that are as they were the lines at which they stand now."""
        for before, after in zip(functions_in(old), functions_in(new)):  # noqa: B905 - as above
            for function in self.live.get(before, []) if before != after else ():
                if function.__code__.co_firstlineno == before[0]:  # of several on one line each is moved once
                    function.__code__ = _moved(function.__code__, after[0] - before[0])

    def _shift(self) -> None:
        """Move what stands, unchanged, at another line."""
        shifts = [shift for shift in self.found.shifts if shift[2]]
        if not shifts:
            return

        def down(line: int) -> int:
            return next((by for first, last, by in shifts if first <= line <= last), 0)

        for (line, _), functions in self.live.items():
            if down(line):
                for function in functions:
                    function.__code__ = _moved(function.__code__, down(line))
        for thing in list(self.names.values()):  # since 3.13 classes know where they begin
            line = vars(thing).get("__firstlineno__", 0) if isinstance(thing, type) else 0
            if down(line) and thing.__module__ == self.module.__name__:
                type.__setattr__(thing, "__firstlineno__", line + down(line))

    def _home(self, path: tuple[str, ...]) -> Any:
        """The class that is to get a new method; None for the module. Raises `Refused`."""
        if not path:
            return None
        home: Any = self.module
        spans = self.known.texts[self.path][1].spans
        for name in path:
            home = vars(home).get(name)
            if type(home) not in (type, abc.ABCMeta) or home.__module__ != self.module.__name__:
                raise Refused("a method was added to a class that is not a plain one")
            same = [span for span in spans if span.name == name]
            if len(same) != 1 or same[0].decorated:
                raise Refused("a method was added to a class that is decorated or defined twice")
            spans = same[0].inner
        if home.__qualname__ != ".".join(path) or any(
            "__init_subclass__" in vars(c) for c in home.__mro__[:-1]
        ):
            raise Refused("a method was added to a class that others know of")
        return home

    def _add(self, added: Added, home: Any) -> None:
        statement = added.statement
        for name in names_added(statement):
            self._check_new(_mangled(name, home), statement, home)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self._check_quiet(statement, added.after)
        elif not isinstance(statement, ast.Assign):
            self._check_imports(statement)
        tree = ast.Module([statement], [])
        space: dict[str, Any] = {} if home else self.names
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                exec(_compiled(tree, self.path, self.known.texts[self.path][1].flags), self.names, space)
            except Exception as problem:
                raise Refused(f"an addition does not execute: {problem!r}") from None
        if home:
            self._add_method(home, statement, space)

    def _check_new(self, name: str, statement: ast.stmt, home: Any) -> None:
        if home:
            taken = any(name in vars(c) for c in (*home.__mro__, *_below(home)))
        else:
            taken = name in self.names or hasattr(builtins, name)
        if taken and not (isinstance(statement, ast.Import) and self._imported_before(statement)):
            raise Refused(f"{name} is not a new name")
        last = (home or self.module).__name__.rpartition(".")[2]
        _, known = self.known.texts[self.path]
        all_but_hidden = "__all__" not in known.bound and not name.startswith("_") and not home
        if {last, ""} & self.known.listed or (last in self.known.starred and all_but_hidden):
            raise Refused(f"something lists the names of {last}")

    def _imported_before(self, statement: ast.Import) -> bool:
        names = [(a.asname or a.name.partition(".")[0], a.name) for a in statement.names]
        return all(self.names.get(bound) is sys.modules.get(name, self) for bound, name in names)

    def _check_quiet(self, node: Any, after: int) -> None:
        """What the definition evaluates must mean at the module's end what it means at its place."""
        known = self.known.texts[self.path][1]
        annotations = not known.flags & __future__.annotations.compiler_flag
        for name in names_evaluated(node, annotations=annotations):
            bound = known.bound.get(name, [])
            if len(bound) > 1 or any(line > after for line in bound):
                raise Refused(f"{name} may mean something else where it is used")
            calls = any(isinstance(n, ast.Call) for d in node.decorator_list for n in ast.walk(d))
            called = calls or any(isinstance(d, ast.Name) and d.id == name for d in node.decorator_list)
            if called and self._where_from(name) not in _QUIET:
                raise Refused(f"{name} would be called while importing")
        defaults = [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        if any(isinstance(n, ast.Call) for d in defaults for n in ast.walk(d)):
            raise Refused("a default is computed while importing")

    def _where_from(self, name: str) -> str:
        """The package of a function, class or module that is called `name` here; empty for anything else."""
        thing = self.names.get(name, getattr(builtins, name, None))
        if isinstance(thing, types.ModuleType):
            return thing.__name__.partition(".")[0]
        plain = (type, types.FunctionType, types.BuiltinFunctionType)
        return str(thing.__module__).partition(".")[0] if isinstance(thing, plain) else ""

    def _check_imports(self, statement: Any) -> None:
        """Only modules of the standard library, or loaded ones from outside the workspace."""
        if getattr(statement, "level", 0):
            raise Refused("a module of the workspace is imported anew")
        standard: Any = getattr(sys, "stdlib_module_names", ())
        one = isinstance(statement, ast.ImportFrom)
        names: list[str] = [statement.module] if one else [a.name for a in statement.names]
        for name in names:
            loaded = sys.modules.get(name)
            file = os.path.realpath(str(getattr(loaded, "__file__", "") or ""))
            if file.startswith(self.known.root + os.sep) and "-packages" not in file:
                raise Refused("a module of the workspace is imported anew")
            if loaded is None and name.partition(".")[0] not in standard:
                raise Refused(f"{name} was not loaded before")

    def _add_method(self, home: type, statement: Any, space: dict[str, Any]) -> None:
        made = space[statement.name]
        function = made.__func__ if isinstance(made, (staticmethod, classmethod)) else made
        code = self._new_code(statement)
        special = statement.name == "__class_getitem__"  # which a class makes something else
        if type(function) is not types.FunctionType or code is None or code.co_freevars or special:
            raise Refused("a method was added that is more than a function")
        function.__code__ = code
        function.__qualname__ = f"{home.__qualname__}.{statement.name}"
        setattr(home, _mangled(statement.name, home), made)


def _mangled(name: str, home: Any) -> str:
    """The name under which a class has what its body calls `name`."""
    private = home is not None and name.startswith("__") and not name.endswith("__")
    return f"_{home.__name__.lstrip('_')}{name}" if private else name


def _holders(functions: list[Any]) -> int:
    """How many references there are to the code of these functions, beyond their own and some constant."""
    return sys.getrefcount(functions[0].__code__) - len(functions)


def _fresh() -> Any:
    """A function whose code nobody else has: what the constant is depends on the interpreter."""
    space: dict[str, Any] = {}
    exec("def fresh(): pass", space)
    return space["fresh"]


def _below(home: type) -> Iterator[type]:
    subclasses: list[type] = type.__subclasses__(home)
    for each in subclasses:
        yield each
        yield from _below(each)


def _moved(code: types.CodeType, down: int) -> types.CodeType:
    """The same code, `down` lines further below."""
    consts = tuple(_moved(c, down) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(co_firstlineno=code.co_firstlineno + down, co_consts=consts)
