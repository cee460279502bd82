"""What a patch writes and can fool a test is seen wherever it stands; what stood there is not shown."""

from __future__ import annotations

import re

import pytest
from soa_agents.jobs.flags import flagged
from soa_agents.swarm.assembly.assemble import Piece, assemble
from soa_agents.swarm.code import Definition, Written, definition, is_stub
from soa_agents.workspace.ids import FunctionId

PATH = "shop.py"
PEEK = "def _h(x):\n    import sys\n    return sys._getframe(1)"


def define(source: str, qualname: str = "") -> Definition:
    node = definition(source)
    return Definition(qualname or node.name, source, is_stub(node))


def target(
    qualname: str, source: str, *helpers: Definition, statements: tuple[str, ...] = (), imports: str = ""
) -> Piece:
    function = FunctionId(PATH, qualname)
    return Piece(
        function, function, False, Written(source, helpers, statements, tuple(filter(None, [imports])))
    )


TWO = "def f(x):\n    ...\n\n\ndef g(x):\n    ...\n"
METHOD = "class A:\n    def f(self):\n        ...\n"
ALWAYS = "class _Any:\n    def __eq__(self, other):\n        return True"

# What is flagged, text before, pieces, the lines that are shown
CASES = [
    ("the function", TWO, [target("f", "def f(x):\n    return x.f_back")], ["return x.f_back"]),
    (
        "a helper that two agents brought and one was renamed",
        TWO,
        [
            target("f", "def f(x):\n    return _h(x)", define("def _h(x):\n    return x")),
            target("g", "def g(x):\n    return _h(x)", define(PEEK)),
        ],
        ["return sys._getframe(1)"],
    ),
    (
        "a Child's code",
        TWO,
        [
            target("f", "def f(x):\n    return _h(x)", define("def _h(x):\n    ...")),
            Piece(FunctionId(PATH, "_h"), FunctionId(PATH, "f"), True, Written(PEEK)),
        ],
        ["return sys._getframe(1)"],
    ),
    (
        "a class that came along",
        TWO,
        [target("f", "def f(x):\n    return _Any()", statements=(ALWAYS,))],
        ["def __eq__(self, other):"],
    ),
    (
        "a constant that came along",
        TWO,
        [
            target(
                "f",
                "def f(x):\n    return KEY",
                statements=("KEY = 'PYTEST_CURRENT_TEST'",),
                imports="import os",
            )
        ],
        ["KEY = 'PYTEST_CURRENT_TEST'"],
    ),
    (
        "an import",
        "import os\n\n\ndef f(x):\n    ...\n",
        [target("f", "def f(x):\n    return ctypes", imports="import ctypes")],
        ["import ctypes"],
    ),
    (
        "a name that the file imports",
        "from os import _exit as leave\n\n\ndef f(x):\n    ...\n",
        [target("f", "def f(x):\n    leave(0)")],
        ["leave(0)"],
    ),
    (
        "beside text at the left margin",
        METHOD,
        [target("A.f", "def f(self):\n    s = '''\nx\n'''\n    return s.f_back")],
        ["return s.f_back"],
    ),
    (
        "a method that came along",
        METHOD,
        [
            target(
                "A.f",
                "def f(self):\n    return self._h()",
                define("def _h(self):\n    return self.f_back", "A._h"),
            )
        ],
        ["return self.f_back"],
    ),
    (
        "in a file that does not parse",
        METHOD + "\n\ndef broken(:\n    pass\n",
        [
            target("A.f", "def f(self):\n    return _Any().f_back", define(PEEK), statements=(ALWAYS,)),
        ],
        ["def __eq__(self, other):", "return sys._getframe(1)", "return _Any().f_back"],
    ),
    (
        "in a class that does not parse",
        METHOD + "\n    def broken(:\n        pass\n",
        [target("A.f", "def f(self):\n    return self.f_back")],
        ["return self.f_back"],
    ),
    (
        "nothing that stood there",
        "import ctypes\n\n\ndef h(x):\n    return x.f_back\n\n\ndef f(x):\n    ...\n\n\n"
        "def i(x): return x.f_back\n",
        [target("f", "def f(x):\n    return _h(x)", define("def _h(x):\n    return x"), imports="import re")],
        [],
    ),
    (
        "nothing around a nested function",
        "def o(x):\n    y = x.f_back\n    def f(x): ...\n    return f, x.f_locals\n",
        [target("o.<locals>.f", "def f(x):\n    return 1")],
        [],
    ),
]


@pytest.mark.parametrize(
    "shape",
    [lambda text: text, lambda text: "\ufeff" + text.replace("\n", "\r\n")],
    ids=["plain", "BOM, CRLF"],
)
@pytest.mark.parametrize(("text", "pieces", "lines"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_flags(text: str, pieces: list[Piece], lines: list[str], shape: object) -> None:
    assert callable(shape)
    texts = {PATH: shape(text)}
    patch = assemble(texts, pieces)
    new = re.split(r"\r\n|\n", patch.apply(texts)[PATH].lstrip("\ufeff"))
    assert [new[flag.line - 1].strip() for flag in flagged(texts, patch)] == lines


def test_every_file_is_looked_at() -> None:
    texts = {"a.py": "def f(x): ...\n", "b.py": "x = 1\n\n\ndef f(x): ...\n"}
    pieces = [
        Piece(FunctionId(path, "f"), FunctionId(path, "f"), False, Written("def f(x):\n    return x.f_back"))
        for path in texts
    ]
    assert [flag.line for flag in flagged(texts, assemble(texts, pieces))] == [2, 5]
