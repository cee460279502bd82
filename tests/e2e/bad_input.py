"""Small workspaces that something is wrong with, and models that misbehave, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openai_server import Answer

ADD = '''\
def add(a, b):
    """Return the sum of `a` and `b`."""
    '''
REST = '''

def double(a):
    """Return twice `a`."""
    return a * 2
'''
CALC = f'"""Sums."""\n\n\n{ADD}...\n{REST}'
SOLVED = f'"""Sums."""\n\n\n{ADD}return a + b\n{REST}'
TEST_ADD = "from calc import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n"
FILES: Mapping[str, str | bytes] = {"calc.py": CALC, "tests/test_calc.py": TEST_ADD}


def python(source: str) -> str:
    """A reply that holds this code."""
    return f"```python\n{source}\n```"


UNFINISHED = "```python\ndef add(a, b):\n    return (a +"
RIGHT = python(f"{ADD}return a + b")


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """A model that never answers well, and what the person is told (all of `words`, in any case)."""

    name: str
    reply: Answer | str
    words: tuple[str, ...]
    exit: int = 1


MISBEHAVIOURS = (
    Misbehaviour("prose", "I am afraid that I cannot see your file.", ("add", "no code")),
    Misbehaviour(
        "unfinished block", Answer("```python\ndef add(a, b):\n    return (a +", finish="length"), ("add",)
    ),
    Misbehaviour("unclosed block", "```python\ndef add(a, b):\n    return (a +", ("add",)),
    Misbehaviour("another function", python("def subtract(a, b):\n    return a - b"), ("add",)),
    Misbehaviour("syntax error", python("def add(a, b):\n    return a +"), ("add",)),
    Misbehaviour("another signature", python("def add(a, b, c):\n    return a + b + c"), ("add",)),
    Misbehaviour("HTML in the reply", "<html><body><h1>Sign in</h1></body></html>", ("add",)),
    Misbehaviour("nothing", "", ("add",)),
    Misbehaviour("still a stub", python("def add(a, b):\n    ..."), ("add",)),
    Misbehaviour(
        "HTML instead of the protocol",
        Answer(body="<html><h1>Sign in</h1></html>", content_type="text/html"),
        ("http://127.0.0.1",),
        exit=3,
    ),
    Misbehaviour("key refused", Answer(status=401, error="bad key"), ("key", "401"), exit=3),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A workspace, and how a generation of `calc.py::add` by a good model ends in it."""

    name: str
    files: Mapping[str, str | bytes]
    state: str
    verdict: str | None = None
    words: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    replies: Mapping[str, list[str]] = field(default_factory=dict)


TEST_DOUBLE = "from calc import double\n\n\ndef test_double():\n    assert double(4) == 9\n"
HANGS_BEFORE = "import time\n" + TEST_ADD.replace("    assert", "    time.sleep(60)\n    assert")
FOREVER = python(f"{ADD}while a:\n        pass\n    return b")

SHAPES = (
    Shape("as it should be", FILES, "done", "passed", ("add", "1 of 1")),
    Shape("no tests", {"calc.py": CALC}, "done", "untested", ("add", "no test")),
    Shape(
        "tests that hold no test",
        {"calc.py": CALC, "tests/test_calc.py": "from calc import add\n"},
        "refused",
        words=("collects no tests",),
    ),
    Shape(
        "tests that cannot be imported",
        {"calc.py": CALC, "tests/test_calc.py": "import nowhere_to_be_found\n" + TEST_ADD},
        "refused",
        words=("nowhere_to_be_found",),
    ),
    Shape("an interpreter without pytest", FILES, "refused", words=("pytest is not installed",)),
    Shape(
        "an interpreter that is not there",
        FILES,
        "refused",
        words=("soa.tests.interpreter",),
        settings={"tests": {"interpreter": "/nowhere/python"}},
    ),
    Shape(
        "another test fails before",
        {
            **FILES,
            "tests/test_double.py": TEST_DOUBLE,
        },
        "done",
        "passed",
        ("add", "1 of 1"),
    ),
    Shape(
        "a test of the function fails whatever it does",
        {**FILES, "tests/test_calc.py": TEST_ADD + "\n\ndef test_sum():\n    assert add(1, 1) == 3\n"},
        "failed",
        "failed",
        ("add", "1 of 2", "test_sum"),
    ),
    Shape(
        "a test hangs before anything was changed",
        {**FILES, "tests/test_calc.py": HANGS_BEFORE},
        "refused",
        words=("test_add", "soa.tests.timeoutSeconds"),
        settings={"tests": {"timeoutSeconds": 1}},
    ),
    Shape(
        "the written code hangs",
        FILES,
        "failed",
        "failed",
        ("add", "0 of 1"),
        settings={"tests": {"timeoutSeconds": 1}},
        replies={"skeleton": [FOREVER], "modify": [FOREVER]},
    ),
    Shape(
        "wrong arguments for pytest",
        FILES,
        "refused",
        words=("--no-such-option",),
        settings={"tests": {"args": ["--no-such-option"]}},
    ),
    Shape(
        "files that are no Python text",
        {
            **FILES,
            "junk.py": bytes(range(256)),
            "latin.py": b"# coding: utf-8\nx = '" + b"\xe9'\n",
            "unknown.py": b"# coding: klingon\n",
            "null.py": b"x = 1\x00\n",
            "broken.py": b"def broken(:\n",
            "tests/data/bad.py": b"\xff\xfe\x00",
        },
        "done",
        "passed",
        ("add", "1 of 1"),
    ),
)


@dataclass(frozen=True, slots=True)
class Typing:
    """What a person does to the file while its job runs: the text it has then, and how the job ends."""

    name: str
    text: str
    state: str
    final: str  # the buffer in the end


OTHER = SOLVED.replace("return a + b", "return b + a")
MEANWHILE = (
    Typing("renamed", CALC.replace("def add", "def plus"), "refused", CALC.replace("def add", "def plus")),
    Typing("written by hand", OTHER, "refused", OTHER),
    Typing("deleted", f'"""Sums."""\n{REST}', "refused", f'"""Sums."""\n{REST}'),
    Typing("emptied", "", "refused", ""),
    Typing("moved down", "import math\n" + CALC, "done", "import math\n" + SOLVED),
    Typing("typed below", CALC + "\nx = 'é𝄞'\n", "done", SOLVED + "\nx = 'é𝄞'\n"),
)
