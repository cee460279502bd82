"""Running tests for their own sake: `runTests`, and the failing ones that `fix` starts from."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from itertools import chain

from soa_agents.errors import NothingCollected, Refused
from soa_agents.jobs.narrate import tally
from soa_agents.jobs.prepare import check_ran
from soa_agents.jobs.relevant import as_named, reaching
from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.job import JobResult, JobUpdate, StartJob, TestDiagnostic, TestsChange
from soa_agents.verify.report import Report, Selection, TestResult, TestRunner
from soa_agents.verify.suspects import suspects
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId


@dataclass(frozen=True, slots=True)
class Failing:
    """The failing tests of a workspace and the functions to write anew, one for each at most."""

    report: Report
    targets: tuple[FunctionId, ...]

    def nothing_to_do(self, start: StartJob) -> JobResult:
        """The result when no function can be held responsible."""
        red = [r for r in self.report.tests if not r.passed and r.outcome != "skipped"]
        if not red:
            passed = tally(self.report.tests).passed
            said = "The one test passes" if passed == 1 else f"All {passed} tests pass"
            message = f"{said}; there is nothing to fix."
            update = JobUpdate(
                start.job_id, start.kind, "", "done", "passed", tests=_after(self.report), message=message
            )
            return JobResult(update)
        message = (
            f"{len(red)} {'test fails' if len(red) == 1 else 'tests fail'}, but no function of the workspace "
            f"can be held responsible. Look at {red[0].nodeid} yourself, or name a function to regenerate."
        )
        update = JobUpdate(
            start.job_id, start.kind, "", "failed", "failed", tests=_after(self.report), message=message
        )
        return JobResult(update, exit_code=1)


def first_path(place: Workplace) -> str:
    """A path in the folder whose tests are asked for: of the first node id, else of any test file."""
    named = [target.partition("::")[0] for target in place.start.targets]
    tests = [path for path, fact in place.facts.items() if fact.is_test]
    found = next(iter([*named, *tests, *place.facts]), None)
    if found is None:
        raise NothingCollected("This workspace has no Python files, so there are no tests to run.")
    return found


async def failing(place: Workplace, runner: TestRunner) -> Failing:
    """Run the named tests, or all, and find the first suspect behind each failure.

    Where there are several, what a failing test itself called is looked at as well: a fault further in may
    hide one of its own, for which the inner function would be blamed. If it has none, nobody is asked.
    """
    report = await runner.run({}, as_named(place.start))
    check_ran(place.start, report)
    if gone := [r.nodeid for r in report.tests if r.outcome == "missing"]:
        raise Refused(f"pytest finds no test {gone[0]}; check its name, or name its file alone.")
    red = [r for r in report.tests if not r.passed and r.outcome != "skipped"]
    found = dict.fromkeys(s for r in red for s in _suspects(place, report, r)[:1])
    if len(found) > 1:
        found |= dict.fromkeys(f for r in red for f in _outermost(place, r))
    return Failing(report, tuple(found))


def _outermost(place: Workplace, result: TestResult) -> tuple[FunctionId, ...]:
    """What a failing test called of the workspace, on whose stack it stands."""
    for frame in result.frames:
        function = FunctionId(frame.path, frame.function)
        if frame.path in place.facts and not place.facts[frame.path].is_test:
            return (function,) if place.graph.function(function) else ()
    return ()


async def run_tests(place: Workplace, runner: TestRunner) -> JobResult:
    """Run the tests of a function, or of everything in a file, and say what fails and where to look."""
    start = place.start
    asked = await asyncio.to_thread(_asked, place, start.targets[0])
    report = await runner.run({}, asked)
    check_ran(place.start, report)
    red = [r for r in report.tests if not r.passed and r.outcome != "skipped"]
    count = tally(report.tests)
    path, _, qualname = start.targets[0].partition("::")
    name = FunctionId(path, qualname).name or path.rpartition("/")[2]
    message = (
        f"{name}: {count.passed} of {count.passed + count.failed} tests pass."
        if report.tests
        else f"No test exercises {name}."
    )
    if offline := sum(r.offline for r in report.tests):
        message += (
            f" {offline} {'needs' if offline == 1 else 'need'} the network, which tests do not have here."
        )
    update = JobUpdate(
        start.job_id, start.kind, start.targets[0], "done", tests=_after(report), message=message
    )
    return JobResult(
        update,
        failures=tuple(_diagnostic(place, report, r) for r in red),
        passing=tuple(r.nodeid for r in report.tests if r.passed),
    )


def _asked(place: Workplace, target: str) -> Selection:
    path, _, qualname = target.partition("::")
    fact = place.facts.get(path)
    if fact is not None and fact.is_test:
        return (
            Selection((target.replace(".", "::") if qualname else path,))
            if not qualname
            else Selection((f"{path}::{qualname.replace('.', '::')}",))
        )
    names = [qualname] if qualname else [f.qualname for f in (fact.functions if fact else ())]
    found = reaching(place, [FunctionId(path, name) for name in names])
    tests = tuple(sorted(set(chain.from_iterable(r.affected or r.files for r in found.values()))))
    return Selection(tests) if tests else Selection(everything=True)


def _suspects(place: Workplace, report: Report, result: TestResult) -> tuple[FunctionId, ...]:
    path, _, rest = result.nodeid.partition("::")
    test = FunctionId(path, rest.partition("[")[0].replace("::", "."))
    line = next((f.source for f in reversed(result.frames) if f.path == path), "")
    named = place.graph.callees(test) if place.graph.function(test) else ()
    words = set(re.findall(r"\w+", line))
    seen = dict.fromkeys((*named, *result.ran))  # a property is read and a method found by running alone
    called = tuple(f for f in seen if f.name in words or not result.frames)
    passing = [r for r in report.tests if r.passed]
    found = suspects([result, *passing], {result.nodeid: called})
    return tuple(f for f in found if f.path in place.facts and not place.facts[f.path].is_test)


def _diagnostic(place: Workplace, report: Report, result: TestResult) -> TestDiagnostic:
    path, _, rest = result.nodeid.partition("::")
    test = FunctionId(path, rest.partition("[")[0].replace("::", "."))
    first = next(iter(_suspects(place, report, result)), None)
    frame = next((f for f in reversed(result.frames) if f.path == path), None)
    lines = [line.strip() for line in result.message.splitlines() if line.strip()]
    return TestDiagnostic(
        nodeid=result.nodeid,
        message=lines[0].removeprefix("E ").strip() if lines else result.outcome,
        suspect=str(first) if first else "",
        test=str(test),
        path=path,
        line=frame.line if frame else _line(place, test),
    )


def _line(place: Workplace, test: FunctionId) -> int:
    text = place.texts.get(test.path, "")
    return next((f.line for f in functions(test.path, text) if f.id == test), 1)


def _after(report: Report) -> TestsChange:
    return TestsChange(tally(report.tests))
