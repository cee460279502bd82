"""Problems put to protocols: each a job of its own, judged by tests that its agents never saw."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from soa_agents.bench.problems import MODULE, Problem
from soa_agents.bench.results import Outcome
from soa_agents.bench.rooms import Judge, lay, room
from soa_agents.errors import ModelError, Refused
from soa_agents.jobs.ending import EXIT_MODEL
from soa_agents.jobs.laboratory import OpenLaboratory
from soa_agents.jobs.narrate import Note
from soa_agents.jobs.run import run_job
from soa_agents.models.access import Access
from soa_agents.settings import Settings
from soa_agents.swarm.job import AgentUpdate, FolderRef, JobResult, JobUpdate, StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.swarm.lock import Lock
from soa_agents.verify.aside import aside
from soa_agents.verify.interpreter import Interpreter, find
from soa_agents.verify.probe import agreed

_SECONDS = 3.0  # that one test may take, as in the harness the problems were published with
_OWN = os.path.abspath(sys.executable)  # noqa: PTH100 - resolve() would follow an environment's link


@dataclass(frozen=True, slots=True)
class Paper:
    """One problem and the protocols that are still to solve it, one after the other: a unit of work."""

    problem: Problem
    protocols: tuple[str, ...]


class Work(Protocol):
    """Who works on papers: a `Desk` on this machine, an `AwayDesk` on the nodes of a cluster."""

    def outcomes(self, paper: Paper) -> AsyncGenerator[Outcome, None]:
        """What comes of the paper's problem under each of its protocols."""
        ...

    async def close(self) -> None:
        """Return when nothing of it runs any more."""
        ...


def _nobody(_: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Exam:
    """Where problems are worked on, and with what. Workspaces lie below `folder`, ledgers where all do."""

    folder: Path
    settings: Settings
    key: str | None = None
    access: Access = field(default_factory=Access)
    ray: str = ""  # the address of a cluster whose nodes work on the papers
    say: Callable[[str], None] = _nobody  # hears how these nodes fare

    async def outcomes(self, papers: Sequence[Paper], at_once: int) -> AsyncGenerator[Outcome, None]:
        """What comes of each problem under each of its protocols, as it ends; `at_once` papers at a time, or
        as many as a cluster has processors.

        Closed early, it leaves the jobs under way to be resumed. Raises `ModelError` when nobody answers,
        and `Refused` when jobs cannot run here, for which another run below the same folder is a reason.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(self.folder / "running")
        if not lock.take():
            raise Refused(f"Another run is at work in {self.folder}. Wait until it ends, or end it.")
        try:
            async with aclosing(self._answers(papers, at_once)) as outcomes:
                async for outcome in outcomes:
                    yield outcome
        finally:
            lock.release()

    async def _answers(self, papers: Sequence[Paper], at_once: int) -> AsyncGenerator[Outcome, None]:
        desk, at_once = await self._workers(papers, at_once)
        found: asyncio.Queue[Outcome | Exception | None] = asyncio.Queue()
        waiting = iter(papers)
        workers = [asyncio.ensure_future(_work(desk, waiting, found)) for _ in range(at_once)]
        try:
            for _ in workers:  # each says once that nothing is left
                while (outcome := await found.get()) is not None:
                    if isinstance(outcome, Exception):
                        raise outcome
                    yield outcome
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            await desk.close()

    async def _workers(self, papers: Sequence[Paper], at_once: int) -> tuple[Work, int]:
        """Who works on papers, and on how many at a time."""
        if not self.ray:
            return await self.desk(papers), at_once
        from soa_agents.bench.away import AwayDesk  # only where somebody asked for a cluster

        away = await AwayDesk.open(self, papers)
        return away, away.at_once

    async def desk(self, papers: Sequence[Paper]) -> Desk:
        """A desk on this machine. SoA's own interpreter runs the tests, and its pytest has no plugins."""
        sandbox = await aside(partial(agreed, self.settings.tests.sandbox, False))
        tests = replace(
            self.settings.tests,
            interpreter=_OWN,
            sandbox=sandbox,
            args=("--disable-plugin-autoload",),
            timeout_seconds=_SECONDS,
        )
        settings = replace(self.settings, tests=tests)
        interpreter = await aside(partial(find, self.folder, _OWN, os.environ, sandbox=sandbox))
        problems = [paper.problem for paper in papers]
        larger = any(problem.larger for problem in problems)
        judged = replace(tests, timeout_seconds=self.settings.tests.timeout_seconds) if larger else tests
        judge = Judge.of(self.folder / "official", problems, replace(settings, tests=judged), interpreter)
        return Desk(replace(self, settings=settings), interpreter, judge)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where papers are written and judged, one after the other or several at once."""

    exam: Exam
    interpreter: Interpreter
    judge: Judge

    async def close(self) -> None:
        """Return when no test server is left."""
        await self.judge.close()

    async def outcomes(self, paper: Paper) -> AsyncGenerator[Outcome, None]:
        """What comes of the paper's problem under each of its protocols."""
        root = self.exam.folder / "rooms" / paper.problem.name
        async with room(root, paper.problem, self.exam.settings, self.interpreter) as laboratories:
            for protocol in paper.protocols:
                yield await self._outcome(paper.problem, protocol, laboratories)

    async def _outcome(self, problem: Problem, protocol: str, laboratories: OpenLaboratory) -> Outcome:
        """Run one job to its end, or go on with one that was cut off, and judge what came out."""
        start = self._start(problem, protocol)
        agents: set[str] = set()

        def listen(update: JobUpdate | AgentUpdate | Note) -> None:
            if isinstance(update, AgentUpdate) and (update.state == "asking" or update.usage):
                agents.add(update.agent_id)

        began = time.monotonic()
        result = await run_job(start, self.exam.key, listen, asyncio.Event(), self.exam.access, laboratories)
        seconds = time.monotonic() - began
        if result.refusal:  # no fault of an agent: it did not run, and the next would not either
            raise (ModelError if result.exit_code == EXIT_MODEL else Refused)(result.update.message)
        usage = result.update.usage
        return Outcome(
            protocol=protocol,
            problem=problem.id,
            solved=await self._passes(problem, result),
            seconds=round(seconds, 3),
            calls=usage.calls if usage else 0,
            input_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            agents=len(agents),
            characters=sum(len(e.new) for e in result.patch.edits if e.group in ("target", "helper")),
            fault="" if result.patch.edits else result.update.message,
        )

    def _start(self, problem: Problem, protocol: str) -> StartJob:
        """The job, or the one that was interrupted there; an ended one makes room.

        Each has a folder, and with it a ledger, of its own: what it knows does not depend on what ran before.
        """
        root = self.exam.folder / protocol.replace(":", "-") / problem.name
        lay(root, problem.files())
        job_id = f"{protocol}-{problem.name}"
        ledger = Ledger.of(root)
        try:
            cut_off = any(entry.id == job_id for entry in ledger.interrupted())
            if not cut_off and ledger.knows(job_id):
                ledger.clear()
        finally:
            ledger.close()
        return StartJob(
            job_id=job_id,
            kind="generate",
            folders=(FolderRef(root.name, str(root)),),
            targets=(problem.function,),
            settings=replace(self.exam.settings, protocol=protocol),
            buffers={},
            resume=cut_off,
        )

    async def _passes(self, problem: Problem, result: JobResult) -> bool:
        """Whether the official tests pass on the code as the job left it."""
        if not result.patch.edits or result.texts is None:
            return False
        return await self.judge.passes(problem, result.patch.apply(result.texts)[MODULE])


async def _work(
    desk: Work, waiting: Iterator[Paper], found: asyncio.Queue[Outcome | Exception | None]
) -> None:
    """Take papers as long as there are some; what stops that is found, too."""
    try:
        for paper in waiting:
            async with aclosing(desk.outcomes(paper)) as outcomes:
                async for outcome in outcomes:
                    found.put_nowait(outcome)
        found.put_nowait(None)
    except Exception as error:
        found.put_nowait(error)
