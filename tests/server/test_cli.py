"""The command line without a model: what it teaches, how it names things, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import demo_workspace, soa
from soa_agents.errors import KeyRefused, NoModel, NoPytest, TargetChanged, UsageError
from soa_agents.models.port import Usage
from soa_agents.swarm.job import AgentState, AgentUpdate, JobUpdate, Tally, TestsChange
from soa_server.cli import board, exits, options, place, replay, words
from soa_server.cli.table import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_what_it_does(command: str, tmp_path: Path) -> None:
    done = soa(command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: soa {command}")


def test_the_help_lists_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    done = soa("--help", cwd=tmp_path)
    assert all(f"\n  {command} " in done.stdout for command in COMMANDS)
    assert "130 cancelled" in done.stdout


WRONG_USAGE = {
    "no id": (["generate"], "Name functions as PATH::NAME"),
    "id without a name": (["generate", "app.py"], "is not a function id"),
    "no such file": (["generate", "gone.py::f"], "There is no file gone.py"),
    "no such folder": (["generate", "--all-stubs", "--json", "gone"], "There is no file or folder gone"),
    "nothing to list": (["agents", "--json", "gone"], "There is no file or folder gone"),
    "outside": (["generate", "../x.py::f"], "is not inside the workspace"),
    "both ways to write": (["generate", "app.py::f", "--apply", "--branch", "b"], "exclude each other"),
    "untested alone": (["fix", "--untested"], "needs --apply or --branch"),
    "unknown protocol": (["fix", "--protocol", "magic"], "--protocol must be one of"),
    "no calls": (["fix", "--calls", "0"], "--calls must be"),
    "unknown option": (["generate", "--fast"], "No such option"),
    "unknown command": (["write"], "No such command"),
    "socket": (["serve", "--tcp", "here"], "HOST:PORT"),
    "step": (["explain", "app.py::f", "--step", "dance"], "dance"),
}


@pytest.mark.parametrize(("args", "sentence"), WRONG_USAGE.values(), ids=WRONG_USAGE)
def test_wrong_usage_is_code_2_and_a_sentence(args: list[str], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "app.py").write_text("def f(): ...\n")
    done = soa(*args, cwd=tmp_path)
    assert done.returncode == exits.Exit.USAGE
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_folder_that_was_deleted_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="current folder does not exist any more"):
        options.workspace()


ENDINGS = [
    (UsageError("x"), 2),
    (NoPytest("x"), 1),
    (TargetChanged("x"), 1),
    (NoModel("x"), 3),
    (KeyRefused("x"), 3),
    (KeyboardInterrupt(), 130),
    (ZeroDivisionError("x"), 1),
]


@pytest.mark.parametrize(("error", "code"), ENDINGS, ids=lambda v: type(v).__name__)
def test_every_error_ends_as_its_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, exits.as_sentences():
        raise error
    assert end.value.code == code
    assert capsys.readouterr().err.count("\n") == 1


def test_the_folder_is_the_nearest_marked_one(tmp_path: Path) -> None:
    outer, inner = tmp_path / "outer", tmp_path / "outer" / "packages" / "inner"
    (inner / "src").mkdir(parents=True)
    (outer / ".git").mkdir()
    assert place.workspace_folder(inner / "src") == outer
    (inner / "pyproject.toml").touch()
    assert place.workspace_folder(inner / "src") == inner


def test_ids_are_written_from_the_current_folder(tmp_path: Path) -> None:
    here = tmp_path / "billing"
    here.mkdir()
    (here / "invoice.py").touch()
    assert str(place.function_id("invoice.py::f", tmp_path, here)) == "billing/invoice.py::f"
    assert str(place.function_id("../billing/invoice.py::A.f", tmp_path, here)) == "billing/invoice.py::A.f"
    assert place.node_id("invoice.py::test_a[1::2]", tmp_path, here) == "billing/invoice.py::test_a[1::2]"


def told(agent: str, state: AgentState, step: str = "", tests: Tally | None = None) -> AgentUpdate:
    parent = "a.py::total" if agent != "a.py::total" else None
    role = "mother" if parent is None else "child"
    return AgentUpdate("j", agent, state, parent, role, agent, step, tests)


def test_the_board_shows_the_way_every_agent_came() -> None:
    total, tax, rate = "a.py::total", "a.py::_tax", "a.py::_rate"
    shown = board.Board()
    for update in (
        told(total, "asking", "skeleton"),
        told(total, "waiting"),
        told(tax, "asking", "code"),
        told(rate, "asking", "code"),
        told(tax, "testing", tests=Tally(1, 1)),
        told(tax, "asking", "modify"),
        told(tax, "done", tests=Tally(2, 0)),
    ):
        shown = board.heard(shown, update)
    assert board.lines(shown) == [
        "total      Mother   skeleton ✓",
        "├─ _tax    Child    code ✓   doctest 1/2 → modify ✓   2/2",
        "└─ _rate   Child    code …",
    ]
    assert shown.size == 3


def test_a_role_in_many_words_is_cut() -> None:
    words = "groups equal spans over the whole week, then writes runs inside each group"
    member = AgentUpdate("j", "a.py::f#1", "asking", "a.py::f", words, "a.py::f", "code", None)
    (line,) = board.lines(board.heard(board.Board(), member))
    assert line == "f   Groups equal spans over the whole …   code …"


def test_a_step_that_was_cut_off_is_not_said_to_be_done() -> None:
    total, tax, rate = "a.py::total", "a.py::_tax", "a.py::_rate"
    shown = board.Board()
    for update in (
        told(total, "asking", "skeleton"),
        told(tax, "asking", "code"),
        told(rate, "asking", "code"),
        told(rate, "done", "code"),
        told(tax, "dropped"),
        told(rate, "dropped"),
    ):
        shown = board.heard(shown, update)
    assert [line.partition("Child")[2].strip() for line in board.lines(shown)[1:]] == [
        "code ✗ → dropped",
        "code ✓ → dropped",
    ]


def test_the_board_tells_tests_that_a_child_wrote_from_her_docstring_examples() -> None:
    total, tax = "a.py::total", "a.py::_tax"
    shown = board.Board()
    for update in (
        told(total, "asking", "skeleton"),
        told(tax, "asking", "code"),
        told(tax, "done", tests=Tally(1, 1)),
        told(tax, "asking", "tests"),
        told(tax, "testing"),
        told(tax, "done", tests=Tally(0, 1)),
        told(tax, "asking", "modify"),
        told(tax, "done", tests=Tally(2, 0)),
    ):
        shown = board.heard(shown, update)
    assert board.lines(shown)[1] == (
        "└─ _tax   Child    code ✓   doctest 1/2 → tests ✓   tests 0/1 → modify ✓   doctest 2/2"
    )


SENTENCES = {
    "green": (
        JobUpdate(
            "j", "generate", "a.py::total", "done", "passed", tests=TestsChange(Tally(4, 0), Tally(0, 4))
        ),
        "total passes 4 of 4 tests (0 before).",
    ),
    "untested": (
        JobUpdate("j", "generate", "a.py::total", "done", "untested"),
        "SoA wrote total but no test exercises it.",
    ),
    "said by the engine": (
        JobUpdate(
            "j", "generate", "a.py::f", "failed", "failed", usage=Usage(6, 5000, 0, 100), message="Still red."
        ),
        "Still red. 4 agents, 6 calls, 5.1k tokens.",
    ),
}


@pytest.mark.parametrize(("update", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_an_ending_is_one_sentence(update: JobUpdate, sentence: str) -> None:
    assert words.ending(update, 4) == sentence


def test_no_model_is_code_3(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "app.py").write_text("def f() -> int: ...\n")
    (tmp_path / "test_app.py").write_text("from app import f\n\n\ndef test_f():\n    assert f() == 1\n")
    done = soa("generate", "app.py::f", cwd=tmp_path)
    assert done.returncode == exits.Exit.NO_MODEL
    assert "No model is configured" in done.stderr
    assert done.stdout == ""


def test_the_bundled_replies_name_their_origin() -> None:
    recording = replay.bundled()
    assert recording.label and recording.written
    assert all(texts for steps in recording.replies.values() for texts in steps.values())


AGENTS = {
    "stubs": (["--stubs"], ["billing/invoice.py::total_due"]),
    "a folder": (["text"], ["text/slug.py::slugify", "text/words.py::split_words"]),
    "a file": (["billing/invoice.py"], ["billing/invoice.py::total_due", "billing/invoice.py::is_overdue"]),
}


@pytest.mark.parametrize(("args", "functions"), AGENTS.values(), ids=AGENTS)
def test_agents_lists_the_functions_asked_for(args: list[str], functions: list[str], tmp_path: Path) -> None:
    folder = demo_workspace(tmp_path)
    listed = json.loads(soa("agents", "--json", *args, cwd=folder).stdout)
    assert listed["complete"] is True
    assert [agent["function"] for agent in listed["agents"]] == functions
    shown = soa("agents", *args, cwd=folder)
    assert shown.returncode == 0
    assert all(function.partition("::")[2] in shown.stdout for function in functions)


def test_agents_of_the_demo_have_their_tests(tmp_path: Path) -> None:
    listed = json.loads(soa("agents", "--json", cwd=demo_workspace(tmp_path)).stdout)["agents"]
    tests = {agent["function"]: len(agent["tests"]) for agent in listed}
    assert tests["billing/invoice.py::total_due"] == 4
    assert tests["text/slug.py::slugify"] == 6
