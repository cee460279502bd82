"""A run that one test ended goes on: what hangs or dies in a broken workspace is a failing test."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from soa_agents.verify.onward import Onward
from soa_agents.verify.report import Overlay, Report, Selection
from verify_place import EVERYTHING, asked, outcomes, result, runner, written

STUCK = "while 1:\n        try: time.sleep(9)\n        except BaseException: pass"
FILES = {
    "shop.py": f"import os, time\n\ndef stuck():\n    {STUCK}\n\ndef dies():\n    os._exit(3)\n",
    "test_shop.py": "import shop\n"
    "def test_a(): pass\ndef test_stuck(): shop.stuck()\ndef test_b(): assert 0\n"
    "def test_dies(): shop.dies()\n",
}
TOLD = {"a": "passed", "stuck": "timeout", "b": "failed", "dies": "error"}


@dataclass
class Counting:
    """A TestRunner that counts its runs."""

    runner: object
    runs: list[Selection] = field(default_factory=list)

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        self.runs.append(tests)
        return await self.runner.run(overlay, tests)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("tests", [EVERYTHING, asked("test_shop.py", "test_shop.py::test_gone")])
async def test_each_test_is_told_and_what_ended_the_run_is_red(tmp_path: Path, tests: Selection) -> None:
    root = written(tmp_path, FILES)
    report = await Onward(runner(root, seconds=0.5), 60.0).run({}, tests)
    told = {f"test_shop.py::test_{name}": outcome for name, outcome in TOLD.items()}
    told |= {} if tests.everything else {"test_shop.py::test_gone": "missing"}
    assert (outcomes(report), report.fault, report.problem) == (told, "", "")
    hung = result(report, "test_shop.py::test_stuck")
    assert "could not be interrupted, at shop.py:" in hung.message
    assert [f.qualname for f in hung.ran] == ["stuck"]  # where it was is all that is known of it
    assert "exit status 3" in result(report, "test_shop.py::test_dies").message


async def test_a_candidate_is_run_on_only_past_what_ended_runs_without_it(tmp_path: Path) -> None:
    root = written(tmp_path, {**FILES, "mod.py": "def f(): pass\n"})
    root = written(root, {"test_z.py": "import mod\ndef test_f(): mod.f()\ndef test_z(): pass\n"})
    counting = Counting(runner(root, seconds=0.5))
    onward = Onward(counting, 60.0)
    shop = asked("test_shop.py::test_b", "test_shop.py::test_dies")
    candidate = {"mod.py": "import os\n\ndef f(): os._exit(1)\n"}
    ended = await onward.run(candidate, shop)  # nobody knows yet that this is not the candidate's doing
    assert (ended.fault, len(counting.runs)) == ("died", 1)
    await onward.run({}, shop)
    counting.runs.clear()
    on = await onward.run(candidate, replace(shop, cold=True))
    assert (on.fault, len(counting.runs)) == ("", 2)
    own = await onward.run(candidate, asked("test_z.py"))
    assert (own.fault, result(own, "test_z.py::test_f").outcome) == ("died", "error")


async def test_it_ends_when_its_time_is_over(tmp_path: Path) -> None:
    root = written(tmp_path, {"test_x.py": "import os\ndef test_x(): os._exit(0)\ndef test_z(): pass\n"})
    report = await Onward(runner(root), 0.0).run({}, EVERYTHING)
    assert report.fault == "died"
