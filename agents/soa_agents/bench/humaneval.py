"""Problems put to protocols: each a job of its own, judged by tests that its agents never saw."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from soa_agents.bench.problems import HIDDEN, MODULE, Problem
from soa_agents.bench.results import Outcome
from soa_agents.errors import SoaError
from soa_agents.jobs.laboratory import open_laboratory
from soa_agents.jobs.narrate import Note
from soa_agents.jobs.run import run_job
from soa_agents.jobs.workplace import open_workplace
from soa_agents.models.access import Access
from soa_agents.settings import Settings
from soa_agents.swarm.job import AgentUpdate, FolderRef, JobResult, JobUpdate, StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.verify.report import Selection


@dataclass(frozen=True, slots=True)
class Exam:
    """Where problems are worked on, and with what. Workspaces and ledgers lie below `folder`."""

    folder: Path
    settings: Settings
    key: str | None = None
    access: Access = field(default_factory=Access)

    async def outcomes(
        self, todo: Iterable[tuple[Problem, str]], at_once: int
    ) -> AsyncGenerator[Outcome, None]:
        """The outcome of each problem under each protocol, as they end; `at_once` jobs run at a time."""
        waiting = list(reversed(list(todo)))
        running: set[asyncio.Task[Outcome]] = set()
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    running.add(asyncio.ensure_future(self.outcome(*waiting.pop())))
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    yield task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def outcome(self, problem: Problem, protocol: str) -> Outcome:
        """Run one job to its end, or go on with one that was cut off, and judge what came out."""
        root = self._laid_out(problem, protocol)
        start = self._start(root, problem, protocol)
        agents: dict[str, AgentUpdate] = {}

        def listen(update: JobUpdate | AgentUpdate | Note) -> None:
            if isinstance(update, AgentUpdate):
                agents[update.agent_id] = update

        began = time.monotonic()
        result = await run_job(start, self.key, listen, asyncio.Event(), self.access)
        seconds = time.monotonic() - began
        usage = result.update.usage
        return Outcome(
            protocol=protocol,
            problem=problem.id,
            solved=await self._passes(start, problem, result),
            seconds=round(seconds, 3),
            calls=usage.calls if usage else 0,
            input_tokens=usage.input_tokens if usage else 0,
            output_tokens=usage.output_tokens if usage else 0,
            agents=max(1, len(agents)),
            characters=sum(len(e.new) for e in result.patch.edits if e.group in ("target", "helper")),
            fault="" if result.patch.edits else result.update.message,
        )

    def _laid_out(self, problem: Problem, protocol: str) -> Path:
        root = self.folder / protocol / problem.name
        for path, text in problem.files().items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        return root

    def _start(self, root: Path, problem: Problem, protocol: str) -> StartJob:
        """The job, or the one that was interrupted there; an ended one makes room."""
        ledger = Ledger.of(root)
        try:
            cut_off = {entry.id for entry in ledger.interrupted()}
            if not cut_off:
                ledger.clear()
        finally:
            ledger.close()
        job_id = f"{protocol}-{problem.name}"
        return StartJob(
            job_id=job_id,
            kind="generate",
            folders=(FolderRef(root.name, str(root)),),
            targets=(problem.function,),
            settings=replace(self.settings, protocol=protocol),
            buffers={},
            resume=job_id in cut_off,
        )

    async def _passes(self, start: StartJob, problem: Problem, result: JobResult) -> bool:
        """Whether the official tests pass, in the sandbox, on the code as the job left it."""
        if not result.patch.edits or result.texts is None:
            return False
        files = result.patch.apply(result.texts)
        laboratory = await open_laboratory(open_workplace(start), MODULE)
        try:
            overlay = {MODULE: files[MODULE], HIDDEN: problem.official()}
            report = await laboratory.runner.run(overlay, Selection(tests=(HIDDEN,), cold=True))
        except SoaError:
            return False
        finally:
            await laboratory.close()
        return bool(report.tests) and all(r.passed for r in report.tests)
