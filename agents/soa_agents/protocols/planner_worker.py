"""Planners plan, workers write one function each, a judge says whether another cycle is worth it.

For long work on many functions. Planners write no code and may leave a part to planners of their own; workers
know nothing of each other and hand in once; tests decide what is right; every cycle starts afresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from soa_agents.protocols.each import Each
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.swarm import judge
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.replies import choices
from soa_agents.swarm.state import State

_LISTED = 40  # functions that one planner is shown; more are told by file, for planners of their own
_PLAN = (
    'Each is written by one worker. Say what each worker has to know: {"tasks": [{"function": "<id>", '
    '"instruction": "<at most two sentences>"}], "planners": []}. Functions that you leave out are written '
    "without an instruction. "
)
_PARTS = (
    'Leave files or folders to planners of their own: {"tasks": [], "planners": [{"scope": "<a path from the '
    'list, or a folder of it>", "goal": "<what matters there>"}]}.'
)


@dataclass(frozen=True)
class PlannerWorker:
    """Cycles of planning, work and judgement; `worker` writes one function."""

    worker: CoordinationProtocol = field(default_factory=MotherChild)
    name: ClassVar[str] = "planner_worker"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The plans of this cycle, then the workers', then the judge's word on what is left."""
        cycle = _cycles(state)
        plans = _plans(state, f"plan:{cycle}", "", "")
        if waiting := tuple(ask for ask in plans if not state.finished(ask.key)):
            return waiting
        instructions = {task.function: task.instruction for ask in plans for task in _plan(state, ask).tasks}
        met = Each(_Worker(self.worker, instructions)).ready(state)
        if not isinstance(met, Stop) or met.verdict != "failed" or cycle >= state.job.limits.rounds:
            return met
        ask = Ask(f"judge:{cycle}", "judge", "judge", state.job.targets[0].function, note=_handed_in(state))
        done = state.finished(ask.key)
        return (ask,) if done is None else met  # a word to go on is another cycle by now


@dataclass(frozen=True)
class _Worker:
    """One function by the inner protocol, its author told what her planner said."""

    inner: CoordinationProtocol
    instructions: Mapping[str, str]
    name: ClassVar[str] = "worker"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        met = self.inner.ready(state)
        said = self.instructions.get(state.root, "")
        if isinstance(met, Stop) or not said:
            return met
        note = f"Who handed out this task says: {said}"
        return tuple(
            replace(a, note=note) if isinstance(a, Ask) and a.agent == state.root else a for a in met
        )


def _cycles(state: State) -> int:
    """How often a judge said to go on."""
    cycle = 0
    while (done := state.finished(f"judge:{cycle}")) and not done.failed and choices.goes_on(done.text):
        cycle += 1
    return cycle


def _plans(state: State, key: str, scope: str, goal: str) -> list[Ask]:
    """A planner's ask and, once she has answered, those of the planners she called."""
    left = [target for target in _left(state) if target.startswith(scope)]
    if not left:
        return []
    ask = Ask(key, key, "plan", left[0], note=_wanted(left, goal))
    found = [ask]
    if state.finished(key) and key.count(".") + 1 < state.job.limits.depth:
        for number, each in enumerate(_plan(state, ask).planners):
            if each.scope != scope:
                found += _plans(state, f"{key}.{number}", each.scope, each.goal)
    return found


def _plan(state: State, ask: Ask) -> choices.Plan:
    done = state.finished(ask.key)
    return choices.Plan() if done is None or done.failed else choices.plan(done.text)


def _left(state: State) -> list[str]:
    proven = {root for root, best in state.best.items() if best.proven}
    return [target.function for target in state.job.targets if target.function not in proven]


def _wanted(left: list[str], goal: str) -> str:
    about = f"{goal}\n\n" if goal else ""
    if len(left) <= _LISTED:
        listed = "\n".join(f"- {function}" for function in left)
        return f"{about}These functions are to be written or mended:\n\n{listed}\n\n{_PLAN}"
    files = Counter(function.partition("::")[0] for function in left)
    listed = "\n".join(f"- {path}: {count} functions" for path, count in files.most_common(_LISTED))
    return (
        f"{about}{len(left)} functions are to be written or mended, in these files:\n\n{listed}\n\n{_PARTS}"
    )


def _handed_in(state: State) -> str:
    left = _left(state)
    done = len(state.job.targets) - len(left)
    lines = [_line(state, function) for function in left[:_LISTED]]
    return f"Functions that pass their tests: {done}. Left:\n\n" + "\n".join(lines)


def _line(state: State, function: str) -> str:
    best = state.best.get(function)
    if best is None:
        return f"- {function}: no code that could be tested"
    counted = judge.counted(state.scope(function), best.report)
    passed = sum(result.passed for result in counted)
    return f"- {function}: {passed} of {len(counted)} tests pass with the best version"
