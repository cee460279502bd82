"""Auto: which of the protocols a job gets where nobody chose one. The rule, for one function:

- A small one is first written by one agent, who is told to leave nothing to others. When that is red, she
  goes on as its Mother, with what she wrote. Small is: a docstring of at most `LINES` lines, at most
  `PARAMETERS` parameters, at most `TESTS` tests, and no stub within its reach that it might have to call.
- Any other is written by Mother and Child.
- Free roles do worse than fixed ones with a weak model (arXiv 2603.28990), so nobody chooses her own here.
  A model that cannot keep to a Mother's format, three replies in a row, goes on with one fixed role and the
  plainest format, and writes the whole function alone: if one of the three held the function and only the
  helpers with it were wrong. Who sent no such reply has not failed as a Mother, and costs no more calls.

A job of more than `MANY` functions has planners and a judge besides; its workers go by the same rule.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from soa_agents.protocols.each import Each
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.protocols.planner_worker import PlannerWorker
from soa_agents.protocols.single import Single
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.state import Progress, State

LINES, PARAMETERS, TESTS, MANY = 6, 4, 12, 8
ALONE = "This function is small: write the whole of it yourself and leave no helper to another author."


@dataclass(frozen=True)
class Auto:
    """The rule for every function of a job, and for how they go together."""

    name: ClassVar[str] = "auto"

    @cached_property
    def _few(self) -> Each:
        return Each(OneFunction())

    @cached_property
    def _many(self) -> PlannerWorker:
        return PlannerWorker(OneFunction())

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """What the protocol wants that the rule chooses; the same for the whole job."""
        return (self._many if len(state.job.targets) > MANY else self._few).ready(state)


@dataclass(frozen=True)
class OneFunction:
    """The rule for one function: alone first where it is small, Mother and Child, one fixed role."""

    name: ClassVar[str] = "auto"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """What Mother and Child want, her first write alone where the function is small."""
        first = f"{state.root}:write0"
        begun = state.finished(first)
        if begun and _failed_as_mother(begun):
            return Single().ready(state)
        met = MotherChild().ready(state)
        if isinstance(met, Stop) or begun or not is_small(state):
            return met
        return tuple(replace(a, note=ALONE) if isinstance(a, Ask) and a.key == first else a for a in met)


def _failed_as_mother(write: Progress) -> bool:
    """Whether an agent who might have left parts to others wrote the function, but wrong helpers with it."""
    asked = isinstance(write.action, Ask) and write.action.step == "skeleton"
    return bool(write.failed) and asked and any(attempt.of_helpers for attempt in write.attempts)


def is_small(state: State) -> bool:
    """Whether the function in scope is one that a single agent most likely writes at once."""
    node = state.nodes[state.root]
    try:
        (function,) = ast.parse(node.spec).body
    except (SyntaxError, ValueError):
        return False
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    docstring = (ast.get_docstring(function) or "").splitlines()
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    targets = {target.function for target in state.job.targets}
    within_reach = set(state.job.stubs.get(node.function.path, {}).values()) - targets
    sizes = (len(docstring) <= LINES, len(parameters) <= PARAMETERS, len(state.target.tests) <= TESTS)
    return all(sizes) and not within_reach
