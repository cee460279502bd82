"""A job told function by function, from its events. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from soa_agents.jobs.ending import measure
from soa_agents.jobs.narrate import tally
from soa_agents.models.port import Usage
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    Event,
    JobEnded,
    JobRequested,
    JobResumed,
    JobStarted,
    Replied,
    Verified,
)
from soa_agents.swarm.fold import retold
from soa_agents.swarm.job import JobUpdate, Tally
from soa_agents.swarm.state import State

Outcome = Literal["proven", "passes as it is", "untested", "not proven", "not written"]
OTHERS = ""  # the root of what belongs to no single function: planners, judges, runs of all together


@dataclass(frozen=True, slots=True)
class Span:
    """One call or test run, in seconds of the job."""

    kind: Literal["model", "tests"]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Row:
    """One function. `green_at` is when its own tests were seen to pass, in seconds of the job."""

    function: str
    outcome: Outcome
    before: Tally | None
    after: Tally | None
    agents: int
    usage: Usage
    spans: tuple[Span, ...]
    failing: tuple[tuple[str, str], ...] = ()  # node id and first line of what it says
    green_at: float | None = None

    @property
    def seconds(self) -> float:
        """From its first call or run to its last."""
        return max((s.end for s in self.spans), default=0.0) - min((s.start for s in self.spans), default=0.0)

    @property
    def done(self) -> bool:
        """Whether its tests pass now."""
        return self.outcome in ("proven", "passes as it is")


@dataclass(frozen=True, slots=True)
class Account:
    """A whole job. `others` is what belongs to no single function; `model` who answered."""

    update: JobUpdate
    protocol: str
    model: str
    started: float  # seconds since the epoch
    seconds: float
    rows: tuple[Row, ...]
    others: Row
    roles: Mapping[str, str] = field(default_factory=dict)  # by agent, those that agents chose or were given


def account(events: Iterable[Event]) -> Account | None:
    """What a job came to; None while its agents have not begun."""
    told = tuple(events)
    spans, green, state, model = defaultdict[str, list[Span]](list), dict[str, float](), None, ""
    begun, before = dict[str, float](), _preparing(told)
    for event, now in retold(told):
        state, at = now, before + now.seconds
        match event:
            case ActionStarted(key=key):
                begun[key] = at
            case Replied(key=key) | Verified(key=key) | ActionFailed(key=key):
                model = event.model if isinstance(event, Replied) else model
                action = now.keys[key].action if key in now.keys else None
                kind: Literal["model", "tests"] = "model" if isinstance(event, Replied) else "tests"
                if isinstance(event, ActionFailed) and isinstance(action, Ask):
                    kind = "model"
                root = _root(now, action.agent) if action else OTHERS
                spans[root].append(Span(kind, begun.pop(key, at), at))
        for root, best in now.best.items():
            if best.verdict == "passed":
                green.setdefault(root, at)
    asked = next((event for event in told if isinstance(event, JobRequested)), None)
    if state is None or asked is None:
        return None
    ended = next((event.update for event in reversed(told) if isinstance(event, JobEnded)), None)
    return Account(
        update=ended or JobUpdate(state.job.job_id, state.job.kind, "", "running", usage=state.spent),
        protocol=state.job.protocol,
        model=model,
        started=asked.time,
        seconds=before + state.seconds,
        rows=tuple(_row(state, t.function, spans[t.function], green) for t in state.job.targets),
        others=_others(state, [Span("tests", 0.0, before), *spans[OTHERS]]),
        roles={node.agent: node.role for node in state.nodes.values() if node.role},
    )


def _preparing(events: Sequence[Event]) -> float:
    """Seconds from the request, or from going on with it, to the first that agents could do."""
    since = 0.0
    for event in events:
        if isinstance(event, JobRequested | JobResumed):
            since = event.time
        if isinstance(event, JobStarted):
            return event.time - since if since else 0.0
    return 0.0


def _root(state: State, agent: str) -> str:
    """The function that an agent works for; nothing for planners, judges and runs of all together."""
    for target in state.job.targets:
        if agent == target.function or agent.startswith(tuple(f"{target.function}{mark}" for mark in "/>#")):
            return target.function
    return OTHERS


def _row(state: State, root: str, spans: list[Span], green: Mapping[str, float]) -> Row:
    measured = measure(state, (root,))
    proof = measured.proof_after or measured.examples
    scope = state.scope(root)
    known = {r.nodeid: r for r in state.baseline.tests}
    before = measured.proof_before or [known[name] for name in scope.target.tests if name in known]
    return Row(
        function=root,
        outcome=_outcome(state, root),
        before=tally(list(before)) if before else None,
        after=tally(proof) if proof else None,
        agents=sum(_root(state, agent) == root for agent in state.nodes),
        usage=_used(state, root),
        spans=tuple(spans),
        failing=tuple((r.nodeid, _first(r.message)) for r in proof if not r.passed),
        green_at=green.get(root),
    )


def _others(state: State, spans: list[Span]) -> Row:
    agents = sum(_root(state, agent) == OTHERS for agent in state.nodes)
    return Row(OTHERS, "proven", None, None, agents, _used(state, OTHERS), tuple(spans))


def _used(state: State, root: str) -> Usage:
    return sum((used for agent, used in state.spent_by.items() if _root(state, agent) == root), Usage())


def _outcome(state: State, root: str) -> Outcome:
    best = state.best.get(root)
    as_it_is = state.report(f"{root}:as-it-is")
    if best is None:
        good = as_it_is is not None and all(r.passed for r in as_it_is.tests)
        return "passes as it is" if good else "not written"
    if best.proven:
        return "proven"
    return "untested" if best.verdict == "untested" else "not proven"


def _first(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    marked = next((line for line in lines if line.startswith("E ")), lines[0] if lines else "no message")
    return marked.removeprefix("E ").strip()[:160]
