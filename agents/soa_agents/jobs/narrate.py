"""What a person hears while a job runs: one update an agent, one line of progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from soa_agents.models.port import Usage
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Ask, Verify
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    CallLost,
    Event,
    Replied,
    Verified,
)
from soa_agents.swarm.fold import retold
from soa_agents.swarm.job import AgentState, AgentUpdate, JobKind, JobUpdate, Tally
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import TestResult


@dataclass(frozen=True, slots=True)
class Note:
    """One line of progress. `fraction` is between 0 and 1, or None where nobody can tell."""

    job_id: str
    message: str
    fraction: float | None = None


Listener = Callable[[JobUpdate | AgentUpdate | Note], None]


@dataclass
class Narrator:
    """Turns events into updates; keeps each agent's usage and what was said of it last."""

    listen: Listener
    job_id: str
    kind: JobKind
    target: str
    usage: dict[str, Usage] = field(default_factory=dict)
    said: dict[str, AgentUpdate] = field(default_factory=dict)
    children: dict[str, tuple[str, ...]] = field(default_factory=dict)  # of each agent, when last looked at

    def running(self, usage: Usage | None = None) -> None:
        """Tell that the job runs, and what it has used."""
        self.listen(JobUpdate(self.job_id, self.kind, self.target, "running", usage=usage))

    def note(self, message: str, fraction: float | None = None) -> None:
        """Tell one line of progress."""
        self.listen(Note(self.job_id, message, fraction))

    def waiting(self, state: State) -> None:
        """Tell of every function of a job that has several, before anybody is asked."""
        for root in state.job.targets if len(state.job.targets) > 1 else ():
            if root.function not in self.said:
                self._agent(state, root.function, "waiting")

    def retell(self, events: Iterable[Event]) -> None:
        """Tell how the agents stand after these events of the past, each once, and what was used by then."""
        listen, told = self.listen, dict[str, AgentUpdate]()

        def keep(update: JobUpdate | AgentUpdate | Note) -> None:
            if isinstance(update, AgentUpdate):
                told[update.agent_id] = update

        self.listen = keep
        try:
            for event, state in retold(events):
                self.heard(state, event)
        finally:
            self.listen = listen
        for update in told.values():
            self.listen(update)
        if self.usage:
            self.running(sum(self.usage.values(), Usage()))

    def heard(self, state: State, event: Event) -> None:
        """Tell what an event means; `state` is what it led to."""
        match event:
            case ActionStarted(action=Ask() as ask):
                self._agent(state, ask.agent, "asking", ask.step)
                self.note(_asking(state, ask))
            case ActionStarted(action=Verify() as verify):
                if verify.agent in state.nodes:
                    self._agent(state, verify.agent, "testing")
                if verify.purpose == "final":
                    self.note("running everything the change can affect")
            case Replied():
                self._replied(state, event)
            case Verified():
                self._verified(state, event)
            case ActionFailed(key=key):
                self._bill(state, event)
                self._agent(state, _agent_of(state, key), "failed")
            case CallLost():
                self._bill(state, event)
                node = state.nodes[_agent_of(state, event.key)]
                gone: AgentState = (
                    "dropped" if event.time else "waiting"
                )  # an interruption has no time of its own
                now: AgentState = "asking" if event.message else "done" if node.written else gone
                self._agent(state, node.agent, now)
                self.running(state.spent)
            case _:
                pass

    def _bill(self, state: State, event: Replied | CallLost | ActionFailed) -> None:
        agent = state.keys[event.key].action.agent
        if event.usage.calls:
            self.usage[agent] = self.usage.get(agent, Usage()) + event.usage

    def _replied(self, state: State, event: Replied) -> None:
        ask = state.keys[event.key].action
        assert isinstance(ask, Ask)  # noqa: S101 - only asks are replied to
        self._bill(state, event)
        progress = state.keys[event.key]
        abstained = progress.failed and " abstained: " in progress.failed
        ended: AgentState = "abstained" if abstained else "failed" if progress.failed else "done"
        self._agent(state, ask.agent, ended if progress.done else "asking", ask.step)
        self._family(state, ask.agent)
        self.running(state.spent)
        self.note(_asking(state, ask))

    def _family(self, state: State, agent: str) -> None:
        """Children that came or went with a reply, which changes its author's and those of targets."""
        now = {each: state.nodes[each].children for each in (agent, *_roots(state))}
        if all(self.children.get(each, ()) == children for each, children in now.items()):
            return
        self.children |= now
        alive = {node.agent for root in state.job.targets for node in state.family(root.function)}
        alive |= {node.agent for node in state.nodes.values() if node.is_member}
        for child in state.nodes[agent].children:
            if child not in self.said:
                self._agent(state, child, "waiting")
        for gone in [a for a, last in self.said.items() if a not in alive and last.state != "dropped"]:
            self._agent(state, gone, "dropped")

    def _verified(self, state: State, event: Verified) -> None:
        verify = state.keys[event.key].action
        assert isinstance(verify, Verify)  # noqa: S101 - only test runs are verified
        if verify.agent not in state.nodes:
            return
        scope = state.scope(verify.agent) if verify.agent in _roots(state) else None
        again = verify.purpose == "again"
        report = (state.report(judge.run_of(event.key)) if again else None) or event.report
        proof = judge.counted(scope, report) if scope else report.results
        tests = tally(proof or report.results)
        self._agent(state, verify.agent, "done", tests=tests)
        if scope and verify.purpose == "candidate":
            self._examples(state, verify.agent, event)
            ran = tests.passed + tests.failed
            self.note(f"testing: {tests.passed} of {ran} pass" if ran else "no test runs it")

    def _examples(self, state: State, root: str, event: Verified) -> None:
        for node in list(state.family(root))[1:]:
            function = candidate.called(state, event.key, node)
            own = [r for r in event.report.doctests if r.doctest == function]
            if own:
                self._agent(state, node.agent, "done", tests=tally(own))

    def _agent(
        self, state: State, agent: str, now: AgentState, step: str = "", tests: Tally | None = None
    ) -> None:
        node = state.nodes[agent]
        update = AgentUpdate(
            job_id=self.job_id,
            agent_id=agent,
            state=now,
            parent_id=None if node.serves_all else node.parent,
            role=_role(node),
            function="" if node.serves_all else str(node.function),
            step=step or (self.said[agent].step if agent in self.said else ""),
            tests=tests,
            usage=self.usage.get(agent),
        )
        if update != self.said.get(agent):
            self.said[agent] = replace(update)
            self.listen(update)


def tally(results: tuple[TestResult, ...] | list[TestResult]) -> Tally:
    """How many passed and how many did not; skipped tests count as neither."""
    run = [r for r in results if r.outcome != "skipped"]
    passed = sum(r.passed for r in run)
    return Tally(passed, len(run) - passed)


def _role(node: Node) -> str:
    if node.is_member:
        return node.role or "member"
    return "mother" if node.parent is None or node.children else "child"


def _roots(state: State) -> frozenset[str]:
    return frozenset(target.function for target in state.job.targets)


def _agent_of(state: State, key: str) -> str:
    action = state.keys[key].action
    return action.agent if action.agent in state.nodes else state.root


_SAID = {
    "stubs": "writing stubs",
    "plan": "planning the work",
    "intent": "asking who will do what",
    "judge": "judging what was handed in",
}


def _asking(state: State, ask: Ask) -> str:
    """`3 Children writing, 1 of 3 done`, or who is asked for what."""
    node = state.nodes[ask.agent]
    if ask.step in ("feedback", "modify"):
        return f"revising {node.function.name}{_round(state, ask)}"
    if ask.step == "tests":
        return f"writing tests of {node.function.name}"
    if ask.step in _SAID:
        return _SAID[ask.step]
    mothers = [t.function for t in state.job.targets if state.nodes[t.function].children]
    children = [child for mother in mothers for child in list(state.family(mother))[1:]]
    if not children:
        return f"asking {'the Mother' if ask.step == 'skeleton' else 'one agent'}"
    written = sum(child.written is not None for child in children)
    who = "Child" if len(children) == 1 else "Children"
    return f"{len(children)} {who} writing, {written} of {len(children)} done"


def _round(state: State, ask: Ask) -> str:
    number = ask.key.rpartition(":r")[2].partition(":")[0]
    return f" (round {number} of {state.job.limits.rounds})" if number.isdigit() else ""
