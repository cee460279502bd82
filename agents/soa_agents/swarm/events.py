"""The facts of a job, in the order they happened. A job's state is the fold of its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from soa_agents.models.port import Message, Usage
from soa_agents.patch import Patch
from soa_agents.settings import Limits
from soa_agents.swarm.actions import Action
from soa_agents.swarm.job import JobKind, JobUpdate, StartJob
from soa_agents.verify.report import Report
from soa_agents.workspace.ids import FunctionId

Goal = Literal["generate", "regenerate", "stubs"]


@dataclass(frozen=True, slots=True)
class Target:
    """A function the job is to write, and what may be said about it before anything was written.

    `tests` are the node ids run on every candidate; `affected` all that an edit may break, run once before
    it is offered. `needs` are other targets of the same job that this one calls. `advice` is the path of the
    test file that tests written by agents would go to.
    """

    function: str  # FunctionId as text
    goal: Goal
    tests: tuple[str, ...] = ()
    affected: tuple[str, ...] = ()
    has_examples: bool = False
    needs: tuple[str, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class JobRequested:
    """What a front end asked for. Open buffers are left out: who resumes the job brings those of then."""

    start: StartJob
    time: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class JobResumed:
    """Somebody goes on with the job: after it was interrupted, or after nobody answered."""

    time: float


@dataclass(frozen=True)
class JobStarted:
    """Everything a pure replay needs: texts of the files that may be written, settings, limits, seed.

    `stubs` are the workspace's stubs that a file can reach: for each file, the spelling of a call there (`f`,
    `module.f`, `self.f`) and the stub's FunctionId. A stub that an agent's code calls becomes an agent.
    `modules` are the names that those files are imported by.
    """

    job_id: str
    kind: JobKind
    protocol: str
    targets: tuple[Target, ...]
    texts: dict[str, str]
    stubs: dict[str, dict[str, str]]
    limits: Limits
    templates: dict[str, str]  # step -> sha256 of its template
    seed: int
    time: float  # seconds since the epoch
    modules: dict[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ()  # that agents took in earlier jobs, the most frequent first

    @cached_property
    def unwritten(self) -> frozenset[FunctionId]:
        """All of the `stubs`."""
        return frozenset(FunctionId.parse(stub) for reach in self.stubs.values() for stub in reach.values())


@dataclass(frozen=True, slots=True)
class BaselineMeasured:
    """The tests before anything was changed."""

    report: Report


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """The engine began an action. `messages` is the conversation as sent, empty for test runs."""

    key: str
    action: Action
    attempt: int
    revision: int  # of the agent's specification, to refuse a write against a stale one
    messages: tuple[Message, ...] = ()
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Replied:
    """The model answered; once this is committed the reply counts as paid."""

    key: str
    text: str
    finish: str
    usage: Usage
    model: str
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Verified:
    """A test run ended."""

    key: str
    report: Report
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class ActionFailed:
    """An action ended without a result; the protocol sees it and may go on."""

    key: str
    message: str
    time: float = 0.0
    usage: Usage = field(default_factory=Usage)  # of replies that did not arrive whole


@dataclass(frozen=True, slots=True)
class CallLost:
    """A call was sent and brought no whole reply; its key stays open.

    It broke off, as `message` says, or without one: nobody waits for it any more, or the job was interrupted.
    """

    key: str
    usage: Usage
    time: float = 0.0
    message: str = ""


@dataclass(frozen=True, slots=True)
class PromptRefused:
    """A prompt of about `tokens` was longer than the model's context, which has `limit` (0: nobody said)."""

    key: str
    tokens: int
    limit: int
    message: str
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class LimitReached:
    """A limit lets nobody ask any more; what several targets have come to by then is still proven."""

    reason: str  # one sentence that names the limit
    time: float


@dataclass(frozen=True, slots=True)
class JobEnded:
    """How it ended: the last `soa/job`, and the patch that was offered or kept, on `JobStarted.texts`."""

    update: JobUpdate
    patch: Patch = field(default_factory=Patch)
    time: float = 0.0


@dataclass(frozen=True, slots=True)
class Applied:
    """A front end wrote the result. `texts` are those of the files it changed, just before."""

    patch: Patch
    texts: dict[str, str]
    time: float = 0.0


Event = (
    JobRequested
    | JobResumed
    | JobStarted
    | BaselineMeasured
    | ActionStarted
    | Replied
    | Verified
    | ActionFailed
    | CallLost
    | PromptRefused
    | LimitReached
    | JobEnded
    | Applied
)
