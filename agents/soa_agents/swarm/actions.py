"""What a protocol can want, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from soa_agents.models.port import Step
from soa_agents.verify.report import Selection
from soa_agents.workspace.ids import FunctionId

Verdict = Literal["passed", "untested", "failed"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A model call: `agent` takes `step` for the function `target` (a FunctionId as text).

    `about` is the key of the test run it answers to, `observation` the key of the feedback it goes by: the
    agent's own, or for a Child her Mother's. `note` is what the protocol tells the agent besides. An agent
    that is none of the job's yet joins with its first call, as a member of the target's team, in the `role`
    that the protocol gives it, if any.
    """

    key: str
    agent: str
    step: Step
    target: str
    about: str = ""
    observation: str = ""
    note: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Verify:
    """A test run on a candidate: the whole texts of the files it changes or adds.

    `renamed` are the agents whose function has another name there than its own, which another one has;
    `roots` the targets whose candidates it holds together, where it is no single one's.
    """

    key: str
    candidate: tuple[tuple[str, str], ...]
    selection: Selection
    purpose: Literal["candidate", "agent", "advice", "final", "again"] = "candidate"
    agent: str = ""  # whose tests these are, where they are one agent's
    author: str = ""  # the member of the agent's team whose version is tried, where it is not her own
    renamed: tuple[tuple[str, FunctionId], ...] = ()
    roots: tuple[str, ...] = ()


Action = Ask | Verify


@dataclass(frozen=True, slots=True)
class Stop:
    """The work is done. `accepted` are the roots whose best candidate is to be offered."""

    verdict: Verdict
    reason: str = ""  # one sentence where the verdict alone does not say it
    accepted: tuple[str, ...] = ()
