"""The call graph: names are followed as Python would, and tests are found that reach a function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.workspace import reaching
from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import Reaching
from soa_agents.workspace.reading import file_facts

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
    "src/shop/till.py": """
import shop
from typing import Optional
from shop import Basket

def pay(basket: Basket, till: int): return basket.add(till.bit_length())
def later(basket: Optional[Basket] = None): return basket._check(1)
def either(basket: "Basket", other: shop.Basket | None): return basket.reset() or other.reset()
def local(something):
    basket: Basket = something()
    return basket.make, something.add
""",
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
    "self.i1.j1 = (lambda k1: k1 + l1)(cls.m1)": ".j1 cls.m1 l1 self.i1 self.i1.j1",
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
    "src/shop/till.py::pay": ["cart.py::Base.__init__", "cart.py::Cart.add"],
    "src/shop/till.py::later": ["cart.py::Base.__init__", "cart.py::Cart._check"],
    "src/shop/till.py::either": ["cart.py::Base.__init__", "cart.py::Base.reset"],
    "src/shop/till.py::local": ["cart.py::Base.__init__", "cart.py::Cart.make"],
}


@pytest.mark.parametrize("function", CALLEES)
def test_callees_are_followed_through_imports_scopes_and_bases(function: str) -> None:
    found = graph().callees(FunctionId.parse(function))
    assert [str(each).removeprefix("src/shop/") for each in found] == CALLEES[function]


HELD = {
    "cart.py": "class Cart:\n    def add(self): ...\n    def _check(self): ...\n",
    "held.py": """
from cart import Cart
import cart

kept: "Cart" = make()
loop: loop.more

class Till:
    spare: Cart | None

    def __init__(self, basket):
        self.basket: "cart.Cart" = basket

    def fill(self): return self.basket.add()
    def inspect(self): return self.spare._check()
    def unknown(self): return self.nothing.add(), self.basket, self.basket.lines.add()

class Small(Till):
    def refill(self): return self.basket.add()

def keep(): return kept.add(), loop.more.add()
def spend(till: "Till | None"): return till.basket.add()
""",
    "away.py": "import held\nfrom held import kept as ours\ndef f(): return ours.add()\n"
    "def g(): return held.kept._check()\n",
}
HELD_CALLS = {
    "held.py::Till.fill": ["cart.py::Cart.add"],
    "held.py::Till.inspect": ["cart.py::Cart._check"],
    "held.py::Till.unknown": [],
    "held.py::Small.refill": ["cart.py::Cart.add"],
    "held.py::keep": ["cart.py::Cart.add"],
    "held.py::spend": ["cart.py::Cart.add"],
    "away.py::f": ["cart.py::Cart.add"],
    "away.py::g": ["cart.py::Cart._check"],
}


@pytest.mark.parametrize("function", HELD_CALLS)
def test_calls_on_what_is_annotated_are_followed(function: str) -> None:
    found = graph(HELD).callees(FunctionId.parse(function))
    assert [str(each) for each in found] == HELD_CALLS[function]


def test_who_calls_by_an_annotated_attribute_is_found() -> None:
    callers = graph(HELD).callers(FunctionId("cart.py", "Cart._check"))
    assert [str(each) for each in callers] == ["away.py::g", "held.py::Till.inspect"]


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
        "src/shop/till.py",
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
    found = reaching.tests_reaching(graph(), FunctionId.parse(f"src/shop/{function}"))
    near = lambda names: tuple(sorted(f"tests/test_cart.py::{name}" for name in names))  # noqa: E731 - short
    assert found.direct == near(direct)
    assert set(found.affected) >= set(near([*direct, *more]))
    assert found.files == ("tests/test_cart.py", "tests/test_other.py")


def test_unknown_functions_and_setters_are_no_trouble() -> None:
    files = {
        "a.py": "class A:\n    @property\n    def p(self): 1\n    @p.setter\n    def p(self, v): 2\n",
        "test_a.py": "from a import A\ndef test_p(): A().p = 3\n",
    }
    assert reaching.tests_reaching(graph(files), FunctionId("a.py", "gone")) == Reaching()
    assert reaching.tests_reaching(graph(files), FunctionId("a.py", "A.p#2")).direct == ("test_a.py::test_p",)


def test_tests_that_classes_inherit_have_their_names() -> None:
    files = {
        "a.py": "class A:\n    def peek(self): 1\n",
        "test_a.py": (
            "from a import A\nclass Common:\n    cls = None\n    def test_peek(self): self.cls().peek()\n"
            "class TestA(Common):\n    cls = A\nclass TestOther(Common):\n    def test_peek(self): pass\n"
        ),
    }
    found = reaching.tests_reaching(graph(files), FunctionId("a.py", "A.peek")).direct
    assert found == ("test_a.py::Common::test_peek", "test_a.py::TestA::test_peek")


CHAINS = {  # what is held -> files, and all tests that a.py's `A.f` reaches
    "an attribute of something unknown is followed once": (
        {
            "a.py": "class A:\n    def f(self): 1\n",
            "b.py": "import a\ndef used(x): x.f()\nclass B:\n    def get(self, x): x.f()\n",
            "test_a.py": (
                "import b\ndef test_used(): b.used(1)\ndef test_get(x): b.used; x.get(1)\n"
                "def test_b(): b.B()\ndef test_other(x): x.get(1)\n"
            ),
        },
        ["test_b", "test_get", "test_used"],
    ),
    "a test class's own statements concern its tests, inherited ones too": (
        {
            "a.py": "class A:\n    def f(self): 1\n",
            "test_a.py": (
                "from a import A\nclass Common:\n    def test_one(self): self.cls()\n"
                "class TestA(Common):\n    cls = A\n    def test_two(self): 1\n"
                "class TestB(Common):\n    def test_two(self): 1\ndef test_three(): 1\n"
            ),
        },
        ["TestA::test_one", "TestA::test_two"],
    ),
    "a test module's own statements concern all of its tests": (
        {
            "a.py": "class A:\n    def f(self): 1\n",
            "test_a.py": "import a\na = a.A().f()\nclass TestA:\n    def test_a(self): 1\ndef test_b(): 1\n",
        },
        ["TestA::test_a", "test_b"],
    ),
    "a set-up method concerns the tests of the classes that inherit it": (
        {
            "a.py": "class A:\n    @staticmethod\n    def f(): 1\n",
            "tests/base.py": "from a import A\nclass Base:\n    def setUp(self): A.f()\n",
            "tests/test_a.py": (
                "from .base import Base\nclass TestA(Base):\n    def test_a(self): 1\n"
                "class TestB:\n    def test_b(self): 1\n"
            ),
        },
        ["TestA::test_a"],
    ),
    "a method runs where one that it overrides is named": (
        {
            "a.py": "from b import B\nclass A(B):\n    def f(self): 1\n",
            "b.py": "class B:\n    def run(self): self.f()\n    def f(self): 0\ndef make(): return B()\n",
            "c.py": "from b import B\nclass C(B):\n    def run(self): self.f()\n",
            "test_a.py": "import b, c\ndef test_run(): b.B().run()\ndef test_c(): c.C()\ndef test_b(): 1\n",
        },
        ["test_c", "test_run"],
    ),
    "methods that only call each other are run through their class": (
        {
            "a.py": (
                "class A:\n    def f(self): self.g()\n    def g(self): self.h()\n"
                "    def h(self): self.g(); self.f()\ndef make(): return A()\n"
            ),
            "test_a.py": "import a\ndef test_make(): a.make()\ndef test_b(): 1\n",
        },
        ["test_make"],
    ),
    "what a class's own statements use, the users of the class run": (
        {
            "a.py": "class A:\n    def f(self): 1\n    size = property(f)\n",
            "b.py": "import a\ndef make(): return a.A()\n",
            "test_a.py": "import b\ndef test_make(): b.make()\ndef test_b(): 1\n",
        },
        ["test_make"],
    ),
}


@pytest.mark.parametrize("case", CHAINS)
def test_chains_of_users_end_at_tests(case: str) -> None:
    files, tests = CHAINS[case]
    found = reaching.tests_reaching(graph(files), FunctionId("a.py", "A.f")).affected
    assert [name.partition("::")[2] for name in found] == tests


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
            found = reaching.tests_reaching(both, FunctionId(path, each.qualname))
            assert {name.partition("::")[0] for name in found.affected} <= {"test_a.py"}


def test_names_looked_for_together_with_little_held_are_used_as_each_alone() -> None:
    facts = {path: file_facts(path, text) for path, text in {**FILES, **HELD}.items()}
    alone, together = CallGraph(facts), CallGraph(facts, held=1)
    functions = [FunctionId(path, each.qualname) for path in facts for each in facts[path].functions]
    together.look_for(each.name for each in functions)
    for each in functions:
        assert together.users(each) == alone.users(each)
        assert together.mentions(each) == alone.mentions(each)
        assert together.callees(each) == alone.callees(each)
