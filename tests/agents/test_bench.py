"""The benchmark: problems become workspaces without answers, splits mean the same, runs repeat and go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_runner import soa
from soa_agents.bench import problems
from soa_agents.bench.problems import Problem, example_tests, load
from soa_agents.bench.results import Outcome, Results
from soa_agents.bench.simulated import Assumptions, SimulatedModel
from soa_agents.bench.splitting import splits
from soa_agents.errors import UsageError
from soa_agents.models.port import Message, Prompt, Step

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
    official = problem.official().partition("\n")[2]
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
        ran(wrong, HALVES.official().partition("\n")[2], "test_official()")


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


async def test_the_simulated_mother_leaves_a_part_to_a_child_who_knows_it() -> None:
    model = SimulatedModel([LARGEST], 7, Assumptions(0, 0, 0, 1.0))
    mother = (await model.ask(prompt(LARGEST.function, "skeleton"))).text
    child = (await model.ask(prompt("solution.py::_part_of_second_largest", "code"))).text
    assert "_part_of_second_largest(" in mother
    caller = mother.partition("\n\n\ndef _part_of")[0].removeprefix("```python\n")
    helper = child.removeprefix("```python\n").removesuffix("\n```")
    assert passes(f"{helper}\n\n\n{caller}")


def test_results_go_on_where_a_file_ends_and_keep_kinds_of_models_apart(tmp_path: Path) -> None:
    file = tmp_path / "kept.json"
    results = Results(file, assumption=True)
    results.add(Outcome("single", LARGEST.id, True, 1.5, calls=2, agents=1))
    results.add(Outcome("single", VOWELS.id, False, 0.5, calls=1, agents=1))
    again = Results(file, assumption=True)
    assert again.has(VOWELS, "single")
    assert not again.has(VOWELS, "mother_child")
    row = again.rows(["mother_child", "single"])[0]
    assert (row.problems, row.solved, row.calls, row.seconds) == (2, 1, 3, 2.0)
    with pytest.raises(UsageError, match="simulated"):
        Results(file, assumption=False)
    file.write_text("{}")
    with pytest.raises(UsageError, match="holds no outcomes"):
        Results(file, assumption=True)


@pytest.mark.parametrize("text", ["{}", "not json", '{"task_id": 1}'])
def test_a_file_that_holds_no_problems_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "data").write_text(text)
    with pytest.raises(UsageError, match="does not hold"):
        load(tmp_path / "data")


def test_the_command_runs_to_its_end_and_prints_no_solved_rate_of_a_simulation(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    named = ["--data", str(DATA), "--model", "simulated", "--limit", "1", "--json", "out.json"]
    named += ["--protocol", "mother_child"]
    done = soa("bench", "humaneval", *named, cwd=here, XDG_CACHE_HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    told = json.loads((here / "out.json").read_text())
    (row,) = told["rows"]
    assert told["assumption"] is True
    assert (row["protocol"], row["problems"]) == ("mother_child", 1)
    assert row["calls"] >= 1
    assert "Pass@1" not in done.stdout
    assert "simulated" in done.stderr
    again = soa("bench", "humaneval", *named, cwd=here, XDG_CACHE_HOME=str(tmp_path))
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout  # nothing was left to run
