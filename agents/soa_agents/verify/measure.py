"""What the ladder is worth on a project: its verdicts against cold ones, its times against plain pytest.

Mutations of functions stand for candidates. Nothing of the project's folder is changed.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.mutations import mutate
from soa_agents.verify.report import Report, Selection
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file, read_text

_WITH_HELPERS = 3  # one candidate of so many brings helpers
_QUICK = 2.0  # seconds that one test may take to be measured
_ROUNDS = 3  # one worker and two take turns so often
_FEW = 8  # plain pytests a turn


@dataclass(frozen=True, slots=True)
class Subject:
    """A function and a test that was seen to run it."""

    function: FunctionId
    test: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mutation of a subject, reproducible from its number."""

    number: int
    subject: Subject
    text: str
    helpers: bool


@dataclass(slots=True)
class Equality:
    """Verdicts of the ladder against cold ones."""

    pairs: int = 0
    equal: int = 0
    tried: int = 0  # mutations the ladder was asked about, those it left to the cold run included
    rungs: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)  # why a swap was not taken
    unequal: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of one relevant test after a one-function change."""

    plain: tuple[float, ...]
    warm: tuple[float, ...]
    own: tuple[float, ...]  # of `warm` what the test itself took, as pytest counts it
    swap: tuple[float, ...]

    def summary(self) -> dict[str, float]:
        """The figures of the table."""
        around = [warm - own for warm, own in zip(self.warm, self.own, strict=True)]
        each = [plain / warm for plain, warm in zip(self.plain, self.warm, strict=True)]
        found = {
            "plain_p50": statistics.median(self.plain),
            "warm_p50": statistics.median(self.warm),
            "warm_p95": _p95(self.warm),
            "swap_p50": statistics.median(self.swap) if self.swap else 0.0,
            "around_p50": statistics.median(around),
            "around_p95": _p95(around),
            "each_faster_p5": statistics.quantiles(each, n=20)[0],
        }
        found["faster"] = found["plain_p50"] / found["warm_p50"]
        found["p95_to_p50"] = found["warm_p95"] / found["warm_p50"]
        found["around_p95_to_p50"] = found["around_p95"] / found["around_p50"]
        found["plain_p95_to_p50"] = _p95(self.plain) / found["plain_p50"]
        return {name: round(value, 2) for name, value in found.items()}


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1]


async def subjects(cold: ColdRunner, files: Sequence[str]) -> list[Subject]:
    """Functions with a quick test in `files` that passes and runs them."""
    report = await cold.run({}, Selection(tuple(files)))
    found = []
    for result in report.tests:
        if result.outcome == "passed" and result.seconds < _QUICK:
            found += [Subject(f, result.nodeid) for f in result.ran if not is_test_file(f.path)]
    return sorted(set(found), key=lambda s: (str(s.function), s.test))


def candidate(root: Path, among: Sequence[Subject], number: int) -> Candidate | None:
    """The candidate of that number: always the same; None where the function offers nothing to change."""
    chance = random.Random(number)  # noqa: S311 - reproducible, not secret
    function = chance.choice(sorted({s.function for s in among}, key=str))
    subject = chance.choice([s for s in among if s.function == function])
    text = read_text(root / function.path)
    if text is None:
        return None
    line = next((f.line for f in functions(function.path, text) if f.id == function), 0)
    helpers = number % _WITH_HELPERS == 0
    try:
        changed = mutate(text, line, chance, helpers)
        if changed is not None:
            compile(changed, function.path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return Candidate(number, subject, changed, helpers) if changed and changed != text else None


async def compare(ladder: Ladder, one: Candidate, so_far: Equality) -> None:
    """Run a candidate both ways and count it."""
    overlay = {one.subject.function.path: one.text}
    tests = Selection((one.subject.test,))
    warm = await ladder.run(overlay, tests)
    so_far.tried += 1
    so_far.rungs = dict(Counter(so_far.rungs) + Counter([warm.rung]))
    if warm.refused:
        so_far.refused = dict(Counter(so_far.refused) + Counter([_short(warm.refused)]))
    if warm.rung == "cold":
        return
    cold = await ladder.cold.run(overlay, tests)
    so_far.pairs += 1
    if _verdicts(warm) == _verdicts(cold):
        so_far.equal += 1
        return
    told = {"number": one.number, "function": str(one.subject.function), "test": one.subject.test}
    so_far.unequal.append({**told, "rung": warm.rung, "warm": _said(warm), "cold": _said(cold)})


def _short(why: str) -> str:
    return " ".join(word for word in why.split() if "_" not in word)[:80]


def _verdicts(report: Report) -> tuple[Any, ...]:
    return (report.fault, sorted((r.nodeid, r.outcome) for r in report.results))


def _said(report: Report) -> list[str]:
    return [report.problem, *(f"{r.nodeid} {r.outcome} {r.message[:200]}" for r in report.results)]


async def times(ladder: Ladder, among: Sequence[Candidate]) -> Times:
    """The same candidates in the ladder and as plain `python -m pytest`, in turns."""
    plain, warm, own, swap = list[float](), list[float](), list[float](), list[float]()
    async with _copied(ladder.cold.root) as copy:
        for one in _of_each_file(among):  # byte code is then there, as it is in a person's folder
            await _plainly(ladder.cold, copy, one)
        for one in among:
            plain.append(await _plainly(ladder.cold, copy, one))
            overlay = {one.subject.function.path: one.text}
            start = time.perf_counter()
            report = await ladder.run(overlay, Selection((one.subject.test,)))
            warm.append((time.perf_counter() - start) * 1000)
            own.append(sum(result.seconds for result in report.results) * 1000)
            if report.rung == "swap":
                swap.append(warm[-1])
    return Times(tuple(plain), tuple(warm), tuple(own), tuple(swap))


@asynccontextmanager
async def _copied(root: Path) -> AsyncIterator[Path]:
    """A copy of the project for plain pytest, which writes into it: a server would take that for a change."""
    with tempfile.TemporaryDirectory(prefix="soa-bench-") as place:
        copy = Path(place) / "project"
        await asyncio.to_thread(shutil.copytree, root, copy, symlinks=True)
        yield copy


async def _plainly(cold: ColdRunner, copy: Path, one: Candidate) -> float:
    """Milliseconds of `python -m pytest` with the candidate saved, as a person would run it."""
    file = copy / one.subject.function.path
    before = file.read_bytes()
    file.write_text(one.text, encoding="utf-8")
    start = time.perf_counter()
    await _pytest(cold, copy, one.subject.test)
    took = (time.perf_counter() - start) * 1000
    file.write_bytes(before)
    return took


async def _pytest(cold: ColdRunner, copy: Path, test: str) -> None:
    interpreter = cold.interpreter.path
    if interpreter.is_relative_to(cold.root):
        interpreter = copy / interpreter.relative_to(cold.root)
    process = await asyncio.create_subprocess_exec(
        *(str(interpreter), "-m", "pytest", "-q", test),
        cwd=copy,
        env={
            **_plain_environment(),
            "PYTHONPATH": str(copy / "src") if (copy / "src").is_dir() else str(copy),
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(process.wait(), 60)
    except TimeoutError:
        process.kill()
        await process.wait()


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PYTEST"))}


async def two_workers(ladder: Ladder, among: Sequence[Candidate]) -> tuple[float, float]:
    """How many times more two workers get done than one: candidates in the ladder, and plain pytests.

    The second is what the machine itself allows in these minutes, with whatever else runs on it.
    """

    async def warm(one: Candidate) -> None:
        await once(ladder, one)

    for one in _of_each_file(among):
        await asyncio.gather(once(ladder, one), once(ladder, one))  # both servers of each file are there
    took: dict[str, list[float]] = {"warm": [0.0, 0.0], "plain": [0.0, 0.0]}
    async with _copied(ladder.cold.root) as copy:

        async def plain(one: Candidate) -> None:
            await _pytest(ladder.cold, copy, one.subject.test)

        for _ in range(_ROUNDS):
            for workers in (0, 1):
                took["warm"][workers] += await _seconds(warm, among, workers + 1)
                took["plain"][workers] += await _seconds(plain, among[:_FEW], workers + 1)
    return round(took["warm"][0] / took["warm"][1], 2), round(took["plain"][0] / took["plain"][1], 2)


def _of_each_file(among: Sequence[Candidate]) -> list[Candidate]:
    """One candidate for each test file."""
    return list({one.subject.test.partition("::")[0]: one for one in among}.values())


async def _seconds(
    work: Callable[[Candidate], Awaitable[None]], among: Sequence[Candidate], workers: int
) -> float:
    """Seconds for one list: each worker does a whole one, from opposite ends; none waits at the end."""

    async def go(mine: Sequence[Candidate]) -> None:
        for one in mine:
            await work(one)

    start = time.perf_counter()
    await asyncio.gather(*(go(mine) for mine in (among, among[::-1])[:workers]))
    return (time.perf_counter() - start) / workers


async def once(ladder: Ladder, one: Candidate) -> bool:
    """Run a candidate in the ladder; whether its test came to an end by itself."""
    report = await ladder.run({one.subject.function.path: one.text}, Selection((one.subject.test,)))
    return report.fault == "" and all(r.outcome != "timeout" for r in report.results)


def memory_of_servers() -> float:
    """Megabytes (proportional) of what this process has started and that is still there."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        try:
            full = process.memory_full_info()
        except psutil.Error:
            continue
        total += int(getattr(full, "pss", full.rss))
    return round(total / (1 << 20), 1)


def as_json(found: Equality) -> dict[str, Any]:
    """For the result file."""
    return asdict(found)


def from_json(values: dict[str, Any]) -> Equality:
    """What `as_json` wrote, to go on with."""
    return replace(Equality(), **values)
