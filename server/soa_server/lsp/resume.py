"""Jobs that were cut off: found in the ledgers of the workspace's folders, offered, taken up or discarded.

Nothing of the workspace runs for it and the engine is not started: a ledger is one small file to read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Coroutine, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from soa_agents import wire
from soa_agents.errors import Refused, SoaError
from soa_agents.swarm.events import JobEnded, JobRequested
from soa_agents.swarm.job import JobUpdate, StartJob
from soa_agents.swarm.ledger import Ledger, holding, path_of

from soa_server.lsp import sentences
from soa_server.lsp.controller import JOB, Controller
from soa_server.lsp.jobs import taken_up

OFFERED = 3  # interrupted jobs that a person is asked about at once, the newest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CutOff:
    """An interrupted job: what it was started with, and the model call it had come to."""

    start: StartJob
    step: int


class Resuming:
    """Takes up what was interrupted, when a person wants it."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._tasks: set[asyncio.Task[None]] = set()
        controller.on_loss = self.offer

    def offer(self, only: Collection[str] = ()) -> None:
        """Ask about interrupted jobs (those of these ids, else all); nobody waits for it."""
        self._later(self._offer(only))

    def resume(self, job_id: str) -> None:
        """Go on with a job; one that runs here goes on anyway. What follows comes as `soa/job`."""
        if self._controller.jobs.get(job_id) is None:
            self._later(self._resume(job_id))

    def close(self) -> None:
        """Look for nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def _offer(self, only: Collection[str]) -> None:
        person = self._controller.person
        try:
            found = await asyncio.to_thread(interrupted, self._roots())
        except SoaError as error:
            logger.warning("%s", error)
            return
        for job in [job for job in found if not only or job.start.job_id in only][:OFFERED]:
            sentence = sentences.interrupted(taken_up(job.start).name, job.step)
            if person.client.shows_buttons:
                buttons = {"Resume": partial(self._take_up, job), "Discard": partial(self._discard, job)}
                person.offer(sentence, buttons, warning=True)
            else:
                person.tell(f"{sentence} Go on with soa resume {job.start.job_id[:12]}.", warning=True)

    async def _resume(self, job_id: str) -> None:
        try:
            start = await asyncio.to_thread(started_with, self._roots(), job_id)
        except SoaError as error:
            update = JobUpdate(job_id, "generate", "", "refused", message=str(error))
            self._controller.person.notify(JOB, wire.params(update))
            self._controller.person.tell(str(error), warning=True)
            return
        self._controller.take_up(start)

    async def _take_up(self, job: CutOff) -> None:
        self._controller.take_up(job.start)

    async def _discard(self, job: CutOff) -> None:
        try:
            update = await asyncio.to_thread(discard, self._roots(), job.start)
        except SoaError as error:
            self._controller.person.tell(str(error), warning=True)
            return
        if update is not None:
            self._controller.person.notify(JOB, wire.params(update))

    def _roots(self) -> list[Path]:
        return [folder.root for folder in self._controller.documents.folders]

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def interrupted(roots: Sequence[Path]) -> list[CutOff]:
    """The interrupted jobs of these folders, the newest first. Raises `LedgerBroken`."""
    found: list[tuple[float, CutOff]] = []
    for root in roots:
        if not path_of(root).exists():  # looking makes no ledger
            continue
        with closing(Ledger.of(root)) as ledger:
            for entry in ledger.interrupted():
                cut_off = CutOff(_asked_for(ledger, entry.id), max(entry.calls, 1))
                found.append((entry.started, cut_off))
    return [job for _, job in sorted(found, key=lambda pair: -pair[0])]


def started_with(roots: Sequence[Path], job_id: str) -> StartJob:
    """What a job was started with; raises `Refused` for one that these folders' ledgers do not know."""
    ledger = holding(roots, job_id)
    if ledger is None:
        raise Refused(f"There is no job {job_id} in this workspace's history, so there is nothing to resume.")
    with closing(ledger):
        return _asked_for(ledger, job_id)


def discard(roots: Sequence[Path], start: StartJob) -> JobUpdate | None:
    """End an interrupted job, so that nobody is asked about it again; None where it was taken up by now."""
    ledger = holding(roots, start.job_id)
    if ledger is None:
        return None
    with closing(ledger):
        if not ledger.claim(start.job_id):
            return None
        entry = ledger.find(start.job_id)
        if entry.ended:
            return None
        message = "The interrupted job was discarded; nothing was changed. Start it anew when you want it."
        update = replace(entry.last, state="cancelled", message=message)
        ledger.append(start.job_id, JobEnded(update, time=time.time()))
        return update


def _asked_for(ledger: Ledger, job_id: str) -> StartJob:
    return next(event.start for event in ledger.events(job_id) if isinstance(event, JobRequested))
