"""Everything before the first model call: which tests matter for which target, and how they stand now."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from soa_agents.errors import BaselineHangs, NoPytest, NothingCollected, Refused
from soa_agents.jobs.relevant import as_named, left_out, reaching
from soa_agents.jobs.workplace import Workplace
from soa_agents.prompts import loader
from soa_agents.swarm.events import BaselineMeasured, Goal, JobStarted, Target
from soa_agents.swarm.family import source_of
from soa_agents.swarm.job import StartJob
from soa_agents.swarm.replies.target import check_signature
from soa_agents.swarm.views.lookup import module_name
from soa_agents.verify.onward import ended_by
from soa_agents.verify.recorder import names_of
from soa_agents.verify.report import Report, Selection, TestResult, TestRunner
from soa_agents.workspace.facts import FunctionFact
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.names import User
from soa_agents.workspace.reaching import Reaching

_BEYOND_US = "ModuleNotFoundError: "  # what a test file fails with that misses something installed
_FEW = 40  # tests that may all be run before the first call without anybody waiting for it
_REFUSALS: dict[str, type[Refused]] = {
    "nothing_collected": NothingCollected,
    "no_pytest": NoPytest,
    "hang": BaselineHangs,
    "time": BaselineHangs,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A job ready to run: its first two events."""

    started: JobStarted
    baseline: BaselineMeasured


@dataclass(frozen=True, slots=True)
class Baseline:
    """How tests stand before anything is changed, and which were asked for."""

    report: Report
    asked: Selection


async def prepare(
    place: Workplace,
    runner: TestRunner,
    targets: Sequence[FunctionId],
    protocol: str,
    baseline: Report | None = None,
) -> Prepared:
    """Measure the baseline and settle what the job is; `baseline` when it was measured already.

    Raises `NothingCollected` or `BaselineHangs` when the tests cannot tell anything, and `Refused` when a
    target's signature cannot be read.
    """
    for target in targets:
        check_signature(target, source_of(place.texts, target))
    reach = await asyncio.to_thread(reaching, place, targets)
    shown = tuple(t for t in targets if has_examples(place, t))
    measured = Baseline(baseline, as_named(place.start)) if baseline else None
    measured = measured or await _measure(place, runner, reach, shown)
    first = _first(measured.report, targets, reach)
    settled = [
        _target(place, t, measured, reach[t].affected, needs)
        for t, needs in in_order_of_need(place, targets, first).items()
    ]
    started = JobStarted(
        job_id=place.start.job_id,
        kind=place.start.kind,
        protocol=protocol,
        targets=tuple(settled),
        texts=_texts(place, targets),
        stubs={path: reachable_stubs(place, path) for path in _files(place, targets)},
        limits=place.start.settings.limits.shared_by(len(settled)),
        templates=loader.digests(),
        seed=random.Random(place.start.job_id).randrange(2**32),  # noqa: S311 - reproducible, not secret
        time=time.time(),
        modules={path: module_name(path, place.texts) for path in _files(place, targets)},
    )
    return Prepared(started, BaselineMeasured(measured.report))


def has_examples(place: Workplace, function: FunctionId) -> bool:
    """Whether the function's docstring shows an interactive session."""
    found = place.function(function)
    if found.docstring is None:
        return False
    text = place.text(function.path)
    return ">>>" in text[found.docstring.start : found.docstring.end]


def _first(
    report: Report, targets: Sequence[FunctionId], reach: Mapping[FunctionId, Reaching]
) -> dict[FunctionId, tuple[FunctionId, ...]]:
    """For each target the others that come first: before these are written nothing can be seen of it.

    Where its tests cannot be collected, those that run while modules are imported; where none of its tests
    comes as far as to run it, those that they run.
    """
    closed = {r.nodeid for r in _uncollected(report)}
    early = tuple(target for target in targets if target in report.imported)
    found = dict[FunctionId, tuple[FunctionId, ...]]()
    for target in targets:
        if target not in early and closed & _files_of(reach[target]):
            found[target] = early
        elif not report.running(target):
            names = set(reach[target].affected)
            red = [r for r in report.tests if not (r.passed or names.isdisjoint(names_of(r.nodeid)))]
            found[target] = tuple(t for t in targets if any(r.runs(t) for r in red))
    return found


def _files_of(reach: Reaching) -> set[str]:
    return {name.partition("::")[0] for name in reach.affected}


def in_order_of_need(
    place: Workplace,
    targets: Iterable[FunctionId],
    first: Mapping[FunctionId, Sequence[FunctionId]] | None = None,
) -> dict[FunctionId, tuple[str, ...]]:
    """The targets, called ones before their callers, each with those of them it needs; circles are cut.

    It needs those it calls, and those that come `first` for it.
    """
    todo = list(dict.fromkeys(targets))
    placed: dict[FunctionId, tuple[str, ...]] = {}
    visiting: set[FunctionId] = set()

    def visit(target: FunctionId) -> None:
        if target in placed or target in visiting:
            return
        visiting.add(target)
        known = (*(first or {}).get(target, ()), *place.graph.callees(target))
        callees = [c for c in dict.fromkeys(known) if c in todo and c != target]
        for callee in callees:
            visit(callee)
        placed[target] = tuple(str(c) for c in callees if c in placed)

    for target in todo:
        visit(target)
    return placed


def reachable_stubs(place: Workplace, path: str) -> dict[str, str]:
    """How code in that file would call each stub it can reach: spelling → FunctionId."""
    own = place.facts.get(path)
    if own is None:
        return {}
    reach: dict[str, str] = {}
    for each in own.imports:
        thing = place.graph.names.resolve(User(path, FunctionId.MODULE), each.name)
        if thing is not None and thing.kind == "module":
            names = {f"{each.name}.{stub.qualname}": stub for stub in _stubs(place, thing.path)}
        elif thing is not None:
            same = [stub for stub in _stubs(place, thing.path) if stub.qualname == thing.qualname]
            names = dict.fromkeys([each.name], same[0]) if same else {}
        else:
            continue
        reach |= {
            spelling: f"{thing.path}::{stub.qualname}" for spelling, stub in names.items() if not stub.owner
        }
    for stub in _stubs(place, path):
        name = stub.qualname.rpartition(".")[2]
        spellings = [f"self.{name}", f"cls.{name}", stub.qualname] if stub.owner else [name]
        reach |= dict.fromkeys(spellings, f"{path}::{stub.qualname}")
    return reach


def _stubs(place: Workplace, path: str) -> list[FunctionFact]:
    file = place.facts.get(path)
    if file is None or file.is_test:  # what the tests leave open is theirs
        return []
    return [f for f in file.functions if f.is_stub and "<locals>" not in f.qualname]


async def _measure(
    place: Workplace,
    runner: TestRunner,
    reach: Mapping[FunctionId, Reaching],
    shown: tuple[FunctionId, ...],
) -> Baseline:
    """Tests to begin with; where none runs the target, all that reach it; those of its file; then all.

    Those to begin with were seen to run it, or name it; where all that reach it are few, they come at once.
    The last step is not skipped where no file looks like tests: pytest's configuration may name them
    otherwise. Of a function whose first tests all pass, those that reach it are looked at as well: what it
    lacks may show in one of them.
    What else is affected is left for the end: it is run on the candidate, and unchanged where that is red.
    """
    named, reached, files = (
        tuple(sorted({name for each in reach.values() for name in getattr(each, part)}))
        for part in ("direct", "affected", "files")
    )
    first = reached if len(reached) <= _FEW else named
    steps = [Selection(tests, shown) for tests in (first, reached, files)]
    steps.append(Selection((), shown, everything=True))
    report, step = Report(), Selection()
    for number, step in enumerate(steps):
        if step == Selection() or step in steps[:number]:
            continue
        report = await runner.run({}, step)
        if (last := ended_by(report)) and _reaches(last, list(reach), reached):
            break
        _check(place, report, list(reach), reached)
        if _uncollected(report) or all(_says_enough(report, t, number) for t in reach):
            break
    return Baseline(report, step)


def _reaches(result: TestResult, targets: Sequence[FunctionId], reached: Sequence[str]) -> bool:
    """Whether a test that did not end ran a target, which may be why; or may have, where nobody saw it."""
    if not set(targets).isdisjoint(result.ran):
        return True
    if result.support:  # it was interrupted, and told what it had run
        return False
    return any(_matches(result.nodeid, name) for name in reached)


def _says_enough(report: Report, target: FunctionId, number: int) -> bool:
    running = [r for r in report.tests if r.runs(target)]
    return bool(running) and (number > 0 or any(not r.passed for r in running))


def _check(place: Workplace, report: Report, targets: Sequence[FunctionId], reached: Sequence[str]) -> None:
    hung = (r for r in report.tests if r.outcome == "timeout")
    hanging = next((r for r in hung if not _reaches(r, targets, reached)), None)
    if hanging is not None:
        seconds = place.start.settings.tests.timeout_seconds
        raise BaselineHangs(
            f"{hanging.nodeid} did not finish within {seconds:g} s before anything was changed. "
            "Raise soa.tests.timeoutSeconds or leave it out with soa.tests.args."
        )
    if not place.start.accept_unproven:
        _check_collected(report)
    check_ran(place.start, report)


def _check_collected(report: Report) -> None:
    """Raises `NothingCollected` when nothing is collected for a reason that no function can mend."""
    closed = _uncollected(report)
    if any(r.outcome != "missing" for r in report.tests if r not in closed):
        return
    for result in closed:
        reason = next((line for line in result.message.splitlines() if _BEYOND_US in line), "")
        if reason:
            raise NothingCollected(
                f'pytest collects no tests from {result.nodeid}: "{reason.removeprefix("E").strip()}". '
                "Mend that first."
            )


def check_ran(start: StartJob, report: Report) -> None:
    """Raises what kept a run of unchanged tests from saying anything."""
    if report.fault in ("", "no_tests") or (report.fault == "nothing_collected" and start.accept_unproven):
        return
    raise _REFUSALS.get(report.fault, Refused)(report.problem)


def _uncollected(report: Report) -> list[TestResult]:
    return [r for r in report.tests if r.outcome == "error" and not r.ran and "::" not in r.nodeid]


def _target(
    place: Workplace,
    function: FunctionId,
    baseline: Baseline,
    affected: Sequence[str],
    needs: tuple[str, ...],
) -> Target:
    seen, names = baseline.report.tests, set(affected)
    running = [r.nodeid for r in seen if r.nodeid in baseline.report.running(function)]
    blocked = [r.nodeid for r in _uncollected(baseline.report)]  # files that cannot be imported as they are
    named = [r for r in seen if not names.isdisjoint(names_of(r.nodeid))]
    # One that fails may stop just before the function: the stub of an async generator is never entered.
    # One that hung somewhere else is not this function's to mend.
    stopped = [r.nodeid for r in named if not (r.passed or (r.outcome == "timeout" and r.ran))]
    tests = tuple(dict.fromkeys([*running, *blocked, *stopped]))
    goal: Goal = "generate" if place.function(function).is_stub else "regenerate"
    return Target(
        function=str(function),
        goal=goal,
        tests=tests,
        affected=tuple(
            dict.fromkeys([*tests, *(r.nodeid for r in named), *left_out(affected, baseline.asked)])
        ),
        has_examples=has_examples(place, function),
        needs=needs,
        advice=advice_path(place, function),
    )


def _matches(nodeid: str, asked: str) -> bool:
    return nodeid == asked or nodeid.startswith((f"{asked}::", f"{asked}["))


def advice_path(place: Workplace, function: FunctionId) -> str:
    """Where tests that agents write are run from, and offered as: beside the workspace's own."""
    prefix = place.snapshot.prefix(place.folder_of(function.path))
    own = [path for path, fact in place.facts.items() if fact.is_test and path.startswith(prefix)]
    folders = {path.rpartition("/")[0] for path in own}
    best = min(folders, key=lambda folder: (folder.count("/"), folder), default=prefix.rstrip("/"))
    name = "_".join(part for part in function.qualname.replace("<", "").replace(">", "").split(".") if part)
    file = f"test_{name.strip('_').lower().replace('#', '_')}_soa.py"
    return f"{best}/{file}" if best else file


def _files(place: Workplace, targets: Sequence[FunctionId]) -> list[str]:
    """The targets' files and those of the stubs they can reach, and the stubs these can reach."""
    files = dict.fromkeys(t.path for t in targets)
    todo = list(files)
    while todo:
        for stub in reachable_stubs(place, todo.pop()).values():
            path = FunctionId.parse(stub).path
            if path not in files:
                files[path] = None
                todo.append(path)
    return list(files)


def _texts(place: Workplace, targets: Sequence[FunctionId]) -> dict[str, str]:
    return {path: place.text(path) for path in _files(place, targets)}
