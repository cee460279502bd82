"""A job as the front ends see it: what they send, what they hear. Plain values; `wire` makes JSON of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from soa_agents.models.port import Usage
from soa_agents.patch import Patch
from soa_agents.settings import ModelSettings, Settings
from soa_agents.swarm.actions import Verdict
from soa_agents.verify.screen import Flag

JobKind = Literal["generate", "regenerate", "stubs", "implementFile", "runTests", "fix"]
JobState = Literal["running", "done", "failed", "refused", "cancelled"]
AgentState = Literal["waiting", "asking", "testing", "done", "failed", "abstained", "dropped"]


@dataclass(frozen=True, slots=True)
class FolderRef:
    """A workspace folder: its unique name and its absolute path."""

    name: str
    root: str


@dataclass(frozen=True, slots=True)
class StartJob:
    """What a front end asks for.

    `targets` are FunctionIds as text (`path::<module>` or a class for stubs; node ids for `fix`; a file's
    path or nothing for `implementFile`). `buffers` are the texts of open documents, by path as in FunctionId.
    """

    job_id: str
    kind: JobKind
    folders: tuple[FolderRef, ...]
    targets: tuple[str, ...]
    settings: Settings
    buffers: dict[str, str]
    interpreter_choice: str = ""  # the editor's selected interpreter, after the setting
    sandbox_consent: bool = False
    accept_unproven: bool = False  # go on although pytest collects nothing
    resume: bool = False  # go on with the interrupted job of this id, which the ledger knows
    ray: str = ""  # the address of a Ray cluster whose nodes run the tests; "" for this machine


def resumed(start: StartJob, model: ModelSettings, buffers: dict[str, str], ray: str = "") -> StartJob:
    """The same job, to go on with on the texts of now.

    Its settings are its own but for where the model is asked, `model`: the key at hand belongs there; and
    where its tests run, `ray`: the cluster of before may be gone.
    """
    own = start.settings.model
    asked = replace(
        model, name=own.name or model.name, context_tokens=own.context_tokens, price=own.price or model.price
    )
    settings = replace(start.settings, model=asked)
    return replace(start, buffers=buffers, settings=settings, resume=True, ray=ray)


@dataclass(frozen=True, slots=True)
class Tally:
    """Counted tests."""

    passed: int
    failed: int


@dataclass(frozen=True, slots=True)
class TestsChange:
    """Tests before and after. `before` is None when only one run was asked for."""

    __test__ = False

    after: Tally
    before: Tally | None = None


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """`soa/job`."""

    job_id: str
    kind: JobKind
    target: str
    state: JobState
    verdict: Verdict | None = None
    flags: tuple[Flag, ...] = ()
    tests: TestsChange | None = None
    usage: Usage | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class AgentUpdate:
    """`soa/agent`."""

    job_id: str
    agent_id: str
    state: AgentState
    parent_id: str | None = None
    role: str = ""
    function: str = ""
    step: str = ""
    tests: Tally | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class TestDiagnostic:
    """One failing test, where a person should look: the first suspect's name, or the test's own."""

    __test__ = False

    nodeid: str
    message: str  # one line
    suspect: str = ""  # FunctionId as text, "" when there is none
    test: str = ""  # the test function's FunctionId
    path: str = ""  # file of the failing assertion
    line: int = 0  # 1-based


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended: the last update, and what a front end may apply.

    `offer` says what to do with `patch`: `apply` (proven), `preview` (shown first), `keep` (only to look at).
    `texts` are the texts the patch was made on, for comparing and rebasing. `failures` are diagnostics
    of tests that still fail, `passing` node ids that passed (to clear old diagnostics).
    """

    update: JobUpdate
    patch: Patch = field(default_factory=Patch)
    texts: dict[str, str] | None = None
    offer: Literal["apply", "preview", "keep", "none"] = "none"
    preview_reason: str = ""
    failures: tuple[TestDiagnostic, ...] = ()
    passing: tuple[str, ...] = ()
    exit_code: int = 0  # what the command line returns for this ending, before `--apply`
    refusal: str = ""  # the kind of exception behind a refusal, so that a front end can offer a way on
