"""What precedes stubs from a docstring: where it stands, and the tests that must stay as they are."""

from __future__ import annotations

import time

from soa_agents.errors import TargetMissing
from soa_agents.jobs.prepare import Prepared
from soa_agents.jobs.workplace import Workplace
from soa_agents.prompts import loader
from soa_agents.swarm.events import BaselineMeasured, JobStarted, Target
from soa_agents.verify.report import Report, Selection, TestRunner
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place


async def prepare_stubs(place: Workplace, runner: TestRunner, target: FunctionId) -> Prepared:
    """Find the docstring and measure the tests whose files import its module.

    Raises `TargetMissing` when there is no docstring to go by.
    """
    text = place.text(target.path)
    if docstring_place(target.path, text, target.qualname) is None:
        name = "The module" if target.qualname == FunctionId.MODULE else target.qualname
        raise TargetMissing(
            f"{name} in {target.path} has no docstring. Write there what the functions should do."
        )
    near = place.graph.modules.importers(target.path)
    files = tuple(sorted(path for path in near if place.facts[path].is_test and "conftest" not in path))
    report = await runner.run({}, Selection(files)) if files else Report()
    settled = Target(str(target), "stubs", affected=tuple(r.nodeid for r in report.tests))
    started = JobStarted(
        job_id=place.start.job_id,
        kind=place.start.kind,
        protocol="stubs",
        targets=(settled,),
        texts={target.path: text},
        stubs={},
        limits=place.start.settings.limits,
        templates=loader.digests(),
        seed=0,
        time=time.time(),
    )
    return Prepared(started, BaselineMeasured(report))
