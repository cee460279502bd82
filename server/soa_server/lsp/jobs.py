"""The running jobs: what each writes, who asked, how it stands. The one registry of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from soa_agents.errors import TargetBusy, UsageError
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import Folder, Snapshot

from soa_server.lsp.documents import Document, canonical
from soa_server.lsp.progress import Progress
from soa_server.settings import Resolved

if TYPE_CHECKING:
    from soa_agents.swarm.job import JobKind, StartJob


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asked for. `qualname` is empty for a whole file."""

    kind: JobKind
    uri: str
    qualname: str = ""
    version: int | None = None
    protocol: str = ""
    sandbox_consent: bool = False
    accept_unproven: bool = False
    quiet: bool = False  # begun by the server itself, so it says only what a person must know
    interrupted: StartJob | None = None  # the job to go on with, as it was started

    @property
    def name(self) -> str:
        """What messages call it: the function, or the file."""
        if self.qualname and self.qualname != FunctionId.MODULE:
            return self.qualname.rpartition(".")[2].partition("#")[0]
        return self.uri.rpartition("/")[2]


@dataclass(slots=True)
class Job:
    """One job from the command to its end.

    `document` and `snapshot` are what stood there when the command came; `claims` name what it may write.
    """

    request: Request
    document: Document | None
    snapshot: Snapshot
    progress: Progress
    target: str
    id: str = field(default_factory=lambda: uuid4().hex)
    claims: set[str] = field(default_factory=set)
    agents: set[str] = field(default_factory=set)
    resolved: Resolved = field(default_factory=Resolved)
    handed_over: bool = False  # to the engine
    settling: bool = False  # its result has come and is being applied
    cancelled: bool = False  # asked to be
    work: asyncio.Task[None] | None = None  # that hands it over
    ended: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Jobs:
    """Every job that has not ended; `said` is how the last one on a function ended, by its claim's name."""

    said: dict[str, str] = field(default_factory=dict)
    _running: dict[str, Job] = field(default_factory=dict)

    def add(self, job: Job) -> None:
        """Keep a job until `remove`."""
        self._running[job.id] = job

    def remove(self, job: Job) -> None:
        """Forget an ended job and what it claimed."""
        self._running.pop(job.id, None)
        job.claims.clear()
        job.ended.set()

    def get(self, job_id: str) -> Job | None:
        """The running job of that id."""
        return self._running.get(job_id)

    def all(self) -> tuple[Job, ...]:
        """The running jobs, oldest first."""
        return tuple(self._running.values())

    def by_token(self, token: object) -> Job | None:
        """The running job that shows its progress under a token."""
        return next((job for job in self._running.values() if job.progress.token == token), None)

    def in_document(self, uri: str) -> tuple[str, ...]:
        """Ids of the jobs that were started in a document."""
        return tuple(job.id for job in self.all() if canonical(job.request.uri) == canonical(uri))

    def written_in(self, disk: Path) -> frozenset[str]:
        """The functions of a file that running jobs may write, by qualified name."""
        claims = (claim.rpartition("::") for job in self.all() for claim in job.claims)
        return frozenset(qualname for path, _, qualname in claims if path == disk.as_posix())

    def claim(self, job: Job, names: Iterable[str]) -> None:
        """Claim functions for a job; raises `TargetBusy` when another job has one of them."""
        wanted = {claim_name(job.snapshot, name) for name in names}
        for other in self.all():
            taken = wanted & other.claims if other is not job else set()
            if taken:
                name = FunctionId.parse(min(taken)).name
                raise TargetBusy(f"{name} is being written by another job; wait until it ends or cancel it.")
        job.claims |= wanted

    def join(self, job: Job, name: str) -> None:
        """Note that a job came to write one more function, so that later jobs keep off it."""
        job.claims.add(claim_name(job.snapshot, name))


def claim_name(snapshot: Snapshot, name: str) -> str:
    """A function's name that holds across jobs whose folders differ."""
    function = FunctionId.parse(name)
    try:
        return f"{snapshot.disk(function.path).as_posix()}::{function.qualname}"
    except UsageError:
        return name


def taken_up(start: StartJob) -> Request:
    """The request that goes on with an interrupted job."""
    path, _, qualname = next(iter(start.targets), "").partition("::")
    snapshot = Snapshot(folders_of(start))
    disk = snapshot.disk(path) if path else snapshot.folders[0].root
    return Request(start.kind, disk.as_uri(), qualname, interrupted=start)


def folders_of(start: StartJob) -> tuple[Folder, ...]:
    """The folders of a job, named as they were when it was started."""
    return tuple(Folder(folder.name, Path(folder.root)) for folder in start.folders)
