"""One job's log while it runs: its ledger, opened and claimed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from soa_agents.errors import LedgerBroken, TargetBusy
from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.events import CallLost, Event, JobEnded, JobRequested, JobResumed
from soa_agents.swarm.job import JobResult
from soa_agents.swarm.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Log:
    """Where a job writes down what happens to it. Nobody else writes there until `close`."""

    ledger: Ledger
    job_id: str

    @classmethod
    def claimed(cls, place: Workplace) -> Log:
        """The log of the job; raises `TargetBusy` while somebody else runs it, `LedgerBroken`."""
        ledger = Ledger.of(root_of(place))
        try:
            if ledger.claim(place.start.job_id):
                return cls(ledger, place.start.job_id)
        except LedgerBroken:
            ledger.close()
            raise
        ledger.close()
        raise TargetBusy(f"Job {place.start.job_id} is running already; wait until it ends or cancel it.")

    def begin(self, place: Workplace) -> None:
        """Write down what was asked for; not where the model is, for an address may hold a password."""
        settings = place.start.settings
        settings = replace(settings, model=replace(settings.model, base_url=""))
        self.record(JobRequested(replace(place.start, buffers={}, settings=settings), time.time()))

    def go_on(self, lost: Iterable[CallLost]) -> JobResumed:
        """Write down that the job is resumed, and which calls the interruption has lost."""
        for call in lost:
            self.record(call)
        resumed = JobResumed(time.time())
        self.record(resumed)
        return resumed

    def record(self, event: Event) -> None:
        """Commit one event; raises `LedgerBroken` when it cannot be."""
        self.ledger.append(self.job_id, event)

    def end(self, result: JobResult) -> None:
        """Write how the job ended, and close. A ledger that broke meanwhile was told before."""
        with contextlib.suppress(LedgerBroken):
            self.record(JobEnded(result.update, result.patch, time.time()))
        self.close()

    def close(self) -> None:
        """Let go of the job; without an end it counts as interrupted."""
        self.ledger.close()


def root_of(place: Workplace) -> Path:
    """The workspace folder that a job belongs to: that of its first target, else the first."""
    folders = place.snapshot.folders
    first = next(iter(place.start.targets), "").partition("::")[0]
    found = place.snapshot.folder(first) if first else None
    return (found or folders[0]).root
