"""The benchmark: problems become workspaces without answers, splits mean the same, runs repeat and go on."""

from __future__ import annotations

import json
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from cli_runner import soa
from openai_server import OpenAIServer, scripted
from soa_agents.bench import problems
from soa_agents.bench.humaneval import Exam, Paper
from soa_agents.bench.problems import Problem, example_tests, load
from soa_agents.bench.results import Outcome, Results
from soa_agents.bench.rooms import Judge
from soa_agents.bench.simulated import Assumptions, SimulatedModel
from soa_agents.bench.splitting import splits
from soa_agents.errors import UsageError
from soa_agents.models.access import Access
from soa_agents.models.port import Message, Prompt, Step
from soa_agents.settings import Settings
from soa_agents.verify.interpreter import find

DATA = Path(__file__).parents[1] / "data/problems.jsonl"
LARGEST, VOWELS, HALVES = load(DATA)


def ran(*sources: str) -> dict[str, object]:
    """The names after these sources, one after the other in one module."""
    names: dict[str, object] = {}
    for source in sources:
        exec(source, names)  # noqa: S102 - our own
    return names


@pytest.mark.parametrize("problem", [LARGEST, VOWELS, HALVES], ids=lambda p: p.entry_point)
def test_a_workspace_shows_no_answer_and_the_official_tests_tell_right_from_wrong(problem: Problem) -> None:
    shown = "".join(problem.files().values())
    assert problem.solution.strip() not in shown
    assert "check(" not in shown
    official = problem.official("solution").partition("\n")[2]
    ran(problem.solved(), official, "test_official()")
    with pytest.raises((AssertionError, TypeError)):
        ran(problem.files()[problems.MODULE], official, "test_official()")


@pytest.mark.parametrize(
    ("problem", "calls"),
    [
        (LARGEST, ["second_largest([3, 1, 2]) == 2", "second_largest([5, 5]) == 0"]),
        (VOWELS, ['vowels("Apple") == 2', "vowels('sky') == 0"]),
        (HALVES, []),
    ],
    ids=["doctest", "prose", "none"],
)
def test_examples_of_the_docstring_become_tests(problem: Problem, calls: list[str]) -> None:
    tests = example_tests(problem)
    assert [line.strip().removeprefix("assert ") for line in tests.splitlines() if "assert" in line] == calls
    ran(problem.solved(), tests.partition("\n")[2], *(f"test_example_{n + 1}()" for n in range(len(calls))))


def test_larger_tests_are_judged_by_the_canonical_solution() -> None:
    wrong = HALVES.solved().replace("number - half", "half if number < 4 else number")
    with pytest.raises(AssertionError, match=r"5"):
        ran(wrong, HALVES.official("solution").partition("\n")[2], "test_official()")


SPLIT = '''def f(numbers, least=0):
    """Something."""
    kept = [n for n in numbers if n >= least]
    total = 0
    for n in kept:
        total += n
    mean = total / len(kept) if kept else 0
    if mean > 10:
        note = "high"
    else:
        note = "low"
    def shown(value):
        return f"{note}: {value}"
    return shown(mean)
'''
WHOLE = [  # functions of which no part can be moved, and why
    "def f(n):\n    yield n\n    yield n\n    yield n",
    "def f(n):\n    if n:\n        return 1\n    n = 2\n    return n",  # the only cut jumps out
    "async def f(n):\n    a = n\n    b = a\n    return b",
    "def f(n):\n    return n",
]


def test_every_split_of_a_function_means_the_same() -> None:
    inputs = [[], [1, 2, 3], [50, 60], [-1, 30, 4]]
    wanted = [ran(SPLIT)["f"](each) for each in inputs]  # type: ignore[operator]
    found = list(splits(SPLIT, "_part"))
    assert len(found) > 8
    for split in found:
        parted = ran(split.helper, split.caller)["f"]
        assert [parted(each) for each in inputs] == wanted, split  # type: ignore[operator]
        assert split.stub.endswith("    ...")


@pytest.mark.parametrize("source", WHOLE)
def test_what_cannot_be_split_is_left_whole(source: str) -> None:
    assert all(f"return {s.helper and '_part'}" in s.caller for s in splits(source, "_part"))
    assert len(list(splits(source, "_part"))) <= 1


def prompt(target: str, step: Step, text: str = "") -> Prompt:
    return Prompt((Message("user", f"{text}\n\nTarget: {target}\nStep: {step}"),), target, step)


def passes(source: str) -> bool:
    try:
        return ran("from typing import List", source)["second_largest"]([3, 1, 2]) == 2  # type: ignore[operator]
    except Exception:
        return False


async def test_the_simulated_model_repeats_itself_and_errs_as_assumed() -> None:
    never, always = Assumptions(0, 0, 0, 1.0), Assumptions(1.0, 1.0, 0, 0)
    for assumed, right in ((never, True), (always, False)):
        verdicts = []
        for number in range(20):
            asked = prompt(LARGEST.function, "code", str(number))
            one, other = [await SimulatedModel([LARGEST], 7, assumed).ask(asked) for _ in range(2)]
            assert one == other
            body = one.text.removeprefix("```python\n").removesuffix("\n```")
            verdicts.append(passes(body))
        assert all(verdicts) if right else not all(verdicts)


@pytest.mark.parametrize("told", ["Tests that fail with the code as it stands", ""])
async def test_what_failed_makes_the_simulated_model_err_less(told: str) -> None:
    model = SimulatedModel([LARGEST], 7, Assumptions(1.0, 0.0, 0.0, 0.0))
    asked = [prompt(LARGEST.function, "code", f"{number}\n{told}") for number in range(20)]
    replies = [(await model.ask(each)).text for each in asked]
    right = [passes(text.removeprefix("```python\n").removesuffix("\n```")) for text in replies]
    assert all(right) if told else not all(right)


async def test_a_member_of_a_team_takes_a_role_or_none() -> None:
    asked = prompt(LARGEST.function, "code", "You choose what you contribute.")
    takes = (await SimulatedModel([LARGEST], 7, Assumptions(abstain=0.0, broken_format=0.0)).ask(asked)).text
    none = (await SimulatedModel([LARGEST], 7, Assumptions(abstain=1.0, broken_format=0.0)).ask(asked)).text
    assert takes.startswith("Role: ")
    assert "def second_largest" in takes
    assert none.startswith("Abstain: ")


async def test_the_simulated_mother_leaves_a_part_to_a_child_who_knows_it() -> None:
    model = SimulatedModel([LARGEST], 7, Assumptions(0, 0, 0, 1.0))
    mother = (await model.ask(prompt(LARGEST.function, "skeleton"))).text
    child = (await model.ask(prompt("solution.py::_part_of_second_largest", "code"))).text
    assert "_part_of_second_largest(" in mother
    caller = mother.partition("\n\n\ndef _part_of")[0].removeprefix("```python\n")
    helper = child.removeprefix("```python\n").removesuffix("\n```")
    assert passes(f"{helper}\n\n\n{caller}")


class Played(Access):
    """Jobs get a simulated model."""

    def __init__(self, put: tuple[Problem, ...]) -> None:
        super().__init__()
        self.model = SimulatedModel(put, 3)

    def open(self, *_: object) -> SimulatedModel:
        return self.model


async def exam(folder: Path, protocols: tuple[str, ...], most: int = 99) -> list[Outcome]:
    """What comes of the problems, as far as `most` outcomes; the rest is left as it is then."""
    put = load(DATA)[:2]
    found: list[Outcome] = []
    sat = Exam(folder, Settings(), None, Played(put)).outcomes([Paper(each, protocols) for each in put], 2)
    async with aclosing(sat) as outcomes:
        async for outcome in outcomes:
            found.append(replace(outcome, seconds=0.0))
            if len(found) == most:
                break
    return sorted(found, key=lambda each: (each.problem, each.protocol))


async def test_the_same_seed_gives_the_same_outcomes_also_when_a_run_was_cut_off(tmp_path: Path) -> None:
    names = ("mother_child", "broadcast")
    whole = await exam(tmp_path / "one", names)
    await exam(tmp_path / "other", names, most=1)
    again = await exam(tmp_path / "other", names)
    assert len(whole) == 4
    assert whole == again
    assert any(each.solved for each in whole)


async def test_the_judge_tells_right_from_wrong_in_one_server(tmp_path: Path) -> None:
    judge = Judge.of(tmp_path, load(DATA), Settings(), find(tmp_path, sys.executable, {}))
    quick = "swap" if judge.ladder.cold.level == "namespaces" else "cold"
    try:
        for problem in load(DATA):
            assert await judge.passes(problem, problem.solved())
            report = await judge.report(problem, problem.files()[problems.MODULE])
            assert [(each.passed, report.rung) for each in report.tests] == [(False, quick)]
    finally:
        await judge.close()


def test_results_go_on_where_a_file_ends_and_keep_what_differs_apart(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    played = {"model": "simulated", "assumption": True, "seed": 0}
    results = Results(file, played)
    results.add(Outcome("single", LARGEST.id, True, 1.5, calls=2, agents=1))
    results.add(Outcome("single", VOWELS.id, False, 0.5, calls=1, agents=1))
    results.add(Outcome("single", VOWELS.id, True, 0.5, calls=1, agents=1, assumed="wrong_line=0"))
    again = Results(file, played)
    assert again.has(VOWELS, "single")
    assert not again.has(VOWELS, "mother_child")
    row, other = again.rows(["mother_child", "single"])
    assert (row.problems, row.solved, row.calls, row.seconds) == (2, 1, 3, 2.0)
    assert (other.problems, other.solved, other.assumed) == (1, 1, "wrong_line=0")
    for about in ({"model": "gpt"}, {**played, "seed": 1}):
        with pytest.raises(UsageError, match="model simulated, assumption True, seed 0"):
            Results(file, about)
    file.write_text("{}")
    with pytest.raises(UsageError, match="holds no outcomes"):
        Results(file, played)


@pytest.mark.parametrize("text", ["{}", "not json", '{"task_id": 1}'])
def test_a_file_that_holds_no_problems_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "data").write_text(text)
    with pytest.raises(UsageError, match="does not hold"):
        load(tmp_path / "data")


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ([], "name it with --data FILE"),
        (["--assume", "wrong_line=1"], "Add --model simulated"),
        (["--model", "simulated", "--assume", "luck=1"], "the names are wrong_line"),
        (["--protocol", "none"], "There is no protocol 'none'"),
    ],
    ids=["no data and nobody to ask", "real", "unknown", "protocol"],
)
def test_what_the_command_cannot_do_is_a_sentence(tmp_path: Path, named: list[str], said: str) -> None:
    done = soa("bench", "humaneval", *named, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_model_that_cannot_be_asked_ends_the_run(tmp_path: Path) -> None:
    named = ["--data", str(DATA), "--limit", "1", "--protocol", "single", "--json", "out.json"]
    done = soa("bench", "humaneval", *named, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 3, done.stderr
    assert "No model is configured" in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_a_real_model_is_told_by_what_passes_the_official_tests(tmp_path: Path) -> None:
    problems = tmp_path / "problems.jsonl"
    problems.write_text("".join(DATA.read_text().splitlines(keepends=True)[:2]))
    answer = {"code": [f"```python\n{VOWELS.solved()}\n```"]}
    with OpenAIServer(scripted({VOWELS.function: answer, "*": {"code": ["Abstain: no idea."]}})) as server:
        named = ["--data", str(problems), "--protocol", "single", "--model", "m", "--json", "out.json"]
        env = {"XDG_CACHE_HOME": str(tmp_path), "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": "k"}
        done = soa("bench", "humaneval", *named, cwd=tmp_path, **env)
    assert done.returncode == 0, done.stderr
    assert "Pass@1" in done.stdout
    assert "50.0" in done.stdout
    (row,) = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert (row["problems"], row["solved"], row["calls"]) == (2, 1, len(server.requests))


def test_what_is_assumed_is_swept_and_titled_so(tmp_path: Path) -> None:
    named = ["--data", str(DATA), "--model", "simulated", "--limit", "1", "--protocol", "single"]
    named += ["--assume", "wrong_line=0,1", "--plot", "swept.svg"]
    done = soa("bench", "humaneval", *named, cwd=tmp_path, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "assumption, not result" in done.stdout
    assert "Pass@1" not in done.stdout
    assert "Assumption, not result" in (tmp_path / "swept.svg").read_text()


def test_the_command_runs_to_its_end_and_prints_no_solved_rate_of_a_simulation(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    named = ["--data", str(DATA), "--model", "simulated", "--limit", "1", "--json", "out.json"]
    named += ["--protocol", "mother_child", "--plot", "out.svg"]
    done = soa("bench", "humaneval", *named, cwd=here, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads((here / "out.json").read_text())
    (row,) = told["rows"]
    assert told["assumption"] is True
    assert (row["protocol"], row["problems"]) == ("mother_child", 1)
    assert row["calls"] >= 1
    assert "Pass@1" not in done.stdout
    assert "solved" not in done.stdout
    assert "simulated" in done.stderr
    assert "simulated" in (here / "out.svg").read_text()
    again = soa("bench", "humaneval", *named, cwd=here, XDG_CACHE_HOME=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout  # nothing was left to run
