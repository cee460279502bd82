"""Replies are read generously and checked strictly: what a model may write, and what it is told otherwise."""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from soa_agents.errors import CallFailed, Refused, ReplyError
from soa_agents.swarm.code import Written
from soa_agents.swarm.replies.reply import Expect, read_code, read_prose, read_stubs, read_tests
from soa_agents.swarm.replies.target import check_signature
from soa_agents.workspace.ids import FunctionId

MODULE = '''\
"""Invoices."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

RATE = 7


def total(items: list[int], *, rate: float = 0.5) -> float:
    """Add them up.

    >>> total([1])
    1.5
    """
    raise NotImplementedError


def other(x):
    return json.dumps(x)


async def fetch(url: "str") -> str:
    """Get it."""
    ...


class Box:
    """A box."""

    size = 3

    def __init__(self, width: int) -> None:
        self.width = width

    @property
    def area(self) -> int:
        """How large."""
        return self.width * self.size

    @area.setter
    def area(self, value: int) -> None:
        raise NotImplementedError

    def put(self, thing: str) -> bool:
        """Put it in."""
        ...


def outer(n):
    def inner(k):
        ...
    return inner(n)
'''
SPECS = {
    "total": '''\
def total(items: list[int], *, rate: float = 0.5) -> float:
    """Add them up.

    >>> total([1])
    1.5
    """
    raise NotImplementedError''',
    "fetch": 'async def fetch(url: "str") -> str:\n    """Get it."""\n    ...',
    "Box.put": 'def put(self, thing: str) -> bool:\n    """Put it in."""\n    ...',
    "Box.area#2": "@area.setter\ndef area(self, value: int) -> None:\n    raise NotImplementedError",
    "outer.<locals>.inner": "def inner(k):\n    ...",
    "_new": 'def _new(a: int) -> int:\n    """A stub of a Mother."""\n    ...',
}


def expect(qualname: str = "total", **more: object) -> Expect:
    base = Expect(FunctionId("billing/invoice.py", qualname), MODULE, SPECS[qualname])
    return replace(base, **more)  # type: ignore[arg-type]  # the tables below give fields by name


def fenced(code: str, fence: str = "```", info: str = "python") -> str:
    return f"{fence}{info}\n{code.strip(chr(10))}\n{fence}\n"


HEAD = "def total(items: list[int], *, rate: float = 0.5) -> float:\n"
GOOD = HEAD + "    return sum(items) + rate\n"
PUT = "def put(self, thing: str) -> bool:\n    return self.width > 1\n"

# name, target, reply, what the body of the target has to contain
ACCEPTED = [
    ("plain", "total", fenced(GOOD), "return sum(items) + rate"),
    ("prose around it", "total", f"Sure:\n\n{fenced(GOOD)}\nThat adds them up.", "sum(items)"),
    (
        "thinking with a draft",
        "total",
        f"<think>\n{fenced(HEAD + '    return 1')}</think>\n{fenced(GOOD)}",
        "sum(",
    ),
    ("only the end of thinking", "total", f"so be it\n</think>\n{fenced(GOOD)}", "sum("),
    ("thinking on one line", "total", f"<think>hm</think>{fenced(GOOD)}", "sum("),
    ("think in a string", "total", fenced(HEAD + '    x = "</think>"\n    return len(x)'), '"</think>"'),
    ("last block counts", "total", fenced(HEAD + "    return 1") + fenced(GOOD), "sum("),
    ("usage block behind it", "total", fenced(GOOD) + fenced("print(total([1]))"), "sum("),
    ("shell block behind it", "total", fenced(GOOD) + fenced("$ pytest -q", info="sh"), "sum("),
    ("long fence", "total", fenced(GOOD, "````"), "sum("),
    ("tildes", "total", fenced(GOOD, "~~~"), "sum("),
    ("no language", "total", fenced(GOOD, info=""), "sum("),
    ("attributes", "total", fenced(GOOD, info='py title="x.py"'), "sum("),
    ("indented fence", "total", textwrap.indent(fenced(GOOD), "   "), "sum("),
    ("indented code", "total", "```python\n" + textwrap.indent(GOOD, "    ") + "```", "sum("),
    ("no closing fence", "total", "```python\n" + GOOD, "sum("),
    ("no fence at all", "total", GOOD, "sum("),
    ("CRLF", "total", fenced(GOOD).replace("\n", "\r\n"), "sum("),
    ("tabs", "total", fenced(GOOD.replace("    ", "\t")), "\treturn sum("),
    ("one line", "total", fenced(HEAD.rstrip() + " return sum(items)"), "    return sum(items)"),
    ("no annotations", "total", fenced("def total(items, *, rate):\n    return sum(items)"), "-> float:"),
    ("other quotes", "fetch", fenced("async def fetch(url: 'str') -> 'str':\n    return url"), 'url: "str"'),
    ("unquoted", "fetch", fenced("async def fetch(url: str) -> str:\n    return url"), 'url: "str"'),
    (
        "laid out anew",
        "total",
        fenced(GOOD.replace("(items", "(\n    items", 1).replace("5)", "5,\n)")),
        "sum(",
    ),
    (
        "another docstring",
        "total",
        fenced(HEAD + '    """Hm.\n\n    >>> 1\n    2\n    """\n    return 1'),
        ">>> total",
    ),
    (
        "a fence in a docstring",
        "total",
        fenced(HEAD + '    """Like\n\n    ```\n    total([])\n    ```\n    """\n    return 1'),
        "Add them up",
    ),
    (
        "whole module echoed",
        "total",
        fenced(MODULE.replace("raise NotImplementedError", "return sum(items)", 1)),
        "sum(",
    ),
    ("harmless lines", "total", fenced(GOOD + "\nprint(total([1]))\nassert total([1]) == 1.5"), "sum("),
    ("main guard", "total", fenced(GOOD + "\nif __name__ == '__main__':\n    total([])"), "sum("),
    ("loop of examples", "total", fenced(GOOD + "\nfor n in range(3):\n    print(total([n]))"), "sum("),
    ("its tests", "total", fenced(GOOD + "\ndef test_total():\n    assert total([]) == 0.5"), "sum("),
    ("another's stub as context", "total", fenced("def other(x): ...\n\n" + GOOD), "sum("),
    ("method bare", "Box.put", fenced(PUT), "self.width"),
    ("method in class", "Box.put", fenced("class Box:\n" + textwrap.indent(PUT, "    ")), "self.width"),
    (
        "class echoed",
        "Box.put",
        fenced(
            'class Box:\n    """A box."""\n    size = 3\n    def __init__(self, width: int) -> None:\n'
            "        self.width = width\n" + textwrap.indent(PUT, "    ")
        ),
        "self.width",
    ),
    (
        "setter bare",
        "Box.area#2",
        fenced("@area.setter\ndef area(self, value):\n    self.width = value"),
        "= value",
    ),
    (
        "setter undecorated",
        "Box.area#2",
        fenced("def area(self, value):\n    self.width = value"),
        "@area.setter",
    ),
    (
        "setter beside its getter",
        "Box.area#2",
        fenced(
            "class Box:\n    @property\n    def area(self) -> int:\n        return self.width * self.size\n\n"
            "    @area.setter\n    def area(self, value: int) -> None:\n        self.width = value"
        ),
        "self.width = value",
    ),
    ("nested bare", "outer.<locals>.inner", fenced("def inner(k):\n    return k + 1"), "k + 1"),
    (
        "nested in place",
        "outer.<locals>.inner",
        fenced("def outer(n):\n    def inner(k):\n        return k + 1\n    return inner(n)"),
        "k + 1",
    ),
    ("async", "fetch", fenced("async def fetch(url: str) -> str:\n    return url"), "return url"),
    ("a Mother's stub", "_new", fenced("def _new(a: int) -> int:\n    return a"), "A stub of a Mother."),
    (
        "comment with a common word",
        "total",
        fenced(HEAD + "    # the rest of them\n    return sum(items)"),
        "sum(",
    ),
    ("ellipsis as a value", "total", fenced(HEAD + "    x = ...\n    return sum(items)"), "x = ..."),
]


@pytest.mark.parametrize(
    ("target", "reply", "part"), [case[1:] for case in ACCEPTED], ids=[c[0] for c in ACCEPTED]
)
def test_a_generous_reading(target: str, reply: str, part: str) -> None:
    asked = expect(target)
    written = read_code(reply, "stop", asked)
    assert part in written.source
    assert not written.helpers and not written.statements and not written.imports
    check_kept(asked, written)


@pytest.mark.parametrize(
    "line",
    ["for k in 'ab':\n    T[k] = RATE", "T['a'] = 1", "del T", "while False:\n    x = 1", "json.x = 3"],
)
def test_whatever_a_module_runs_may_be_echoed(line: str) -> None:
    module = f"{MODULE}\n\nT = {{}}\n{line}\n"
    reply = fenced(module.replace("raise NotImplementedError", "return sum(items)", 1))
    written = read_code(reply, "stop", replace(expect(), module=module))
    assert "sum(" in written.source and not written.statements
    with pytest.raises(ReplyError, match="changes what stands beside"):
        read_code(reply.replace(line, f"{line}\nT['b'] = 2"), "stop", replace(expect(), module=module))


def check_kept(asked: Expect, written: Written) -> None:
    """Decorators, signature and docstring are the workspace's, the body is no stub."""
    old, new = ast.parse(asked.spec).body[-1], ast.parse(written.source).body[-1]
    assert isinstance(old, ast.FunctionDef | ast.AsyncFunctionDef) and type(new) is type(old)
    for field in ("name", "args", "returns", "decorator_list"):
        mine, theirs = getattr(new, field), getattr(old, field)
        assert ast.dump(ast.Module(mine if isinstance(mine, list) else [mine], [])) == ast.dump(
            ast.Module(theirs if isinstance(theirs, list) else [theirs], [])
        )
    if ast.get_docstring(old):
        assert ast.get_docstring(new) == ast.get_docstring(old)


# name, target, reply, finish, what the message has to say
REFUSED = [
    ("nothing", "total", "", "stop", "empty"),
    ("blank", "total", " \n\n", "stop", "empty"),
    ("only thinking", "total", "<think>hm</think>", "stop", "empty"),
    ("unclosed thinking", "total", f"<think>\n{fenced(GOOD)}", "stop", "empty"),
    ("prose", "total", "I would add the items up.", "stop", "no code"),
    ("HTML", "total", "<!DOCTYPE html>\n<html><body>502</body></html>", "stop", "HTML"),
    ("cut off", "total", fenced(GOOD), "length", "cut off"),
    ("withheld", "total", "", "content_filter", "content filter"),
    ("unfinished block", "total", "```python\n" + HEAD + "    return sum(", "stop", "no closing fence"),
    ("syntax error", "total", fenced(HEAD + "    return return"), "stop", "line 2"),
    (
        "syntax error behind a good draft",
        "total",
        fenced(GOOD) + fenced(HEAD + "    return ("),
        "stop",
        "parse",
    ),
    ("tabs and blanks", "total", fenced(HEAD + "    if items:\n\treturn 1"), "stop", "parse"),
    ("another function", "total", fenced("def totals():\n    return 1"), "stop", "`totals`"),
    (
        "other case",
        "total",
        fenced("def Total(items, *, rate=0.5):\n    return 1"),
        "stop",
        "but not `total`",
    ),
    ("wrong class", "Box.put", fenced("class Bag:\n" + textwrap.indent(PUT, "    ")), "stop", "Bag"),
    ("still a stub", "total", fenced(HEAD + "    ..."), "stop", "still a stub"),
    (
        "still raising",
        "total",
        fenced(HEAD + '    raise NotImplementedError("later")'),
        "stop",
        "still a stub",
    ),
    ("docstring alone", "total", fenced(HEAD + '    """Hm."""'), "stop", "still a stub"),
    ("renamed parameter", "total", fenced("def total(xs, *, rate):\n    return 1"), "stop", "signature"),
    (
        "parameter too many",
        "total",
        fenced("def total(items, n, *, rate):\n    return 1"),
        "stop",
        "signature",
    ),
    ("other kind", "total", fenced("def total(items, rate):\n    return 1"), "stop", "signature"),
    (
        "other default",
        "total",
        fenced("def total(items, *, rate=1):\n    return 1"),
        "stop",
        "default of `rate`",
    ),
    ("new default", "total", fenced("def total(items=(), *, rate):\n    return 1"), "stop", "no default"),
    (
        "other annotation",
        "total",
        fenced("def total(items: set, *, rate):\n    return 1"),
        "stop",
        "annotated list",
    ),
    (
        "other result",
        "total",
        fenced("def total(items, *, rate) -> int:\n    return 1"),
        "stop",
        "return float",
    ),
    ("not async", "fetch", fenced("def fetch(url):\n    return url"), "stop", "async def"),
    ("async", "total", fenced("async " + GOOD), "stop", "not be async"),
    ("decorated", "total", fenced("@cache\n" + GOOD), "stop", "@cache"),
    ("self left out", "Box.put", fenced("def put(thing):\n    return True"), "stop", "signature"),
    (
        "elided by dots",
        "total",
        fenced(HEAD + "    n = 1\n    # ... rest of the code\n    return n"),
        "stop",
        "left out",
    ),
    ("elided by words", "total", fenced(HEAD + "    # existing code\n    return 1"), "stop", "left out"),
    ("elided unchanged", "total", fenced(HEAD + "    # ... unchanged ...\n    return 1"), "stop", "left out"),
    ("elided ellipsis", "total", fenced(HEAD + "    n = 1\n    ...\n    return n"), "stop", "left out"),
    ("changed another", "total", fenced("def other(x):\n    return 2\n\n" + GOOD), "stop", "`other`"),
    ("changed a constant", "total", fenced("RATE = 8\n" + GOOD), "stop", "RATE"),
    ("changed by adding", "total", fenced("RATE += 1\n" + GOOD), "stop", "RATE"),
    ("patched another", "total", fenced(GOOD + "json.dumps = str"), "stop", "json.dumps"),
    (
        "class attribute",
        "Box.put",
        fenced("class Box:\n    size = 4\n" + textwrap.indent(PUT, "    ")),
        "stop",
        "size",
    ),
    ("changed a class", "total", fenced("class Box:\n    pass\n    x = 1\n" + GOOD), "stop", "`Box`"),
    (
        "changed method",
        "Box.put",
        fenced(
            "class Box:\n    def __init__(self, width):\n        self.w = 1\n" + textwrap.indent(PUT, "    ")
        ),
        "stop",
        "Box.__init__",
    ),
    (
        "changed around",
        "outer.<locals>.inner",
        fenced("def outer(n):\n    def inner(k):\n        return k\n    return 7"),
        "stop",
        "around",
    ),
    ("future", "total", fenced("from __future__ import division\n" + GOOD), "stop", "__future__"),
    ("star", "total", fenced("from math import *\n" + GOOD), "stop", "imported `*`"),
    (
        "name means another",
        "total",
        fenced("import os as RATE\n" + HEAD + "    return RATE.x"),
        "stop",
        "something else",
    ),
    ("abstains", "total", "Abstain: not my part", "stop", "cannot abstain"),
    ("a diff", "total", fenced("-    raise\n+    return 1", info="diff"), "stop", "Send one fenced"),
]


@pytest.mark.parametrize(
    ("target", "reply", "finish", "part"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_a_strict_check(target: str, reply: str, finish: str, part: str) -> None:
    with pytest.raises(ReplyError) as told:
        read_code(reply, finish, expect(target))
    assert part in str(told.value)
    assert re.search("[Ss]end ", str(told.value))  # what to do about it


HELPER = 'def _tax(x: int) -> int:\n    """The tax on x."""\n    ...\n'
CALLS = HEAD + "    return _tax(1)\n"


def test_helpers_come_as_stubs_or_whole() -> None:
    reply = fenced(HELPER + "\n\ndef _round(x):\n    return x\n\n\n" + HEAD + "    return _round(_tax(1))")
    written = read_code(reply, "stop", expect())
    assert [(each.qualname, each.is_stub) for each in written.helpers] == [("_tax", True), ("_round", False)]
    assert written.helpers[0].source == HELPER.rstrip()


def test_helpers_in_a_block_of_their_own_are_taken_when_used() -> None:
    reply = fenced(HELPER) + fenced("def _unused(x):\n    return x") + fenced(CALLS)
    assert [each.qualname for each in read_code(reply, "stop", expect()).helpers] == ["_tax"]


def test_a_helper_of_a_helper_is_kept_and_an_unused_one_is_not() -> None:
    code = (
        "def _a():\n    return _b()\n\ndef _b():\n    return 1\n\ndef _c():\n    return 1\n\n"
        + HEAD
        + "    return _a()"
    )
    assert [each.qualname for each in read_code(fenced(code), "stop", expect()).helpers] == ["_a", "_b"]


@pytest.mark.parametrize(
    "code",
    [
        "class Box:\n    def _fits(self, n):\n        return n < 3\n\n"
        "    def put(self, thing: str) -> bool:\n        return self._fits(1)",
        "def _fits(self, n):\n    return n < 3\n\n"
        "def put(self, thing: str) -> bool:\n    return self._fits(1)",
    ],
    ids=["in its class", "bare"],
)
def test_new_methods_are_helpers_of_the_class(code: str) -> None:
    helpers = read_code(fenced(code), "stop", expect("Box.put")).helpers
    assert [(each.qualname, each.source) for each in helpers] == [
        ("Box._fits", "def _fits(self, n):\n    return n < 3")
    ]


def test_a_plain_function_beside_a_bare_method_is_module_level() -> None:
    code = "def _fits(n):\n    return n < 3\n\ndef put(self, thing: str) -> bool:\n    return _fits(1)"
    assert [h.qualname for h in read_code(fenced(code), "stop", expect("Box.put")).helpers] == ["_fits"]


def test_statements_and_imports_the_code_needs_come_along() -> None:
    code = (
        "import json\nimport os, re\nfrom decimal import Decimal, ROUND_UP\n"
        "from billing.invoice import other\n_PATTERN = re.compile('x')  # compiled once\n_UNUSED = 1\n\n"
        "class _Line:\n    def cost(self):\n        return 1\n\n"
        + HEAD
        + "    json, other\n    return _Line().cost() + len(_PATTERN.pattern) + Decimal(1)"
    )
    written = read_code(fenced(code), "stop", expect())
    assert written.statements == (
        "_PATTERN = re.compile('x')  # compiled once",
        "class _Line:\n    def cost(self):\n        return 1",
    )
    assert written.imports == ("import re", "from decimal import Decimal")


def test_what_the_agents_older_helpers_use_is_kept() -> None:
    asked = expect(mine={"_tax": "def _tax(x):\n    return _rate(x)"})
    written = read_code(fenced("def _rate(x):\n    return 1\n\n" + CALLS), "stop", asked)
    assert [each.qualname for each in written.helpers] == ["_rate"]


@pytest.mark.parametrize(
    ("helper", "more", "part"),
    [
        ("def _tax(x):\n    return 1", {"taken": frozenset({"_tax"})}, "`_tax` is already taken"),
        ("def _tax(x):\n    ...", {}, "without a docstring"),
        (HELPER, {"helpers_allowed": False}, "nobody else will write it"),
        ("def _tax(x):\n    # ... rest of the code\n    return 1", {}, "left out"),
        ("def _tax(x):\n    return list(x)\n\ndef list(x):\n    return x", {}, "`list` is already taken"),
    ],
    ids=["taken", "no docstring", "no agent for it", "elided", "hides a builtin"],
)
def test_helpers_that_cannot_be(helper: str, more: dict[str, object], part: str) -> None:
    with pytest.raises(ReplyError, match=part):
        read_code(fenced(helper + "\n\n" + CALLS), "stop", expect(**more))


def test_a_helper_of_ones_own_may_be_written_anew() -> None:
    asked = expect(mine={"_tax": HELPER}, taken=frozenset({"_tax"}))
    written = read_code(fenced("def _tax(x):\n    return 2\n\n" + CALLS), "stop", asked)
    assert written.helpers[0].source == "def _tax(x):\n    return 2"


def test_an_agent_that_may_abstain() -> None:
    asked = expect(abstain_allowed=True)
    assert read_code("**Abstain:** the parser is not my part\nmore", "stop", asked).abstained == (
        "the parser is not my part"
    )


def test_a_signature_that_cannot_be_kept_ends_the_call() -> None:
    with pytest.raises(CallFailed, match="does not parse"):
        read_code(fenced(GOOD), "stop", replace(expect(), spec="def total(items:\n    return 1"))


def test_a_signature_for_a_newer_python_is_told_apart() -> None:
    function = FunctionId("m.py", "f")
    check_signature(function, "def f(x):\n    return (")
    with pytest.raises(Refused, match=r"m.py::f does not parse \(.*\)\. Mend it"):
        check_signature(function, "def f(a=1, b): ...")
    if sys.version_info >= (3, 12):
        check_signature(function, "def f[T](x: T): ...")
        return
    for spec in ("def f[T](x: T): ...", "@cache\nasync def f[T: int, *Ts](\n    x: T\n):\n    return x"):
        with pytest.raises(Refused, match=r"which Python 3\.11 cannot read\. Run .* 3\.12 or newer\."):
            check_signature(function, spec)
        with pytest.raises(CallFailed, match=r"3\.12 or newer"):
            read_code(fenced("def f(x): return x"), "stop", replace(expect(), function=function, spec=spec))


def test_the_code_of_a_function_under_repair_need_not_parse() -> None:
    asked = replace(expect(), spec=HEAD + '    """Add."""\n    return (')
    assert (
        read_code(fenced(GOOD), "stop", asked).source == HEAD + '    """Add."""\n    return sum(items) + rate'
    )


def test_a_to_do_comment_goes_with_the_stub() -> None:
    for comment in ("# TODO: write", "# to do", "# To-do: all of it"):
        asked = replace(expect(), spec=f"{HEAD.rstrip()}  {comment}\n    ...")
        assert read_code(fenced(GOOD), "stop", asked).source == GOOD.rstrip()
    asked = replace(expect(), spec=HEAD.rstrip() + "  # noqa: X\n    ...")
    assert "  # noqa: X\n" in read_code(fenced(GOOD), "stop", asked).source


def test_prose() -> None:
    assert read_prose("<think>x</think>\nThe sign is wrong.\n", "stop") == "The sign is wrong."
    assert len(read_prose("x" * 20_000, "length")) < 7_000
    with pytest.raises(ReplyError):
        read_prose("<think>x", "stop")


def test_tests() -> None:
    good = (
        "import pytest\nfrom billing.invoice import total\n\ndef test_total():\n    assert total([]) == 0.5"
    )
    assert read_tests(f"Here:\n{fenced(good)}", "stop", FunctionId("billing/invoice.py", "total")) == good


@pytest.mark.parametrize(
    ("qualname", "code", "added"),
    [
        ("total", "def test_it():\n    assert total(1)", "from shop.m import total\n\n\n"),
        ("Cart.add", "def test_it():\n    assert Cart().add(1)", "from shop.m import Cart\n\n\n"),
        ("total", "from m import *\n\ndef test_it():\n    assert total(1)", ""),
        ("total", "import m\n\ndef test_it():\n    assert m.total(1)", ""),
        ("total", "import shop.m as total\n\ndef test_it():\n    assert total.total(1)", ""),
        ("total", "def test_it():\n    from shop.m import total\n    assert total(1)", ""),
        (
            "total",
            "from m import total\n\ndef test_it():\n    with pytest.raises(ValueError):\n        total(1)",
            "import pytest\n\n\n",
        ),
    ],
)
def test_tests_get_the_imports_they_came_without(qualname: str, code: str, added: str) -> None:
    assert read_tests(fenced(code), "stop", FunctionId("shop/m.py", qualname), "shop.m") == added + code


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("x = 1", "no test function"),
        ("def test_it():\n    assert 1", "never use `total`"),
        ("def total():\n    return 1\n\ndef test_total():\n    assert total()", "Import it"),
        ("def test_total(:\n    pass", "parse"),
    ],
)
def test_tests_that_cannot_be(code: str, part: str) -> None:
    with pytest.raises(ReplyError, match=part):
        read_tests(fenced(code), "stop", FunctionId("m.py", "total"))


STUBS = '''
import json
from decimal import Decimal


def total(): ...


def tax(x: Decimal) -> Decimal:
    """The tax."""
    ...


class Line:
    """A line."""

    def cost(self) -> int:
        """It."""
        ...
'''


def test_stubs() -> None:
    stubs = read_stubs(fenced(STUBS), "stop", MODULE)
    assert [each.qualname for each in stubs.definitions] == ["tax", "Line"]
    assert stubs.imports == ("from decimal import Decimal",)


@pytest.mark.parametrize("wrapped", [False, True])
def test_stubs_of_a_class(wrapped: bool) -> None:
    code = 'def weigh(self, unit: str) -> float:\n    """How heavy."""\n    ...'
    code = "class Box:\n" + textwrap.indent(code, "    ") if wrapped else code
    (stub,) = read_stubs(fenced(code), "stop", MODULE, "Box").definitions
    assert (stub.qualname, stub.source.splitlines()[0]) == (
        "Box.weigh",
        "def weigh(self, unit: str) -> float:",
    )


@pytest.mark.parametrize(
    ("code", "part"),
    [
        ("def a(x: int) -> int:\n    ...", "no docstring"),
        ('def a(x) -> int:\n    """A."""\n    ...', "no type for `x`"),
        ('def a(x: int):\n    """A."""\n    ...', "its result"),
        ('def a(x: int) -> int:\n    """A."""\n    return x', "has a body"),
        ("def total(): ...", "no new stub"),
        ("nothing here", "parse"),
    ],
)
def test_stubs_that_cannot_be(code: str, part: str) -> None:
    with pytest.raises(ReplyError, match=part):
        read_stubs(fenced(code), "stop", MODULE)


@settings(deadline=None)
@given(st.text(alphabet="`~<>/think \n\tdef total(items):.=#\"'x", max_size=200))
def test_any_text_is_either_code_or_a_message(text: str) -> None:
    try:
        written = read_code(text, "stop", expect())
    except ReplyError as told:
        assert str(told)
    else:
        check_kept(expect(), written)
