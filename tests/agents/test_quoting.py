"""What a view quotes of a workspace and how: imports under their names here, classes once, whole tests."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_cases import Calls, ask, state
from soa_agents.swarm.actions import Verify
from soa_agents.swarm.code import Written
from soa_agents.swarm.events import Target
from soa_agents.swarm.state import Progress
from soa_agents.swarm.views.conventions import required_python
from soa_agents.swarm.views.thinning import thinned
from soa_agents.swarm.views.view import View, Viewer
from soa_agents.verify.report import Report, Selection, TestResult
from soa_agents.workspace.ids import FunctionId

WORDS = '''\
from .i18n import _gettext as _, unused
from . import legacy

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
         "twelve", "thirteen")
OTHER = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", MORE)


def number_name(value: int) -> str:
    """The word for a number, from `NAMES`."""
    ...


def other() -> str:
    return _(OTHER[0])


def caller(values: list[int]) -> list[str]:
    """Call number_name for each value."""
    first = values[0]
    FILLER

    found = [number_name(value) for value in values]

    return found
'''.replace("FILLER", "\n    ".join(f"filler_{n} = first + {n}" for n in range(60)))
WORDS = WORDS.replace("MORE", ", ".join(f'"number {n}"' for n in range(11, 50)))
I18N = '''\
def _gettext(message: str) -> str:
    """Get the translation of a message."""
    return message


def unused() -> None:
    """Nothing that matters."""
'''
PEEK = '''\
class Reader:
    """Reads.

    Call :meth:`peek` to look ahead:

        >>> Reader([1]).peek()

    Nothing else is said.
    """

    size = 3

    def __init__(self, items):
        self._items = Pages(items)
        self._at = 0

    def close(self):
        self.closed = True
        LONG

    def step(self):
        self._at += 1
        return self.peek()

    def peek(self):
        return self._item_at(self._at)

    def unrelated(self):
        """Nothing to do with it."""
        LONG


class Pages(list):
    """Leaves."""

    def turn(self, by=1):
        return self[by]


class Base:
    def _item_at(self, place):
        return self._items[place]
'''.replace("LONG", "\n        ".join(f"print('a long line of no interest {n:04}')" for n in range(60)))
TESTS = """\
import datetime
from unittest import TestCase

from reader import Reader

from .tools import opened

DAY = datetime.timedelta(days=1)
LATER = FakeDate() + DAY
UNUSED = 1


class FakeDate:
    def __add__(self, other):
        return self


class PeekMixin:
    def test_peek_twice(self):
        with opened(self.cls([LATER])) as reader:
            assert reader.peek() is reader.peek()


class ReaderTest(PeekMixin, TestCase):
    cls = Reader

    def test_peek(self):
        assert self._first(Reader([1]).peek()) == 1

    def _first(self, value):
        return value

    def test_stepping(self):
        assert Reader([1, 2]).step() == 2

    def test_peek_at_length(self):
        LONG
        assert Reader([1]).peek() == 1
""".replace("LONG", "\n        ".join(f"print('a long line of no interest {n:04}')" for n in range(60)))
TOOLS = """\
from contextlib import contextmanager


@contextmanager
def opened(reader):
    yield reader
"""
TEXTS = {
    "pkg/__init__.py": "",
    "pkg/words.py": WORDS,
    "pkg/i18n.py": I18N,
    "pkg/legacy.py": "",
    "reader.py": PEEK,
    "tests/__init__.py": "",
    "tests/test_reader.py": TESTS,
    "tests/tools.py": TOOLS,
}
NAME, PEEKING = "pkg/words.py::number_name", "reader.py::Reader.peek"
CALLS = Calls({FunctionId("pkg/words.py", "caller"): (FunctionId.parse(NAME),)})


def view_of(function: str, *tests: str, report: Report | None = None) -> View:
    ids = tuple(f"tests/test_reader.py::{name}" for name in tests)
    begun = state(Target(function, "regenerate" if function == PEEKING else "generate", ids), texts=TEXTS)
    if report is None:
        return Viewer(TEXTS, CALLS).view(begun, ask("skeleton", function))
    run = Progress(Verify("run", (), Selection()), done=True, report=report)
    begun = replace(begun, keys={"run": run})
    return Viewer(TEXTS, CALLS).view(begun, ask("modify", function, about="run"))


def result(name: str, outcome: str, *ran: str) -> TestResult:
    functions = tuple(FunctionId("reader.py", f"Reader.{each}") for each in ran)
    return TestResult(f"tests/test_reader.py::{name}", outcome, message="boom", ran=functions)  # type: ignore[arg-type]  # the cases name outcomes


ALL = ("ReaderTest::test_peek", "ReaderTest::test_peek_twice", "ReaderTest::test_peek_at_length")
RAN = Report(tuple(result(name, "passed", "peek") for name in ALL))
RED = Report((*RAN.results, result("ReaderTest::test_stepping", "failed", "step", "peek")))
QUOTED = [  # function, its report, section, what it says, what it does not say
    (NAME, None, "imported", ["# pkg.i18n", "# called `_` here; Get the translation"], ["return message"]),
    (NAME, None, "header", ['"thirteen")', 'OTHER = ("zero", "one",', "...)  # shortened"], []),
    (NAME, None, "callers", ["def caller(values", "found = [number_name(value)", "    ..."], ["filler_9 ="]),
    (PEEKING, None, "owner", ["size = 3", "in question", "def unrelated(self): ..."], ["no interest"]),
    (PEEKING, None, "owner", ["        self._at += 1\n        return self.peek()"], ["self._item_at"]),
    (PEEKING, None, "siblings", ["class Base:\n    def _item_at(self, place):\n        return"], []),
    (PEEKING, None, "owner", ["def peek(self): ...  # the function in question\n"], []),
    (PEEKING, None, "types", ["class Pages(list):", "def turn(self, by=1): ..."], []),
    (PEEKING, None, "class_says", ["Call :meth:`peek` to look ahead:\n\n    >>> R"], ["Reads", "Nothing"]),
    (PEEKING, None, "tests", ["class PeekMixin:\n    def test_peek_twice"], ["tests."]),
    (PEEKING, None, "tests", ["        ...\n", "assert Reader([1]).peek() == 1"], ["no interest 0058"]),
    (PEEKING, None, "tests_apart", ["cls = Reader", "class FakeDate:", "DAY = ", "LATER = "], ["UNUSED"]),
    (PEEKING, None, "tests_apart", ["# tests/tools.py\n@contextmanager\ndef opened", "def _first"], []),
    (PEEKING, RED, "tests", ["# 1 of 4 tests. Left out as they pass: "], ["def test_peek", "no interest"]),
    (PEEKING, RED, "tests", ["test_peek_at_length", "def test_stepping"], []),
]


@pytest.mark.parametrize(("function", "report", "section", "wanted", "unwanted"), QUOTED)
def test_what_is_quoted(
    function: str, report: Report | None, section: str, wanted: list[str], unwanted: list[str]
) -> None:
    text = getattr(view_of(function, *ALL, report=report), section)
    assert [w for w in wanted if w not in text] == []
    assert [u for u in unwanted if u in text] == []


def test_only_left_out_lines_of_a_caller_are_marked_as_left_out() -> None:
    lines = view_of(NAME).callers.split("\n")[2:]
    assert [line for line in lines if "filler" not in line] == [
        "    ...",
        "    found = [number_name(value) for value in values]",
        "    return found",
    ]


def test_a_class_is_shown_once_in_the_order_of_its_file() -> None:
    view = view_of(PEEKING, *ALL)
    names = ["def __init__", "def close", "def step", "def peek", "def unrelated"]
    places = [view.owner.index(name) for name in names]
    assert places == sorted(places)
    assert "class Reader" not in view.siblings + view.types


def test_the_specification_is_shown_beside_code_only_when_it_changed() -> None:
    begun = state(Target(NAME, "generate"), texts=TEXTS)
    node = begun.nodes[NAME]
    written = Written(node.spec.replace("...", "return NAMES[value]"))
    for spec, shown in [(node.spec, ""), (node.spec.replace("word", "name"), "The name for a number")]:
        changed = replace(begun, nodes={NAME: replace(node, spec=spec, written=written)})
        view = Viewer(TEXTS, CALLS).view(changed, ask("modify", NAME))
        assert "return NAMES[value]" in view.old
        assert shown in view.spec
        assert bool(shown) == bool(view.spec)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('requires-python = ">=3.11"', "3.11 and newer"),
        ("requires-python = '>=3.9,<4'", ">=3.9,<4"),
        ("name = 'x'", ""),
    ],
)
def test_the_python_a_project_asks_for(line: str, expected: str) -> None:
    assert required_python({"pyproject.toml": f"[project]\n{line}\n"}) == expected


ROWS = "".join(f"        ({n}, {n * n}),\n" for n in range(100))
TABLE = f"""\
@pytest.mark.parametrize(
    ("value", "expected"),
    [
{ROWS}        # a negative one,
        # which is its own square's root
        (-3, 9),
        (-4, 16),
    ],
)
def test_square(value: int, expected: int) -> None:
    assert square(value) == expected
"""


def test_a_long_table_of_rows_keeps_commented_rows_a_spread_and_the_body() -> None:
    text = thinned(TABLE, 600)
    assert len(text) <= 660
    ast.parse(text)
    rows = [line for line in text.split("\n") if re.fullmatch(r" +\(-?\d+, \d+\),", line)]
    assert f"# {len(rows)} of 102 rows:" in text
    numbers = [int(row.strip(" (),").partition(",")[0]) for row in rows]
    assert {0, -3, -4} <= set(numbers)
    assert sum(n < 50 for n in numbers[:-2]) == pytest.approx(len(numbers[:-2]) / 2, abs=1)
    assert "# a negative one,\n        # which is its own square's root\n        (-3, 9)," in text
    assert text.endswith("assert square(value) == expected\n") == TABLE.endswith("expected\n")


@given(st.integers(0, 60), st.integers(0, 40), st.integers(100, 3000))
def test_a_thinned_test_is_a_test_and_short_ones_are_as_they_were(rows: int, lines: int, limit: int) -> None:
    table = "".join(f"    ({n}, 'x'),\n" for n in range(rows))
    body = "".join(f"    y = f(x, {n})\n    assert y == {n}\n" for n in range(lines))
    code = f"@pytest.mark.parametrize('x', [\n{table}])\ndef test_f(x):\n{body}    assert x"
    text = thinned(code, limit)
    assert "def test_f(x):" in text
    assert (text == code) if len(code) <= limit else len(text) < len(code) + 30
    if rows + lines:
        ast.parse(text)


MODULE = """\
def size(value):
    ...


def total(values):
    return sum(map(size, values))


def length(value, unit="m"):
    import math

    return f"{math.floor(value)} {unit}"


def weight(heaviness):
    import math

    return math.floor(heaviness)
"""
PLAIN = "from pkg import size\n\ndef test_{}():\n    assert size({}) == 'A'\n"
SUITE = {
    "pkg/sizes.py": MODULE,
    "tests/test_a_locale.py": PLAIN.format("locale", 1),
    "tests/test_benchmarks.py": PLAIN.format("speed", 2),
    "tests/test_everything.py": PLAIN.format("here", 3),
    "tests/test_sizes.py": PLAIN.format("own", 4) + "\ndef test_total():\n    assert total([1]) == 1\n",
    "tests/test_skipping.py": PLAIN.format("skipped", 5),
}


def test_the_modules_own_tests_come_first_and_special_concerns_last() -> None:
    size, total = FunctionId("pkg/sizes.py", "size"), FunctionId("pkg/sizes.py", "total")
    ids = ["a_locale.py::test_locale", "benchmarks.py::test_speed", "everything.py::test_here"]
    ids += ["sizes.py::test_own", "skipping.py::test_skipped"]
    ran = [TestResult(f"tests/test_{each}", "failed", ran=(size,)) for each in ids]
    ran[-1] = replace(ran[-1], outcome="skipped")
    through = TestResult("tests/test_sizes.py::test_total", "failed", ran=(size, total))
    begun = state(Target(str(size), "generate", tuple(r.nodeid for r in ran)), texts=SUITE)
    begun = replace(begun, baseline=Report((*ran, through)))
    text = Viewer(SUITE, Calls()).view(begun, ask("skeleton", str(size))).tests
    assert re.findall(r"def (\w+)", text) == [
        "test_own",
        "test_here",
        "test_locale",
        "test_speed",
        "test_skipped",
    ]
    assert "# 5 of 6 tests. Left out as they reach it only through total: test_total." in text


def test_a_finished_sibling_of_like_signature_shows_how_others_are_done() -> None:
    begun = state(Target("pkg/sizes.py::size", "generate"), texts=SUITE)
    view = Viewer(SUITE, Calls()).view(begun, ask("skeleton", "pkg/sizes.py::size"))
    assert "    import math\n\n    return f" in view.siblings
    assert "def weight(heaviness): ..." in view.siblings
    assert "import what they alone need inside" in view.style


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (PEEKING, ["There it says:\n\n```text\nCall :meth:`peek`", "inside `class Reader:`"]),
        ("reader.py::Reader.close", ["shown above, is its specification.\n\nWrite it"]),
        (NAME, []),
    ],
)
def test_what_holds_for_methods_is_said_of_methods(function: str, said: list[str]) -> None:
    begun = state(Target(function, "generate"), texts=TEXTS)
    user = Viewer(TEXTS, CALLS).prompt(begun, ask("skeleton", function)).messages[1].content
    assert [each for each in said if each not in user] == []
    assert ("bare `def`" in user) == bool(said)
    assert ("no docstring of its own" in user) == bool(said)
