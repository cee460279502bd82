"""Planners plan, workers write one function each, a judge says whether another cycle is worth it.

For long work on many functions. Planners write no code and may leave a part to planners of their own; workers
know nothing of each other and hand in once; tests decide what is right; every cycle starts afresh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from soa_agents.protocols.each import Each
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.swarm import judge
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.cycles import goes_nowhere, is_proven
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.replies import choices
from soa_agents.swarm.source import first_line
from soa_agents.swarm.state import State
from soa_agents.verify.report import TestResult

_LISTED = 40  # functions that one planner is shown; more are told by file, for planners of their own
_SAID = 160  # characters of what a failing test says
_PLAN = (
    "Each is written by one worker, who sees its docstring, its tests and the code around it. Say what she "
    'would miss: {"tasks": [{"function": "<its id, as listed>", "instruction": "<at most two sentences>"}]}. '
    'Functions that you leave out are written without an instruction; {"tasks": []} leaves out all.'
)
_PARTS = (
    'Leave files or folders to planners of their own: {"planners": [{"scope": "<a path from the list, or a '
    'folder of it>", "goal": "<what matters there>"}]}.'
)


@dataclass(frozen=True)
class PlannerWorker:
    """Cycles of planning, work and judgement; `worker` writes one function."""

    worker: CoordinationProtocol = field(default_factory=MotherChild)
    name: ClassVar[str] = "planner_worker"

    @cached_property
    def _workers(self) -> Each:
        return Each(self.worker)

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The plans of this cycle, then the workers', then the judge's word on what is left."""
        cycle = _cycles(state)
        plans = _plans(state, f"plan:{cycle}", "", "")
        waiting = tuple(ask for ask in plans if not state.finished(ask.key))
        if waiting and not state.limit:
            return waiting
        met = self._workers.ready(state)
        if not isinstance(met, Stop):
            said = {task.function: task.instruction for ask in plans for task in _plan(state, ask).tasks}
            return tuple(_with(action, said) for action in met)
        last = bool(state.limit or judge.why_none_began(state)) or cycle >= state.job.limits.rounds
        if met.verdict != "failed" or last or not _left(state):
            return met
        first = state.job.targets[0].function
        ask = Ask(f"judge:{cycle}", "judge", "judge", first, note=_handed_in(state), role="judge")
        done = state.finished(ask.key)
        return (ask,) if done is None else met  # a word to go on is another cycle by now


def _with(action: Action, instructions: Mapping[str, str]) -> Action:
    """The action; what the author of a target is asked with what her planner said."""
    if not isinstance(action, Ask) or action.agent not in instructions:
        return action
    said = f"Who handed out this task says: {instructions[action.agent]}"
    return replace(action, note=f"{action.note}\n{said}".strip())


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
    ask = Ask(key, key, "plan", left[0], note=_wanted(state, left, goal), role="planner")
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
    """The targets that another cycle may mend: not proven, nor ended in the same way in an earlier one."""
    roots = (target.function for target in state.job.targets)
    return [root for root in roots if not is_proven(state, root) and not goes_nowhere(state, root)]


def _wanted(state: State, left: list[str], goal: str) -> str:
    about = f"{goal}\n\n" if goal else ""
    if len(left) <= _LISTED:
        listed = "\n".join(_described(state, function) for function in left)
        return f"{about}These functions are to be written or mended:\n\n{listed}\n\n{_PLAN}"
    files = Counter(function.partition("::")[0] for function in left)
    listed = "\n".join(f"- {path}: {count} functions" for path, count in files.most_common(_LISTED))
    return (
        f"{about}{len(left)} functions are to be written or mended, in these files:\n\n{listed}\n\n{_PARTS}"
    )


def _described(state: State, function: str) -> str:
    """What a planner has to know of a function that is hers to hand out."""
    scope = state.scope(function)
    told = [first_line(state.nodes[function].spec), *(f"calls {need}" for need in scope.target.needs)]
    if scope.target.goal == "regenerate":
        told.append(_complaint(judge.counted(scope, state.baseline)))
    return f"- {function}: {'; '.join(filter(None, told))}".rstrip(": ")


def _complaint(results: Sequence[TestResult]) -> str:
    """The first failing test and what it says."""
    red = next((r for r in results if not r.passed), None)
    if red is None:
        return ""
    said = next((line.strip() for line in red.message.splitlines() if line.strip()), red.outcome)
    return f"{red.nodeid} fails: {said.removeprefix('E ').strip()[:_SAID]}"


def _handed_in(state: State) -> str:
    left = _left(state)
    done = sum(is_proven(state, target.function) for target in state.job.targets)
    lines = [_line(state, function) for function in left[:_LISTED]]
    return f"Functions that pass their tests: {done}. Left:\n\n" + "\n".join(lines)


def _line(state: State, function: str) -> str:
    best = state.best.get(function)
    if best is None:
        return f"- {function}: no code that could be tested"
    counted = judge.counted(state.scope(function), best.report)
    said = f"- {function}: with the best version {judge.in_words(counted)}"
    return "; ".join(filter(None, (said, _complaint(counted))))
