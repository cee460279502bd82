"""What an agent would see: the view of one step, without asking anybody and without running anything."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from soa_agents.errors import LedgerBroken, UsageError
from soa_agents.jobs.log import root_of
from soa_agents.jobs.prepare import advice_path, has_examples, reachable_stubs
from soa_agents.jobs.views import viewer
from soa_agents.jobs.workplace import open_workplace
from soa_agents.models.port import Step
from soa_agents.swarm import budget
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.events import Goal, JobStarted, Target
from soa_agents.swarm.fold import begin, replay
from soa_agents.swarm.job import StartJob
from soa_agents.swarm.ledger import Ledger, path_of
from soa_agents.swarm.state import State
from soa_agents.swarm.views.fitting import tokens
from soa_agents.swarm.views.view import Row, Viewer
from soa_agents.swarm.views.view import explain as rows
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import tests_reaching

STEPS: tuple[Step, ...] = ("skeleton", "code", "modify", "tests", "feedback", "stubs")


async def explain(start: StartJob, function: str, step: str) -> tuple[Row, ...]:
    """The sections of the view that `step` would have of `function`, with ≈ token counts.

    Before them the instructions, which are the same for every function. Tokens are a third of the UTF-8
    bytes, put right by what the model of the last job here counted.

    Raises `UsageError` for an unknown step and `TargetMissing` for an unknown function.
    """
    if step not in STEPS:
        raise UsageError(f"There is no step {step!r}; the steps are {', '.join(STEPS)}.")
    place = open_workplace(start)
    target = FunctionId.parse(function)
    is_function = target.qualname != FunctionId.MODULE and step != "stubs"
    goal: Goal = "generate" if step == "stubs" or place.function(target).is_stub else "regenerate"
    affected = tests_reaching(place.graph, target).affected
    settled = Target(
        function=function,
        goal=goal,
        tests=affected,
        affected=affected,
        has_examples=is_function and has_examples(place, target),
        advice=advice_path(place, target),
    )
    job = JobStarted(
        job_id=start.job_id,
        kind=start.kind,
        protocol=start.settings.protocol,
        targets=(settled,),
        texts={target.path: place.text(target.path)},
        stubs={target.path: reachable_stubs(place, target.path)},
        limits=start.settings.limits,
        templates={},
        seed=0,
        time=time.time(),
    )
    ask = Ask("explain", function, step, function)
    return _told(viewer(place, target.path, ""), begin(job), ask, _calibration(root_of(place)))


def _told(views: Viewer, state: State, ask: Ask, counted: float) -> tuple[Row, ...]:
    """The rows of a prompt; what the words between the sections take counts as instructions."""
    system, user = views.prompt(state, ask).messages
    sections = rows(views.view(state, ask))
    rest = tokens(system.content) + tokens(user.content) - sum(row.tokens for row in sections)
    told = (Row("instructions", rest, system.content), *sections)
    return tuple(replace(row, tokens=round(row.tokens * counted)) for row in told)


def _calibration(root: Path) -> float:
    """What the model of the last job counted for one token of an estimate; 1.0 when nobody was asked."""
    if path_of(root).exists():
        with contextlib.suppress(LedgerBroken), contextlib.closing(Ledger.of(root)) as ledger:
            asked = next((entry for entry in ledger.entries() if entry.calls), None)
            return budget.calibration(replay(ledger.events(asked.id))) if asked else 1.0
    return 1.0
