"""A name is changed where it means what is renamed, and nowhere else."""

from __future__ import annotations

import pytest
from soa_agents.swarm.assembly.renaming import Renaming, renamed

NAME, METHOD, PUBLIC = Renaming("_x", "_x_2"), Renaming("_x", "_x_2", "Box"), Renaming("get", "get_2", "Box")

# what it is about, renaming, source before, after
CASES = [
    ("itself", NAME, "def _x(n):\n    return _x(n - 1)", "def _x_2(n):\n    return _x_2(n - 1)"),
    ("behind wide characters", NAME, "def f():\n    'äö😀'; _x()", "def f():\n    'äö😀'; _x_2()"),
    (
        "around a function",
        NAME,
        "@_x\ndef f(a: _x = _x()) -> _x: ...",
        "@_x_2\ndef f(a: _x_2 = _x_2()) -> _x_2: ...",
    ),
    ("a constant", NAME, "_x = 1", "_x_2 = 1"),
    ("a class", NAME, "class _x(dict):\n    y = _x", "class _x_2(dict):\n    y = _x_2"),
    (
        "global",
        NAME,
        "def f():\n    global a, _x\n    _x = 1",
        "def f():\n    global a, _x_2\n    _x_2 = 1",
    ),
    ("an attribute", NAME, "def f(a):\n    return a._x", None),
    ("a keyword", NAME, "def f(a):\n    return a(_x=1)", None),
    ("a parameter", NAME, "def f(_x):\n    return _x", None),
    ("a parameter's default", NAME, "def f(_x=_x):\n    return _x", "def f(_x=_x_2):\n    return _x"),
    ("a parameter of a lambda", NAME, "f = lambda _x: _x", None),
    ("a variable", NAME, "def f():\n    _x = 1\n    return lambda: _x", None),
    ("an import inside", NAME, "def f():\n    import a as _x\n    return _x", None),
    ("what `except` binds", NAME, "def f():\n    try: ...\n    except E as _x: raise _x", None),
    ("a function inside", NAME, "def f():\n    def _x(): ...\n    return _x", None),
    (
        "a comprehension's variable",
        NAME,
        "def f():\n    return [_x for _x in _x], _x",
        "def f():\n    return [_x for _x in _x_2], _x_2",
    ),
    (
        "what a class binds",
        NAME,
        "class A:\n    _x = 1\n    def f(self):\n        return self._x, _x",
        "class A:\n    _x = 1\n    def f(self):\n        return self._x, _x_2",
    ),
    ("texts", NAME, "def f():\n    return '_x', b'_x', f'_x {{_x}} {1}'  # _x", None),
    ("f-strings", NAME, "def f():\n    return f'{_x(1)} {a._x}'", "def f():\n    return f'{_x_2(1)} {a._x}'"),
    (
        "examples in a docstring",
        NAME,
        'def f():\n    """The _x.\n\n    >>> _x(a._x, _x=1)\n    _x\n    """',
        'def f():\n    """The _x.\n\n    >>> _x_2(a._x, _x=1)\n    _x\n    """',
    ),
    ("a method of that name", NAME, "class A:\n    def _x(self): ...", None),
    (
        "a method's uses",
        METHOD,
        "def f(self, o):\n    return self._x + o._x + Box._x + _x",
        "def f(self, o):\n    return self._x_2 + o._x_2 + Box._x_2 + _x",
    ),
    (
        "a public method's uses",
        PUBLIC,
        "def f(self, o, get):\n    return self.get(o.get(1), get=get) + cls.get + Box.get",
        "def f(self, o, get):\n    return self.get_2(o.get(1), get=get) + cls.get_2 + Box.get_2",
    ),
    ("another class's self", METHOD, "class A:\n    def f(self):\n        return self._x", None),
    (
        "a method in texts",
        METHOD,
        'def f(self):\n    """F.\n\n    >>> Box()._x()\n    """\n    return f"{self._x} {_x}"',
        'def f(self):\n    """F.\n\n    >>> Box()._x_2()\n    """\n    return f"{self._x_2} {_x}"',
    ),
]


@pytest.mark.parametrize(("renaming", "before", "after"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_renamed(renaming: Renaming, before: str, after: str | None) -> None:
    assert renamed(before, renaming) == (before if after is None else after)


def test_a_function_that_is_another_one_keeps_its_name() -> None:
    """A method beside a module-level function of the same name, and the other way round."""
    source = "def _x(self):\n    return _x(self._x)"
    assert renamed(source, NAME, own=False) == "def _x(self):\n    return _x_2(self._x)"
    assert renamed(source, METHOD, own=True) == "def _x_2(self):\n    return _x(self._x_2)"
