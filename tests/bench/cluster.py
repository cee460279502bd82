"""What a cluster costs and from where it pays: python tests/bench/cluster.py [RUNS]

Two nodes of one processor each on this machine take turns with the local runner of two workers: the work is
the same, what differs is the cluster's own cost. RUNS cold runs each of tests that work 0, 0.5 and 2 seconds.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from soa_agents.remote import on_cluster
from soa_agents.remote.cluster import quiet
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import find
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Selection, TestRunner

SECONDS = (0.0, 0.5, 2.0)
CODE = """import time


def work():
    end = time.process_time() + {}
    while time.process_time() < end:
        pass
"""
TEST = "from shop import work\n\n\ndef test_work():\n    work()\n"


async def once(runner: TestRunner, seconds: float, number: int, cold: bool = True) -> float:
    """How long one run takes."""
    began = time.perf_counter()
    text = f"{CODE.format(seconds)}\n# {number}\n"
    report = await runner.run({"shop.py": text}, Selection(("test_shop.py::test_work",), cold=cold))
    assert report.results[0].passed, report
    return time.perf_counter() - began


async def all_at_once(runner: TestRunner, seconds: float, runs: int, at_once: int = 2) -> float:
    """How long many take, two at a time."""
    places = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with places:
            await once(runner, seconds, number)

    began = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(runs)))
    return time.perf_counter() - began


async def joined(address: str, here: Ladder) -> tuple[float, TestRunner]:
    """A runner over both nodes, and how long it took to have them."""
    began = time.perf_counter()
    runner = await on_cluster(address, here, lambda _: None)
    while len(runner.pool.ready) < 2:  # noqa: ASYNC110 - nobody announces the second
        await asyncio.sleep(0.01)
    return time.perf_counter() - began, runner


def ladder(root: Path) -> Ladder:
    return Ladder(ColdRunner.open(root, find(root, sys.executable, {}), TestSettings(), Limits()))


async def measure(address: str, root: Path, runs: int) -> None:
    """Measure in turns, and print."""
    local = ladder(root)
    join, remote = await joined(address, ladder(root))
    print(f"joining, sending, getting ready: {join:.1f} s")
    for cold in (False, True):
        took = [[await once(each, 0.0, n, cold) for each in (local, remote)] for n in range(runs)][2:]
        here, there = (statistics.median(column) * 1000 for column in zip(*took, strict=True))
        kind = "cold" if cold else "warm"
        print(f"one {kind} run: here {here:.0f} ms, on a node {there:.0f} ms: {there - here:+.0f} ms")
    for seconds in SECONDS:
        took = []
        for turn in range(2):
            order: Sequence[TestRunner] = (local, remote) if turn == 0 else (remote, local)
            times = {id(each): await all_at_once(each, seconds, runs) for each in order}
            took.append((times[id(local)], times[id(remote)]))
        here, there = (statistics.mean(column) for column in zip(*took, strict=True))
        print(f"{runs} runs of {seconds:g} s: here {here:.1f} s, cluster {there:.1f} s: {there / here:.2f} ×")
    print(f"a second machine like this one pays from {2 * join:.0f} s of test runs in a job")
    await remote.close()
    await local.close()


def main(runs: int) -> None:
    """A cluster of two nodes, and the measurement."""
    quiet()
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "shop.py").write_text(CODE.format(0))
            (Path(place) / "test_shop.py").write_text(TEST)
            asyncio.run(measure(cluster.address, Path(place), runs))
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
