"""The state of a job: a fold over its events, and what protocols ask of it. Pure throughout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from soa_agents.models.port import Usage
from soa_agents.swarm.actions import Ask, Stop, Verdict, Verify
from soa_agents.swarm.assembly.assemble import Piece
from soa_agents.swarm.code import Written
from soa_agents.swarm.events import JobStarted, Target
from soa_agents.verify.report import Report
from soa_agents.workspace.ids import FunctionId


@dataclass(frozen=True, slots=True)
class Node:
    """One agent and the function it owns.

    `agent` is the root's FunctionId, and for a helper her Mother's agent plus `/name`: an identity that no
    collision of names can take. `spec` is the source to go by: the workspace's own, or the stub that the
    Mother wrote. `new` helpers do not exist in the workspace. `brief` is counted up whenever `spec` changes.
    """

    agent: str
    function: FunctionId
    spec: str
    parent: str | None = None
    depth: int = 1
    new: bool = False
    brief: int = 0
    written: Written | None = None
    before: Written | None = None  # the revision before this one: what a Child is shown of her Mother
    revision: int = 0
    children: tuple[str, ...] = ()
    role: str = ""  # the part that a member of a team chose or was given

    @property
    def is_member(self) -> bool:
        """Whether it belongs to the team of its parent's function, and has none of its own."""
        return self.parent == str(self.function)

    @property
    def serves_all(self) -> bool:
        """Whether it works for the whole job and owns nothing: a planner, a judge."""
        return self.is_member and not self.agent.startswith(str(self.function))


@dataclass(frozen=True, slots=True)
class Attempt:
    """A reply that broke its format, and what the model was told.

    With `of_helpers` the function itself was there, and only what came along with it was wrong.
    """

    reply: str
    complaint: str
    of_helpers: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known of one key: still running, or how it ended."""

    action: Ask | Verify
    done: bool = False
    failed: str = ""  # one sentence when it ended without a result
    text: str = ""  # feedback, the source of advisory tests, a decision as JSON, the role of who wrote
    report: Report | None = None
    attempts: tuple[Attempt, ...] = ()
    foreseen: int = 0  # tokens that its latest prompt was estimated at
    revision: int = 0
    stale: int = 0  # how often a write came too late for its specification
    refused: int = 0  # how often its prompt was too long for the model
    lost: int = 0  # how often it was sent and brought no whole reply

    @property
    def tries(self) -> int:
        """How often it was begun and came to nothing yet."""
        return len(self.attempts) + self.stale + self.refused + self.lost


@dataclass(frozen=True, slots=True)
class Candidate:
    """The best whole so far of one root: what was written, and how it did.

    `proven` once everything affected was run as well and nothing broke.
    """

    root: str
    pieces: tuple[Piece, ...]
    report: Report
    verdict: Verdict
    score: tuple[int, int, int]  # minus the broken tests, counted tests passing, docstring examples passing
    proven: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """Everything a protocol may look at. `root` is the target it works on when composed."""

    job: JobStarted
    baseline: Report = field(default_factory=Report)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    keys: Mapping[str, Progress] = field(default_factory=dict)
    best: Mapping[str, Candidate] = field(default_factory=dict)  # by root
    texts: Mapping[str, str] = field(default_factory=dict)  # what candidates are assembled on
    spent: Usage = field(default_factory=Usage)
    spent_by: Mapping[str, Usage] = field(default_factory=dict)  # by agent
    foreseen: int = 0  # tokens that the prompts which were answered had been estimated at
    longest: int = 0  # tokens of the longest reply
    root: str = ""
    ended: Stop | None = None
    limit: str = ""  # the limit that lets nobody ask any more, as a sentence
    room: int = 0  # tokens of the model's context, where it proved smaller than it was said to be
    seconds: float = 0.0  # how long the job has run, interruptions left out
    clock: float = 0.0  # when that was counted last, in seconds since the epoch
    ends: Mapping[str, frozenset[object]] = field(default_factory=dict)  # by target, of earlier cycles
    # By target: one object until an event may be about it, then another. Two states in which a target has the
    # same mark have the same nodes, keys and best candidate of it.
    marks: Mapping[str, object] = field(default_factory=dict, compare=False)
    beside: frozenset[str] = frozenset()  # in a scope: targets it does not need whose code is in `texts`

    def scope(self, root: str, texts: Mapping[str, str] | None = None) -> State:
        """The same state as a protocol sees it that works on `root` alone, on `texts`."""
        return replace(self, root=root, texts=self.texts if texts is None else texts)

    @property
    def target(self) -> Target:
        """The target of the root in scope."""
        return next(t for t in self.job.targets if t.function == self.root)

    def node(self, agent: str) -> Node:
        """The agent of that id; raises `KeyError` when it was never born or was dropped."""
        return self.nodes[agent]

    def family(self, agent: str) -> Iterator[Node]:
        """The agent and all below it, Mothers before their Children, in the order they were born."""
        pending = [agent]
        while pending:
            node = self.nodes[pending.pop()]
            yield node
            pending += reversed(node.children)

    def root_of(self, agent: str) -> str:
        """The target that the agent works for."""
        while (parent := self.nodes[agent].parent) is not None:
            agent = parent
        return agent

    def root_for(self, ask: Ask) -> str:
        """The target that a call is for, also where its agent joins with it."""
        return self.root_of(ask.agent if ask.agent in self.nodes else ask.target)

    def is_written(self, root: str) -> bool:
        """Whether agents have code for the target that nothing speaks against; one that passes as it is has
        none, whatever they tried before."""
        best = self.best.get(root)
        return best is not None and best.verdict != "failed"

    def owned(self, root: str) -> frozenset[str]:
        """The FunctionIds, as text, of all functions that the root's family owns."""
        return frozenset(str(node.function) for node in self.family(root))

    def finished(self, key: str) -> Progress | None:
        """How the key ended, or None while it has not."""
        progress = self.keys.get(key)
        return progress if progress is not None and progress.done else None

    def report(self, key: str) -> Report | None:
        """The report of a finished test run."""
        progress = self.finished(key)
        return progress.report if progress else None
