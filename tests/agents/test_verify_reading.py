"""What is read out of reports: suspects, briefs, signatures, guarded files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from soa_agents.verify import guard
from soa_agents.verify.brief import for_model, signature, tally
from soa_agents.verify.guard import changes_tests, tampered
from soa_agents.verify.records import missing
from soa_agents.verify.report import Frame, Outcome, Report, TestResult
from soa_agents.verify.suspects import suspects
from soa_agents.workspace.ids import FunctionId

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


CONFIGURED = [  # a file, its text, what it calls test files beside pytest's own patterns
    (
        "pytest.ini",
        "[pytest]\npython_files = check_*.py *_test.py specs/*.py\n",
        ("check_*.py", "specs/*.py"),
    ),
    ("pyproject.toml", '[tool.pytest.ini_options]\npython_files = ["*_spec.py"]\n', ("*_spec.py",)),
    ("pyproject.toml", "[tool.pytest.ini_options]\npython_files = '*.py'\n", ()),
    (
        "setup.cfg",
        "[tool:pytest]\npython_files =\n    check_*.py\n    tests_*.py\n",
        ("check_*.py", "tests_*.py"),
    ),
    ("tox.ini", "[testenv]\ndeps = x\n[pytest]\npython_files = check_*\n", ("check_*",)),
    ("setup.cfg", "[metadata]\nname = x\n", ()),
    ("pytest.ini", "no configuration", ()),
]


@pytest.mark.parametrize(("name", "text", "patterns"), CONFIGURED)
def test_files_that_only_the_configuration_calls_tests_are_known(
    name: str, text: str, patterns: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    assert guard.test_patterns(tmp_path / "project") == patterns  # also from a folder below


def test_files_that_only_the_configuration_calls_tests_are_guarded() -> None:
    paths = ["a.py", "check_a.py", "pkg/check_b.py", "specs/c.py", "specs/d/c.py"]
    assert changes_tests(paths, ("check_*.py", "specs/*.py")) == tuple(paths[1:])
