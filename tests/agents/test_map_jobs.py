"""Jobs and the map, with real pytest in the sandbox: they fill it, and find by it what no name tells."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from agents.playground import play
from soa_agents.jobs.laboratory import open_laboratory
from soa_agents.jobs.prepare import prepare
from soa_agents.jobs.relevant import Remembering, reaching
from soa_agents.jobs.testing import run_tests
from soa_agents.jobs.workplace import Workplace, open_workplace
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.settings import Settings
from soa_agents.swarm.job import FolderRef, JobKind, StartJob
from soa_agents.verify import report as verify_report
from soa_agents.verify.report import Overlay, Report, Selection, TestResult
from soa_agents.verify.testmap import Recalled, recall
from soa_agents.workspace.ids import FunctionId
from verify_place import own_python, runner, written

TOTAL, REGISTER = FunctionId("shop.py", "total"), FunctionId("shop.py", "register")
FILES = {
    "shop.py": """def register(function):
    return function


@register
def total(items):
    return sum(items) + 1


def unused():
    return 0
""",
    "test_named.py": "from shop import total\n\n\ndef test_named():\n    assert total([]) == 1\n",
    "test_hidden.py": """import shop


def test_hidden():
    assert getattr(shop, "to" + "tal")([1]) == 1


def test_idle():
    assert shop.unused() == 0
""",
}
HIDDEN, NAMED = "test_hidden.py::test_hidden", "test_named.py::test_named"
IDLE = "test_hidden.py::test_idle"


class Asked:
    """Passes runs on and keeps what was asked for."""

    def __init__(self, runner: verify_report.TestRunner) -> None:
        self.runner = runner
        self.selections: list[Selection] = []

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        self.selections.append(tests)
        return await self.runner.run(overlay, tests)


@pytest.fixture(scope="module", autouse=True)
def caches(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def opened(root: Path, kind: JobKind, target: str) -> Workplace:
    return open_workplace(StartJob("job", kind, (FolderRef("shop", str(root)),), (target,), Settings(), {}))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (root / name).write_text(text)
    return root


def known(root: Path, *functions: FunctionId) -> Recalled:
    place = opened(root, "runTests", "shop.py")
    return recall(place.test_map, place.snapshot.text, functions)


async def test_an_indirect_failing_test_is_found_by_what_was_seen(root: Path) -> None:
    """No name leads from the hidden test to the function; once it was seen, a job begins with it."""
    place = opened(root, "runTests", "test_hidden.py")
    assert reaching(place, [TOTAL])[TOTAL].affected == (NAMED,)
    result = await run_tests(place, (await open_laboratory(place, "shop.py")).runner)
    assert [failure.nodeid for failure in result.failures] == [HIDDEN]
    assert {seen.nodeid: seen.outcome for seen in known(root, TOTAL).tests} == {HIDDEN: "failed"}
    assert known(root, TOTAL, REGISTER).at_import == {REGISTER}

    place = opened(root, "regenerate", str(TOTAL))
    runner = Asked((await open_laboratory(place, "shop.py")).runner)
    target = (await prepare(place, runner, [TOTAL], "single")).started.targets[0]
    assert set(target.tests) == set(target.affected) == {HIDDEN, NAMED}
    assert len(runner.selections) == 1, "it fails: nothing further need be looked at before the first call"
    assert {seen.nodeid for seen in known(root, TOTAL).tests} == {HIDDEN, NAMED}


async def test_what_is_accepted_is_remembered_as_it_will_be_once_it_is_applied(tmp_path: Path) -> None:
    text, test = "def total(items):\n    ...\n", "test_shop.py::test_total"
    (tmp_path / "shop.py").write_text(text)
    (tmp_path / "test_shop.py").write_text("def test_total(): ...\n")
    reply = "```python\ndef total(items):\n    return sum(items)\n```"
    script = {"total": {"skeleton": [reply]}}
    played = await play(MotherChild(), text, {test: "total([1]) == 1"}, script, red_cold=frozenset())
    assert played.stop.verdict == "passed"
    place = opened(tmp_path, "generate", str(TOTAL))
    await Remembering(played.runner, place).accepted(played.state, played.stop)
    assert not any(seen.current for seen in known(tmp_path, TOTAL).tests), "it may not be applied"
    (tmp_path / "shop.py").write_text("def total(items):\n    return sum(items)\n")
    assert [(seen.nodeid, seen.current) for seen in known(tmp_path, TOTAL).tests] == [(test, True)]


async def test_what_is_saved_while_tests_run_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("def total(items):\n    return 1\n")
    place = opened(tmp_path, "runTests", "shop.py")

    class Saves:
        async def run(self, overlay: Overlay, tests: Selection) -> Report:
            (tmp_path / "shop.py").write_text("def total(items):\n    return 2\n")
            os.utime(tmp_path / "shop.py", (time.time() + 5,) * 2)
            return Report((TestResult("test_shop.py::test", "passed", ran=(TOTAL,)),))

    await Remembering(Saves(), place).run({}, Selection())
    assert known(tmp_path, TOTAL) == Recalled()


async def test_thousands_of_tests_can_be_asked_for(root: Path) -> None:
    """More names than an environment variable holds."""
    many = tuple(f"test_named.py::test_{n:04}_{'x' * 50}" for n in range(3000))
    report = await runner(root).run({}, Selection((NAMED, *many)))
    assert Counter(r.outcome for r in report.tests) == {"passed": 1, "missing": 3000}


async def test_the_last_run_of_a_candidate_is_not_recorded_again(root: Path) -> None:
    """Where that costs nothing it is all the same; else what its trial ran is what it runs.

    What fails and was not in the trial is run again to see whether it runs the target: it may be the proof.
    """
    asked = Asked(replace(runner(root), interpreter=replace(own_python(), version="3.11.0")))
    remembering = Remembering(asked, opened(root, "generate", str(TOTAL)))
    change = {"shop.py": FILES["shop.py"].replace(" + 1", "")}
    trial = await remembering.run(change, Selection((HIDDEN,)))
    final = await remembering.run(change, Selection((HIDDEN, IDLE), cold=True))
    assert [run.recorded for run in asked.selections] == [True, False]
    assert trial.tests[0].ran == (TOTAL,)
    assert {r.nodeid: r.ran for r in final.tests} == {HIDDEN: (TOTAL,), IDLE: ()}
    red = await remembering.run(change, Selection((HIDDEN, NAMED), cold=True))
    assert {r.nodeid: (r.passed, r.ran) for r in red.tests} == {
        HIDDEN: (True, (TOTAL,)),
        NAMED: (False, (TOTAL,)),
    }
    assert asked.selections[-1] == Selection((NAMED,), cold=True)


POISON = """import importlib.util, marshal, os, pathlib, struct


def plant():
    code = compile("def value(): return 66", "other.py", "exec")
    source = os.stat("other.py")
    header = importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, int(source.st_mtime), source.st_size)
    place = pathlib.Path(importlib.util.cache_from_source("other.py"))
    place.parent.mkdir(exist_ok=True)

    place.write_bytes(header + marshal.dumps(code))
"""
POISONED = {
    "shop.py": "def plant(): ...\n",
    "other.py": "def value(): return 1\n",
    "test_value.py": """import subprocess, sys, shop


def test_value():
    shop.plant()
    command = [sys.executable, "-c", "import other; raise SystemExit(other.value())"]
    assert subprocess.run(command).returncode == 66
""",
}


def test_byte_code_that_a_candidate_plants_is_gone_with_its_run(tmp_path: Path) -> None:
    cold = runner(written(tmp_path, POISONED))
    poisoned = asyncio.run(cold.run({"shop.py": POISON}, Selection(("test_value.py",))))
    assert [r.outcome for r in poisoned.tests] == ["passed"], "Python takes it where it lies"
    after = asyncio.run(cold.run({"shop.py": "def plant(): pass\n"}, Selection(("test_value.py",))))
    assert [r.outcome for r in after.tests] == ["failed"]
    assert sorted(place.name for place in tmp_path.iterdir()) == sorted(POISONED)
