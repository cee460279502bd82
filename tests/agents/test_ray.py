"""A real cluster of two nodes on this machine: jobs over it, and what a node costs that is killed."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from soa_agents.bench.humaneval import Exam, Paper
from soa_agents.bench.problems import load
from soa_agents.bench.results import Outcome
from soa_agents.bench.simulated import Assumptions, SimulatedModel
from soa_agents.models.access import Access
from soa_agents.models.port import Prompt, Reply
from soa_agents.remote import RemoteRunner, on_cluster
from soa_agents.remote.cluster import quiet
from soa_agents.settings import Limits, Settings, TestSettings
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Report, Selection
from verify_place import own_python, written

SHOP = {
    "shop.py": "def total(items):\n    return 0\n\n\ndef wait():\n    return 0\n",
    "test_shop.py": "import time\nfrom shop import total, wait\n\n\n"
    "def test_total():\n    assert total([2, 3]) == 5\n\n\ndef test_wait():\n    time.sleep(wait())\n",
}
PROBLEMS = load(Path(__file__).parents[1] / "data/problems.jsonl")[:2]
RIGHT = {"shop.py": SHOP["shop.py"].replace("return 0", "return sum(items)", 1)}
TOTAL, WAIT = (Selection((f"test_shop.py::{name}",), cold=True) for name in ("test_total", "test_wait"))


def waits(seconds: int) -> dict[str, str]:
    return {"shop.py": SHOP["shop.py"].replace("wait():\n    return 0", f"wait():\n    return {seconds}")}


@dataclass
class Two:
    """A cluster of a head and a second node, each of one processor."""

    cluster: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_second(self) -> None:
        """At once, as a power cut would."""
        self.cluster.remove_node(self.second, allow_graceful=False)

    def add_second(self) -> None:
        self.second = self.cluster.add_node(num_cpus=1)
        self.cluster.wait_for_nodes()  # until it counts as one, and a node killed before as none


@contextmanager
def cluster() -> Iterator[Any]:
    """A head of one processor, to which nodes can be added."""
    quiet()
    from ray.cluster_utils import Cluster

    place = tempfile.mkdtemp(prefix="soa-")  # short: the names of sockets may not be long
    head = {"num_cpus": 1, "include_dashboard": False, "temp_dir": place}
    Path("/tmp/ray").mkdir(exist_ok=True)  # noqa: S108 - where Ray notes the address, whatever its `temp_dir`
    started = Cluster(initialize_head=True, head_node_args=head)
    yield started
    started.shutdown()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with cluster() as started:
        both = Two(started)
        both.add_second()
        yield both


@pytest.fixture
def here(tmp_path: Path) -> Ladder:
    root = written(tmp_path / "shop", SHOP)
    return Ladder(ColdRunner.open(root, own_python(), TestSettings(), Limits()))


@asynccontextmanager
async def opened(two: Two, here: Ladder, said: list[str] | None = None) -> AsyncIterator[RemoteRunner]:
    """Over both nodes, once both are ready."""
    runner = await on_cluster(two.address, here, (said if said is not None else []).append)
    try:
        await until(lambda: len(runner.pool.ready) == 2)
        yield runner
    finally:
        await runner.close()


async def until(holds: Any) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)


def outcomes(report: Report) -> list[str]:
    return [result.outcome for result in report.results]


def running() -> dict[int, psutil.Process]:
    """What runs below SoA's processes on the nodes, by what Ray calls these."""
    found = {}
    for process in psutil.process_iter(["cmdline"]):
        if " ".join(process.info["cmdline"] or ()).startswith("ray::shop.py::wait"):
            for child in process.children(recursive=True):
                found[child.pid] = child
    return found


def told() -> list[str]:
    """The tasks that Ray's own timeline shows, by name."""
    import ray

    return [each["cat"].removeprefix("task::") for each in ray.timeline() if "task::" in each["cat"]]


async def test_runs_go_to_both_nodes_and_ray_shows_them_under_their_functions(two: Two, here: Ladder) -> None:
    async with opened(two, here) as first, opened(two, here) as second:
        runs = first.run(RIGHT, TOTAL), first.run({}, TOTAL), second.run(RIGHT, TOTAL)
        reports = await asyncio.gather(*runs)
        assert [outcomes(each) for each in reports] == [["passed"], ["failed"], ["passed"]]
        await until(lambda: told().count("shop.py::total") == 2)
        assert told().count("Node.receive") == 2, "the files travelled once to each node"


async def test_a_cancelled_run_is_gone_from_its_node(two: Two, here: Ladder) -> None:
    async with opened(two, here) as runner:
        run = asyncio.ensure_future(runner.run(waits(60), WAIT))
        await until(running)
        there = running()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not [process for process in there.values() if process.is_running()]


class Held(Access):
    """A model that answers the first question of each job, the others when `going_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.model = SimulatedModel(PROBLEMS, 0, Assumptions(wrong_line=1.0, after_feedback=0.0))
        self.asked: list[tuple[str, str]] = []
        self.going_on = asyncio.Event()

    def open(self, *_: object) -> Held:  # type: ignore[override]
        return self

    async def ask(self, prompt: Prompt) -> Reply:
        self.asked.append((prompt.target, prompt.digest))
        if any(target == prompt.target for target, _ in self.asked[:-1]):
            await self.going_on.wait()
        return await self.model.ask(prompt)

    async def aclose(self) -> None:
        """It is shared."""


async def examined(exam: Exam) -> dict[str, Outcome]:
    async with aclosing(exam.outcomes([Paper(each, ("single",)) for each in PROBLEMS], 2)) as outcomes:
        return {each.problem: replace(each, seconds=0.0) async for each in outcomes}


async def test_a_benchmark_loses_a_node_and_buys_no_reply_twice(
    two: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    here, there = Held(), Held()
    here.going_on.set()
    expected = await examined(Exam(tmp_path / "here", Settings(), None, here))
    said: list[str] = []
    exam = Exam(tmp_path / "there", Settings(), "sk-secret", there, two.address, said.append)
    run = asyncio.ensure_future(examined(exam))
    await until(lambda: len(there.asked) == 4)
    two.kill_second()
    await until(lambda: len(said) == 2)
    there.going_on.set()
    assert await run == expected
    assert sorted(set(there.asked)) == sorted(here.asked)
    assert len(there.asked) == len(here.asked) + 1, "only what was under way is asked again"
    assert [each.partition(") ")[2] for each in said[1:]] == ["is gone; what ran there is run again"]
    two.add_second()


async def test_a_node_that_is_killed_costs_its_run_a_retry_and_nothing_else(
    two: Two, here: Ladder, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    async with opened(two, here, said) as runner:
        runs = [asyncio.ensure_future(runner.run(waits(2), WAIT)) for _ in range(2)]
        await until(lambda: sum(process.name().startswith("python") for process in running().values()) > 5)
        before = running()
        two.kill_second()
        assert [outcomes(await run) for run in runs] == [["passed"], ["passed"]]
        assert runner.retries == 1
        assert [each.partition(") ")[2] for each in said[1:]] == ["is gone; what ran there is run again"]
        await until(lambda: not [process for process in before.values() if process.is_running()])
    assert capsys.readouterr() == ("", ""), "what Ray has to say of it is no part of what a command prints"


async def test_when_the_head_dies_tests_go_on_on_this_machine(here: Ladder) -> None:
    said: list[str] = []
    with cluster() as alone:
        runner = await on_cluster(alone.address, here, said.append)
        run = asyncio.ensure_future(runner.run(waits(2), WAIT))
        await until(running)
        alone.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        assert outcomes(await run) == ["passed"]
        await runner.close()
    assert said[-1] == "no node of the cluster is left; tests run on this machine"
