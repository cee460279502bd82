"""The call graph: names are followed as Python would, and tests are found that reach a function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.workspace import callgraph
from soa_agents.workspace.callgraph import CallGraph, Reaching
from soa_agents.workspace.facts import file_facts
from soa_agents.workspace.ids import FunctionId

FILES = {
    "src/shop/__init__.py": "from .cart import Cart as Basket, total\nfrom .helpers import *\n",
    "src/shop/cart.py": """
from __future__ import annotations
import json
from . import helpers as h
from .helpers import rounded

class Base:
    def __init__(self): self.reset()
    def reset(self): ...

class Cart(Base):
    RATE = h.rate()
    @property
    def size(self): return len(self)
    def __len__(self): return total([])
    def add(self, item): return self._check(item)
    def _check(self, item): return h.rounded(item)
    @classmethod
    def make(cls): return cls()

def total(items):
    def one(item): return rounded(item)
    rate = 1
    return sum(map(one, items)) + rate + json.loads("1")

def unused(total): return total
""",
    "src/shop/helpers.py": "def rounded(x): return x\ndef rate(): return 1\ndef loads(): ...\n",
    "src/shop/cli.py": "import shop.cart\n\ndef main(): return shop.cart.total([shop.Basket()])\n",
    "src/shop/json.py": "def loads(): ...\n",
    "tests/conftest.py": "import pytest, shop\n@pytest.fixture\ndef full(): return shop.Basket.make()\n",
    "tests/test_cart.py": """
import shop
from shop.cart import Cart
import pytest

class TestCart:
    def setup_method(self): self.cart = Cart()
    def test_add(self): assert self.cart.add(1) == 1
    def test_nothing(self): pass

def test_size(full): assert full.size == 0
def test_total(): assert shop.total([]) == 0
@pytest.mark.parametrize("f", [shop.rounded])
def test_rounded(f): f(1)
def helper(): return shop.total([1])
def test_through_helper(): helper()
def test_inner():
    def test_not_this(): shop.rounded(1)
""",
    "tests/test_other.py": "def test_other(): total()\n",
}


def graph(files: dict[str, str] = FILES) -> CallGraph:
    return CallGraph({path: file_facts(path, text) for path, text in files.items()})


USES = {  # the body of `def test_f(a, *b, c=d, **e)` -> what it uses beside the default `d` and its fixture
    "g(h.i.j, k=l)": "g h.i.j l",
    "m = n; m.o.p(); (q, [r, *s]) = t; q.u; s()": ".o .p .u n t",
    "for v in w: v.x()\n    else: y": ".x w y",
    "with a1 as b1: b1(a.c1)": ".c1 a1",
    "return [d1 for d1, e1 in f1 if (g1 := e1).h1] + g1": ".h1 f1",
    "self.i1.j1 = (lambda k1: k1 + l1)(cls.m1)": ".j1 cls.m1 l1 self.i1",
    "g()\\\n     .n1.o1[p1].q1": ".n1 .o1 .q1 g p1",
    "import r1.s1 as t1; from .u1 import v1 as w1": "",
    "return f'{x1!r} y1 {z1.ä:>{é}}'  # a2": "x1 z1.ä é",
    "match b2:\n        case c2.D2(e2=1): f2": "b2 c2.D2 f2",
    "@h2(i2)\n    def j2(): k2": "",
    "class L2(m2, n2=o2):\n        p2 = q2": "m2 o2 q2",
    "g(": "g",
}


@pytest.mark.parametrize("body", USES)
@pytest.mark.parametrize("before", ["", "\ufeff", "# é ü \n"])
def test_the_names_that_a_function_uses(body: str, before: str) -> None:
    text = f"{before}def test_f(a, *b, c=d, **e):\n    {body}\n"
    found = file_facts("test_a.py", text).functions[0].uses
    assert sorted({*found} - {"a", "d"}) == USES[body].split()
    assert {"a", "d"} <= {*found}


CALLEES = {
    "src/shop/cart.py::total": ["cart.py::total.<locals>.one"],
    "src/shop/cart.py::total.<locals>.one": ["helpers.py::rounded"],
    "src/shop/cart.py::Base.__init__": ["cart.py::Base.reset"],
    "src/shop/cart.py::Cart.add": ["cart.py::Cart._check"],
    "src/shop/cart.py::Cart._check": ["helpers.py::rounded"],
    "src/shop/cart.py::Cart.__len__": ["cart.py::total"],
    "src/shop/cart.py::unused": [],
    "src/shop/cli.py::main": ["cart.py::Base.__init__", "cart.py::total"],
}


@pytest.mark.parametrize("function", CALLEES)
def test_callees_are_followed_through_imports_scopes_and_bases(function: str) -> None:
    found = graph().callees(FunctionId.parse(function))
    assert [str(each).removeprefix("src/shop/") for each in found] == CALLEES[function]


def test_callers_are_functions_tests_and_modules() -> None:
    callers = graph().callers(FunctionId("src/shop/cart.py", "total"))
    assert [str(each) for each in callers] == [
        "src/shop/cart.py::Cart.__len__",
        "src/shop/cli.py::main",
        "tests/test_cart.py::helper",
        "tests/test_cart.py::test_total",
    ]
    assert FunctionId("src/shop/cart.py", "<module>") in graph().callers(
        FunctionId("src/shop/helpers.py", "rate")
    )


def test_importers_are_followed_to_the_tests() -> None:
    importers = graph().modules.importers("src/shop/helpers.py")
    assert importers == {
        "src/shop/__init__.py",
        "src/shop/cart.py",
        "src/shop/cli.py",
        "tests/conftest.py",
        "tests/test_cart.py",
        "tests/test_other.py",  # by its conftest
    }
    assert not graph().modules.importers("src/shop/json.py"), "`import json` is not a neighbour's module"


REACHED = {  # function -> direct, and what is affected beside
    "cart.py::total": (
        ["test_total"],
        ["TestCart::test_add", "TestCart::test_nothing", "test_size", "test_through_helper"],
    ),
    "cart.py::Cart.add": (["TestCart::test_add"], ["TestCart::test_nothing", "test_size"]),
    "cart.py::Cart.size": (["test_size"], ["TestCart::test_add", "TestCart::test_nothing"]),
    "cart.py::Cart.make": ([], ["TestCart::test_add", "TestCart::test_nothing", "test_size"]),
    "cart.py::Base.__init__": ([], ["TestCart::test_add", "TestCart::test_nothing", "test_size"]),
    "helpers.py::rounded": (
        ["test_rounded"],
        ["TestCart::test_add", "TestCart::test_nothing", "test_size", "test_through_helper", "test_total"],
    ),
    "helpers.py::loads": ([], []),
}


@pytest.mark.parametrize("function", REACHED)
def test_tests_that_reach_a_function_are_found(function: str) -> None:
    direct, more = REACHED[function]
    found = callgraph.tests_reaching(graph(), FunctionId.parse(f"src/shop/{function}"))
    near = lambda names: tuple(sorted(f"tests/test_cart.py::{name}" for name in names))  # noqa: E731 - short
    assert found.direct == near(direct)
    assert set(found.affected) >= set(near([*direct, *more]))
    assert found.files == ("tests/test_cart.py", "tests/test_other.py")


def test_unknown_functions_and_setters_are_no_trouble() -> None:
    files = {
        "a.py": "class A:\n    @property\n    def p(self): 1\n    @p.setter\n    def p(self, v): 2\n",
        "test_a.py": "from a import A\ndef test_p(): A().p = 3\n",
    }
    assert callgraph.tests_reaching(graph(files), FunctionId("a.py", "gone")) == Reaching()
    assert callgraph.tests_reaching(graph(files), FunctionId("a.py", "A.p#2")).direct == (
        "test_a.py::test_p",
    )


def test_tests_that_classes_inherit_have_their_names() -> None:
    files = {
        "a.py": "class A:\n    def peek(self): 1\n",
        "test_a.py": (
            "from a import A\nclass Common:\n    cls = None\n    def test_peek(self): self.cls().peek()\n"
            "class TestA(Common):\n    cls = A\nclass TestOther(Common):\n    def test_peek(self): pass\n"
        ),
    }
    found = callgraph.tests_reaching(graph(files), FunctionId("a.py", "A.peek")).direct
    assert found == ("test_a.py::Common::test_peek", "test_a.py::TestA::test_peek")


def test_circles_end() -> None:
    files = {
        "a.py": "from b import *\nfrom b import x\nclass A(B): pass\nclass B(A):\n    def f(self): self.g()",
        "b.py": "from a import *\nfrom a import x\ndef f(): x(); y.z()\n",
    }
    both = graph(files)
    assert both.callees(FunctionId("b.py", "f")) == ()
    assert both.modules.importers("a.py") == {"b.py"}


@given(st.text(st.sampled_from("def f(x):\n    class import from . * as self = [] @\0é,")))
def test_facts_of_any_text_can_be_had(text: str) -> None:
    both = graph({"a.py": text, "test_a.py": text})
    for path, facts in both.facts.items():
        for each in facts.functions:
            callgraph.tests_reaching(both, FunctionId(path, each.qualname))
