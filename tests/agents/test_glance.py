"""What a glance at a file says is what the parser says of it, or nothing."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.workspace.facts import FileFacts, Import, spelled_in
from soa_agents.workspace.glance import Sketch, glance, sketch
from soa_agents.workspace.reading import file_facts, parsed_facts
from soa_agents.workspace.snapshot import read_text
from soa_agents.workspace.syntax import parse

ALIKE = {
    "strings and comments": (
        '''x = "def f(): pass"  # def g(): pass\ndef h():\n    """def i():\n    pass"""\n'''
    ),
    "prefixes": "a = rb'x' + f'{b.c!r:>{d}} {{e}}' + F\"{g['h']:x}\" + u'' + r'\\\\'\n",
    "a formatted string over lines": 'x = f"""\n{a.b}\n{c}"""\ndef f(): ...\n',
    "line ends": "def f(\r\n  a,\r  b): return c\rdef g(): pass\f\n",
    "tabs": "class A:\n\tdef f(self):\n\t\treturn b\n        \n\tdef g(self): pass\n",
    "a backslash": "def f(a):\n    return a + \\\n        b\ndef g(): ...\n",
    "brackets over lines": "def f(\n    a=(1,\n2),\n):\n    return g(\nh=1,\ni = j)\nx = k\n",
    "one line": "class A: x = 1; y: int = z\nif a: b = c\nelse: d = e\ndef f(): g; h = 1; return h\n",
    "targets": "def f(p):\n    a, (b, *c) = d = p.e, g\n    [h, i[j]], k.l = m\n    ((n, o), q), r = s\n",
    "binding in expressions": "def f(x):\n    return [a for a, b in c if (d := e)], lambda g, *h, i=j: k\n",
    "as": (
        "def f():\n    with a as b, c as d.e, g as (h, i): pass\n    try: pass\n    except j.k as l: m(l)\n"
    ),
    "annotations": (
        "class A:\n    a: B = c\n    d: E\n    f.g: H = i\n"
        "    def k(self, l: M[N] = O(p=1), *, q: R) -> S: ...\n"
    ),
    "annotated receivers": (
        "def f(a: B, c: d.E = 1, *g: H, i: J | None = None, k: Optional[L], m: list[N], o: P):\n"
        "    q: R = a.s\n    t: U\n    v.w: X = c.y.z\n    f: a\n    b.c: D\n"
        "    return g.aa, i.ab, k.ac, m.ad, o.ae, q.af, t.ag.ah, v.ai, f.aj\n"
        "class C:\n    x: Y\n    def z(self, other: C): return other.x.z()\n"
        "    def aa(self):\n        self.ab: C = ac\n        self.ad.ae: C\n        self.x: af\n"
        "        return self.ab.ag, self.x.ah, self.ai.aj.ak\n"
        "al: C = am\nal.an: C = ao\ndef ap():\n    class aq:\n        def ar(self): self.at: C = au\n"
    ),
    "arguments' names": "f(a=1, b = c, d==e, g=h)\nx = y == z\n",
    "attributes": "a.b.c(d).e.f[g].h\n(i\n .j\n .k())\n1.5e3\n.5\nx = ''.l + b''.m\n",
    "imports": (
        "import a, b.c as d\nfrom . import e\nfrom ..f import (g as h,  # i\n  j,)\n"
        "from __future__ import k\nif 1: from l import *\n"
    ),
    "decorators": (
        "@a.b(c=1)\n@d\n# e\nclass F:\n    @property\n    def g(self): return h\n    @g.setter\n"
        "    def g(self, i): ...\n"
    ),
    "overloads": (
        "@overload\ndef f(a: int): ...\n@typing.overload\ndef f(a: str): ...\ndef f(a): return b\n"
    ),
    "stubs": 'def a(): ...\ndef b(): pass\ndef c():\n    "d"\n'
    'def e():\n    raise NotImplementedError("x") from f\n'
    'def g():\n    b"h"\ndef i():\n    ("j"\n "k")\n    ...\ndef l():\n    raise NotImplementedError.m\n',
    "declarations": "class A(Protocol):\n    def b(self): ...\n"
    "if TYPE_CHECKING:\n    def c(): ...\nelse:\n    def d(): ...\n"
    "class E:\n    @abc.abstractmethod\n    def f(self): ...\n",
    "bases": "class A(B, c.D[E], metaclass=F, *g): pass\nclass H[T](I): pass\nclass J(k()): pass\n",
    "nested": (
        "def a():\n    class B(C):\n        d = e\n        def f(self):\n"
        "            def g(): return h\n    return i\nj\n"
    ),
    "code between": (
        "class A:\n    def b(self):\n        c\n    if d:\n        def e(self): f\n    g\nh\n"
        "async def i():\n    await j\n"
    ),
    "the same name": "def f(): a\ndef f(): b\nclass C: pass\nclass C: pass\n",
    "nothing": "",
}


@pytest.mark.parametrize("case", ALIKE)
@pytest.mark.parametrize("path", ["a.py", "tests/test_a.py", "a.pyi"])
def test_a_glance_sees_what_the_parser_sees(case: str, path: str) -> None:
    facts = parsed_facts(path, ALIKE[case])
    assert glance(path, ALIKE[case]) == facts
    assert_drawn(facts, ALIKE[case])


def assert_drawn(facts: FileFacts, text: str) -> None:
    """A sketch imports the same, spells every name, and is never made of a file that holds stubs."""
    drawn = sketch(facts.path, text)
    if drawn is not None:
        assert drawn.imports == facts.imports
        assert {*spelled_in(facts).split()} <= {*drawn.spelled.split()}
        assert facts.is_test or not any(each.is_stub for each in facts.functions)


def test_few_files_need_more_than_a_sketch() -> None:
    assert sketch("a.py", "from b import c as d\ndef e(f: g = 1):\n    'h'\n    return d(f)\n") == Sketch(
        "a.py", (Import("d", "b", "c"),), "c=d d f g"
    )


@pytest.mark.parametrize(
    "text",
    [
        "def f(:\n  a\n",
        "x = 'a\n",
        'x = """a\n',
        "f(]\n",
        "x = f'{a'\n",
        "match a:\n    case B(c) as d: e\n",
        "type A = B\n",
        "é = 1\n",
        "@a\nb\n",
        "print a\n",
        "def f(a, b: 'C'): b.d()\n",
        'def f(\n    self,\n    a: "C | None" = None,\n): ...\n',
        "class A:\n    def f(self, a):\n        self.b: 'C' = a\n",
        "a: Optional['B'] = None\n",
    ],
)
def test_what_is_in_doubt_is_left_to_the_parser(text: str) -> None:
    assert glance("a.py", text) is None
    assert file_facts("a.py", text) == parsed_facts("a.py", text)


def test_they_agree_on_the_standard_library() -> None:
    """A sample; `tests/bench/workspace.py` compares all of a folder."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[::4]
    texts = {file.name: text for file in files if (text := read_text(file)) is not None}
    seen = {name: facts for name, text in texts.items() if (facts := glance(name, text)) is not None}
    sound = {name for name in seen if not parse(texts[name]).root.has_error}
    assert len(sound) > 0.9 * len(texts) > 30
    for name in sound:
        assert seen[name] == parsed_facts(name, texts[name]), name
        assert_drawn(seen[name], texts[name])


PIECES = [
    "def f(a, b=c):",
    "class A(B):",
    "    ",
    "\n",
    "x = y",
    "(",
    ")",
    "'",
    '"""',
    "#",
    "\\",
    ";",
    ":",
    "@d",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_text_is_too_strange(text: str) -> None:
    found = glance("a.py", text)
    assert found is None or found.path == "a.py"
