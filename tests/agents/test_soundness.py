"""What may be put into a running process: a table of changes, and that regions never hide one."""

from __future__ import annotations

import ast
import types
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.verify.listing import listed, starred
from soa_agents.verify.soundness import Refused, changes, first_line, names_added, outline

OLD = '''"""A module."""

from functools import lru_cache

LIMIT = 3


def first(value):
    """Say it."""
    return value


class Box:
    size = 1

    def put(self, thing):
        return thing

    def take(self):
        return self.size


@lru_cache
def last():
    return LIMIT
'''


@dataclass(frozen=True)
class Case:
    """A change as (what is replaced, by what); what it is taken for, or a part of the refusal."""

    old: str
    new: str
    changed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    refused: str = ""


CASES = {
    "a body": Case("return value", "return value + 1", ("first",)),
    "a longer body": Case("return value", "value += 1\n    return value", ("first",)),
    "a line appended to a body": Case("return LIMIT\n", "return LIMIT\n    x = 1\n", ("last",)),
    "a line appended to a method": Case("return thing\n", "return thing\n        x = 1\n", ("put",)),
    "a line appended to the last method": Case(
        "return self.size\n", "return self.size\n        x = 1\n", ("take",)
    ),
    "a nested function at the end of a method": Case(
        "return thing\n", "return thing\n\n        def inner():\n            pass\n", ("put",)
    ),
    "two bodies": Case("return value", "return 2", ("first",)),
    "a helper": Case("class Box", "def part():\n    return 1\n\n\nclass Box", (), ("part",)),
    "a helper at the end": Case(
        "return LIMIT\n", "return LIMIT\n\n\ndef part():\n    return 1\n", (), ("part",)
    ),
    "a helper after a class": Case("\n\n@lru", "\n\ndef part():\n    return 1\n\n\n@lru", (), ("part",)),
    "a method": Case("    def take", "    def part(self):\n        return 1\n\n    def take", (), ("part",)),
    "a method at the end": Case(
        "return self.size\n", "return self.size\n\n    def part(self):\n        return 1\n", (), ("part",)
    ),
    "an import": Case("from functools", "import re\nfrom functools", (), ("re",)),
    "a wider import": Case("import lru_cache", "import lru_cache, wraps", (), ("wraps",)),
    "a constant": Case("LIMIT = 3", "LIMIT = 3\nMORE = (1, -2)", (), ("MORE",)),
    "a comment": Case("LIMIT = 3", "LIMIT = 3  # three"),
    "a changed constant": Case("LIMIT = 3", "LIMIT = 4", refused="runs while importing"),
    "a computed constant": Case("LIMIT = 3", "LIMIT = 3\nMORE = last()", refused="runs while importing"),
    "a default": Case("first(value)", "first(value=1)", refused="signature"),
    "an annotation": Case("first(value)", "first(value: int)", refused="signature"),
    "a docstring": Case("Say it.", "Say that.", refused="docstring"),
    "a decorator": Case("@lru_cache\n", "", refused="decorators"),
    "a base": Case("class Box:", "class Box(dict):", refused="decorators"),
    "a class variable": Case("size = 1", "size = 2", refused="runs while importing"),
    "a class": Case("class Box", "class Part:\n    pass\n\n\nclass Box", refused="runs while importing"),
    "a removed function": Case(
        'def first(value):\n    """Say it."""\n    return value\n', "", refused="taken away"
    ),
    "async": Case("def first", "async def first", refused="runs while importing"),
    "above the docstring": Case('"""A module', 'import re\n"""A module', refused="above a docstring"),
    "a method above a docstring": Case(
        "    def take(self):",
        "    class In:\n        pass\n    def take(self):",
        refused="runs while importing",
    ),
    "everything": Case("from functools", "from re import *\nfrom functools", refused="more than one name"),
    "the future": Case(
        "from functools", "from __future__ import annotations\nfrom functools", refused="more than"
    ),
    "half a string": Case("return value", 'return """', refused="does not parse"),
    "a string that swallows the rest": Case("return value", 'return """' + "\nx", refused="does not parse"),
    "nothing left": Case(OLD, "", refused="taken away"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_change_is_taken_for_what_it_is(case: Case) -> None:
    new = OLD.replace(case.old, case.new)
    assert new != OLD
    if case.refused:
        with pytest.raises(Refused, match=case.refused):
            changes(OLD, new, outline(OLD))
        return
    found = changes(OLD, new, outline(OLD))
    assert tuple(old.name for old, _ in found.changed) == case.changed
    assert tuple(n for each in found.added for n in names_added(each.statement)) == case.added


LISTS = {  # a module's text, the lines of functions that ran; the modules whose names it lists
    "at import": ("NAMES = dir(shop)\n", set(), ["shop"]),
    "in a class": ("class A:\n    names = vars(shop)\n", set(), ["shop"]),
    "itself": ("for name in globals():\n    print(name)\n", set(), ["code_"]),
    "by its place": ("import sys\n\nME = dict(sys.modules[__name__].__dict__)\n", set(), ["", "code_"]),
    "a default": ("def f(names=dir(shop)):\n    pass\n", set(), ["shop"]),
    "a lambda, of which nothing tells whether it ran": ("f = lambda: dir(shop)\n", set(), ["shop"]),
    "in a function that ran": ("def f():\n    return dir(shop)\n", {1}, ["shop"]),
    "in a function that did not run": ("def f():\n    return dir(shop)\n", set(), []),
    "in their order": ("def f():\n    return list(vars(shop))\n", set(), ["shop"]),
    "what may be any module": ("def f(module):\n    return list(vars(module))\n", set(), [""]),
    "what is no module": ("def f(self):\n    return list(vars(self))\n", set(), []),
    "one name": ("ONE = globals()['x'], vars(shop).get('y'), 'z' in shop.__dict__\n", set(), []),
    "perhaps only what is local": ("def f(a):\n    return '{a}'.format(**locals())\n", {1}, ["code_"]),
    "what is local to what did not run": ("def f(a):\n    return '{a}'.format(**locals())\n", set(), []),
    "nothing": ("x = shop\n", set(), []),
}


@pytest.mark.parametrize("name", LISTS)
def test_what_lists_the_names_of_modules_is_found(name: str) -> None:
    text, ran, expected = LISTS[name]
    module = types.ModuleType("code_")
    module.shop = types.ModuleType("big.shop")  # type: ignore[attr-defined]  # as if it were imported
    assert list(listed(text, module, ran)) == expected


def test_what_imports_everything_is_found() -> None:
    assert list(starred("from a.b import *\n    from . import *\n", "shop")) == ["b", "shop"]


LINES = st.sampled_from(
    [
        "    return 1",
        "        return 2",
        "def extra():",
        "x = 1",
        "    def inner(self):",
        "class C:",
        "",
        ")",
        '"""',
    ]
)


_PLACES = st.tuples(st.integers(0, 22), st.integers(0, 3), st.lists(LINES, max_size=4))


@settings(max_examples=500, deadline=None)
@given(st.lists(_PLACES, min_size=1, max_size=3))
def test_a_region_says_what_comparing_whole_files_says(places: list[tuple[int, int, list[str]]]) -> None:
    """Whatever lines are replaced: what is accepted adds up to the whole new file, node by node."""
    whole = OLD.split("\n")
    for at, taken, lines in sorted(places, reverse=True):
        whole[at : at + taken] = lines
    new = "\n".join(whole)
    try:
        found = changes(OLD, new, outline(OLD))
    except Refused:
        return
    tree = ast.parse(new)  # what is accepted parses
    rest = [ast.dump(s) for s in _parts(tree)]
    added = {ast.dump(each.statement) for each in found.added}
    changed = {(type(n), n.name, n.lineno) for _, n in found.changed}
    before = [ast.dump(s) for s in _parts(ast.parse(OLD))]
    left = [text for text, node in zip(rest, _parts(tree), strict=True) if not _is_new(node, added, changed)]
    stand = [text for text in before if text in left]
    assert left == stand
    where = {first_line(node): first_line(node) for node in ast.walk(ast.parse(OLD)) if _is_def(node)}
    for first, last, down in found.shifts:
        where |= {line: line + down for line in where if first <= line <= last}
    where |= {first_line(o): first_line(n) for o, n in [*found.changed, *found.moved]}
    now = {first_line(node): getattr(node, "name", "") for node in ast.walk(tree) if _is_def(node)}
    for node in ast.walk(ast.parse(OLD)):  # every function of old is where it is said to be
        if _is_def(node):
            assert now[where[first_line(node)]] == getattr(node, "name", "")


def _is_def(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.ClassDef)


def test_what_stands_between_changes_is_not_read_again() -> None:
    """An import above, a helper below and a changed body between: the rest of the file stays as it is."""
    many = "\n\n".join(f"def f{n}(x):\n    return x\n" for n in range(50))
    old = f"import os\n\n{many}\n\nclass A:\n    a = 1\n\n    def m(self):\n        return 1\n"
    new = (
        old.replace("import os", "import os\nimport re").replace("return 1", "return h()")
        + "\ndef h(): pass\n"
    )
    found = changes(old, new.replace("def f7(x):\n    return x", "def f7(x):\n    return -x"), outline(old))
    assert [o.name for o, _ in found.changed] == ["f7", "m"]
    assert [n for each in found.added for n in names_added(each.statement)] == ["re", "h"]
    assert len(list(ast.walk(found.tree))) < 60


def test_what_a_string_swallows_is_no_longer_there() -> None:
    old = "import os\n\ndef f():\n    return 1\n\ndef g():\n    return 2\n"
    for new in (
        'import re\nX = """\ndef f():\n    return 1\n"""\ndef g():\n    return 3\n',
        "import os\nX = 1\ndef g():\n    return 3\n\ndef f():\n    return 1\n",
        "import os\nX = 1 \\\ndef f():\n    return 1\n\ndef g():\n    return 3\n",
    ):
        with pytest.raises(Refused):
            changes(old, new, outline(old))


def _parts(tree: ast.Module) -> list[ast.stmt]:
    """Statements of the module and of its classes, functions as a whole."""
    found = []
    for statement in tree.body:
        found += [*statement.body] if isinstance(statement, ast.ClassDef) else [statement]
    return found


def _is_new(node: ast.stmt, added: set[str], changed: set[tuple[type, str, int]]) -> bool:
    return ast.dump(node) in added or (type(node), getattr(node, "name", ""), node.lineno) in changed
