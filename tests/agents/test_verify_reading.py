"""What is read out of reports and candidates: flags, suspects, briefs, signatures, guarded files."""

from __future__ import annotations

import ast
import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.verify.brief import for_model, signature, tally
from soa_agents.verify.guard import changes_tests, tampered
from soa_agents.verify.records import missing
from soa_agents.verify.report import Frame, Outcome, Report, TestResult
from soa_agents.verify.screen import screen
from soa_agents.verify.suspects import suspects
from soa_agents.workspace.ids import FunctionId

# --- the screen

CHEATS = {
    "caller": ("import sys\ndef f():\n    return sys._getframe(1).f_locals['expected']\n", {(3, "frame")}),
    "renamed": ("from sys import _getframe as g\ndef f():\n    return g(1)\n", {(3, "frame")}),
    "inspect": ("import inspect as i\ndef f():\n    return i.stack()[1]\n", {(3, "frame")}),
    "traceback": ("def f(e):\n    return e.__traceback__.tb_frame\n", {(2, "frame")}),
    "exit": ("def f():\n    import os\n    os._exit(0)\n", {(3, "ends the process")}),
    "exit renamed": ("from os import _exit\ndef f():\n    _exit(0)\n", {(3, "ends the process")}),
    "pytest": ("def f():\n    import pytest\n    pytest.skip()\n", {(2, "uses pytest")}),
    "_pytest": ("def f():\n    from _pytest.runner import x\n", {(2, "reaches into pytest")}),
    "imported by name": ("def f():\n    __import__('_pytest.runner')\n", {(2, "reaches into pytest")}),
    "current test": ("import os\ndef f():\n    return os.environ['PYTEST_CURRENT_TEST']\n", {(3, "running")}),
    "equal": ("class A:\n    def __eq__(self, other):\n        return True\n", {(2, "__eq__")}),
    "unequal": ("class A:\n    def __ne__(self, o):\n        return False\n", {(2, "__ne__")}),
    "lambda": ("class A:\n    __eq__ = lambda self, other: True\n", {(2, "__eq__")}),
    "builtin": ("import builtins\ndef f():\n    builtins.sum = max\n", {(3, "builtin")}),
    "builtin by setattr": (
        "import builtins\ndef f():\n    setattr(builtins, 'sum', max)\n",
        {(3, "builtin")},
    ),
    "objects": ("import gc\ndef f():\n    return gc.get_objects()\n", {(3, "objects of other code")}),
    "memory": ("def f():\n    import ctypes\n", {(2, "ctypes")}),
    "test file": ("def f():\n    return open('tests/test_f.py').read()\n", {(2, "opens a test file")}),
    "test file by path": (
        "from pathlib import Path\ndef f():\n    return Path('a/test_f.py').read_text()\n",
        {(3, "opens a test file")},
    ),
    "test import": ("def f():\n    from tests.test_f import EXPECTED\n", {(2, "imports the tests")}),
    "loaded modules": ("import sys\ndef f():\n    return sys.modules['test_f']\n", {(3, "loaded test")}),
}


@pytest.mark.parametrize("case", CHEATS)
def test_a_known_cheat_is_flagged_at_its_line(case: str) -> None:
    source, expected = CHEATS[case]
    found = screen(source)
    for line, words in expected:
        assert any(flag.line == line and words in flag.why for flag in found), found


HONEST = [
    "def __eq__(self, other):\n    return isinstance(other, A) and self.x == other.x\n",
    "def __eq__(self, other):\n    return NotImplemented\n",
    "def __lt__(self, other):\n    raise NotImplementedError\n",
    "import inspect\ndef f(g):\n    return inspect.signature(g)\n",
    "import os\ndef f():\n    return os.environ['HOME']\n",
    "def f(name):\n    return open(name).read() + open('latest.txt').read() + open('contest.py').read()\n",
    "import sys\ndef main():\n    sys.exit(1)\n",
    "import sys\ndef loaded():\n    return 'numpy' in sys.modules\n",
    "def f(x):\n    try:\n        return x()\n    except ValueError:\n        pass\n",
]


@pytest.mark.parametrize("source", HONEST)
def test_honest_code_is_not_flagged(source: str) -> None:
    assert screen(source) == ()


def test_few_functions_of_the_standard_library_are_flagged() -> None:
    """The share of false alarms over ordinary code; what is flagged there really does these things."""
    library = Path(ast.__file__).parent
    names = (
        "argparse",
        "textwrap",
        "statistics",
        "fractions",
        "difflib",
        "csv",
        "shlex",
        "string",
        "heapq",
        "calendar",
    )
    counted = flagged = 0
    for name in names:
        text = (library / f"{name}.py").read_text("utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                counted += 1
                flagged += bool(screen(ast.get_source_segment(text, node) or ""))
    assert counted > 400
    assert flagged / counted < 0.01


def test_lines_are_counted_from_where_the_source_stands() -> None:
    assert [f.line for f in screen("    def f():\n        import ctypes\n", 41)] == [42]


@given(st.text(max_size=200))
def test_any_text_can_be_screened(text: str) -> None:
    screen(text)


# --- reports


def of(
    nodeid: str, outcome: Outcome = "passed", message: str = "", ran: str = "", frames: str = ""
) -> TestResult:
    """A result; `ran` and `frames` are names in a.py, frames with a file where it is another."""
    shown = tuple(
        Frame(*(name.split(":")[0], 1, name.split(":")[1]) if ":" in name else ("a.py", 1, name), source="x")
        for name in frames.split()
    )
    return TestResult(
        nodeid, outcome, 0.1, message, shown, ran=tuple(FunctionId("a.py", n) for n in ran.split())
    )


def test_suspects_are_frames_then_calls_then_what_failing_tests_run() -> None:
    results = [
        of("t::a", "failed", ran="f g h", frames="test_a.py:test_a g test_a.py:helper"),
        of("t::b", "failed", ran="f k"),
        of("t::c", ran="f h"),
        of("t::d", "missing", ran="never"),
        of("t::e", "skipped", ran="never"),
    ]
    calls = {"t::b": (FunctionId("a.py", "k"),)}
    assert [s.qualname for s in suspects(results, calls)] == ["g", "k", "f", "h"]
    assert suspects([of("t::c", ran="f")]) == ()


def test_a_test_is_no_suspect_wherever_it_stands() -> None:
    failing = of("a.py::T::check[1]", "failed", ran="T.check f", frames="T.check")
    assert [s.qualname for s in suspects([failing])] == ["f"]


@pytest.mark.parametrize(
    ("frames", "suspect"),
    [
        ("f.<locals>.<lambda>", "f"),
        ("f.<locals>.inner", "f.<locals>.inner"),
        ("A.m f.<locals>.<listcomp>", "f"),
    ],
)
def test_a_lambda_is_its_functions(frames: str, suspect: str) -> None:
    assert [s.qualname for s in suspects([of("t::a", "failed", frames=frames)])] == [suspect]


TARGET = FunctionId("a.py", "f")
RED = Report(
    (
        of("t.py::far", "failed", "assert 'far' == 'off'", ran="g"),
        of("t.py::one[1]", "failed", "assert 1 == 2", ran="f", frames="test_a.py:one f"),
        of("t.py::one[2]", "failed", "assert 1 == 2", ran="f", frames="test_a.py:one f"),
        of("t.py::fine"),
        of("t.py::left", "skipped"),
    )
)


def test_a_brief_tells_the_targets_failures_first_and_equal_ones_once() -> None:
    text = for_model(RED, TARGET, 4000)
    assert text.startswith("1 of 4 tests pass.")
    assert text.index("one[1]") < text.index("likewise one[2]") < text.index("t.py::far")
    assert text.count("assert 1 == 2") == 1
    assert "at a.py:1 in f: x  <- your function" in text
    assert "left" not in text


def test_a_brief_names_files_by_their_paths_in_the_workspace() -> None:
    message = (
        "/home/me/work/pkg/a.py:3: DocTestFailure\nFile '/usr/lib/b.py', /pkg/a.pyc, x/pkg/a.py, /tmp/t.py"
    )
    text = for_model(Report((of("t.py::far", "failed", message),)), FunctionId("pkg/a.py", "f"), 4000)
    assert "  pkg/a.py:3: DocTestFailure\n  File '/usr/lib/b.py', /pkg/a.pyc, x/pkg/a.py, t.py" in text


@given(st.integers(300, 3000), st.lists(st.text(max_size=500), max_size=12))
def test_a_brief_keeps_to_its_cap(cap: int, messages: list[str]) -> None:
    results = tuple(of(f"t.py::n{i}", "failed", message) for i, message in enumerate(messages))
    assert len(for_model(Report(results, "The tests were stopped."), TARGET, cap)) <= cap


def test_a_signature_knows_the_same_failure_again() -> None:
    again = tuple(replace(r, seconds=9.0, message=r.message + " at 0x7fdeadbeef01") for r in RED.results)
    other = tuple(replace(r, message=r.message + " at 0x7f00deadbeef") for r in RED.results)
    assert signature(Report(again)) == signature(Report(other))
    assert signature(RED) != signature(Report(RED.results[:1]))
    assert signature(RED) != signature(Report(RED.results, fault="died"))


def test_a_tally_counts_each_result_once() -> None:
    count = tally([*RED.results, of("t::x", "xfailed"), of("t::y", "missing"), of("t::z", "xpassed")])
    assert (count.passed, count.failed, count.skipped) == (3, 4, 1)


@pytest.mark.parametrize(
    ("asked", "absent"),
    [
        (("t.py::a", "t.py::C", "t.py", "d/", "d"), ()),
        (("t.py::b", "u.py", "t.py::a[1]"), ("t.py::b", "u.py")),
    ],
)
def test_what_was_asked_for_and_not_heard_of_is_missing(
    asked: tuple[str, ...], absent: tuple[str, ...]
) -> None:
    heard = [of("t.py::a[1]"), of("t.py::C::m"), of("d/v.py::x")]
    assert tuple(r.nodeid for r in missing(asked, heard)) == absent


# --- the guard


def test_tests_and_pytests_configuration_are_guarded() -> None:
    paths = [
        "a.py",
        "tests/test_a.py",
        "tests/helpers.py",
        "pkg/conftest.py",
        "pyproject.toml",
        "setup.cfg",
        "contest.py",
    ]
    assert changes_tests(paths) == tuple(paths[1:6])


def test_a_changed_or_vanished_file_is_told() -> None:
    seen = {name: hashlib.sha256(b"x").hexdigest() for name in ("same", "changed", "gone")}
    assert tampered(seen, {"same": b"x", "changed": b"y"}.get) == ("changed", "gone")
