"""What an agent would see: the view of one step, without asking anybody and without running anything."""

from __future__ import annotations

import time

from soa_agents.errors import UsageError
from soa_agents.jobs.prepare import advice_path, has_examples, reachable_stubs
from soa_agents.jobs.views import viewer
from soa_agents.jobs.workplace import open_workplace
from soa_agents.models.port import Step
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.events import Goal, JobStarted, Target
from soa_agents.swarm.fold import begin
from soa_agents.swarm.job import StartJob
from soa_agents.swarm.views.view import Row
from soa_agents.swarm.views.view import explain as rows
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import tests_reaching

STEPS: tuple[Step, ...] = ("skeleton", "code", "modify", "tests", "feedback", "stubs")


async def explain(start: StartJob, function: str, step: str) -> tuple[Row, ...]:
    """The sections of the view that `step` would have of `function`, with ≈ token counts.

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
    return rows(viewer(place, target.path, "").view(begin(job), ask))
