"""One job from its request to its result. Every failure ends here as one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from soa_agents import protocols
from soa_agents.errors import Refused, SoaError, UsageError
from soa_agents.jobs import ending, history, resume, testing
from soa_agents.jobs.laboratory import Laboratory, OpenLaboratory, open_laboratory, spread
from soa_agents.jobs.log import Log
from soa_agents.jobs.narrate import Listener, Narrator
from soa_agents.jobs.prepare import Prepared, prepare
from soa_agents.jobs.stubbing import prepare_stubs
from soa_agents.jobs.views import viewer
from soa_agents.jobs.workplace import Workplace, open_workplace
from soa_agents.models.access import Access
from soa_agents.models.port import OpenModel
from soa_agents.swarm.actions import Stop
from soa_agents.swarm.engine import Engine, Ports
from soa_agents.swarm.events import ActionStarted, Event, Verified
from soa_agents.swarm.fold import fold, replay
from soa_agents.swarm.job import JobResult, StartJob
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.state import State
from soa_agents.verify.aside import aside
from soa_agents.verify.guard import changes_tests, test_patterns
from soa_agents.verify.report import Report, Selection
from soa_agents.workspace.ids import FunctionId


async def run_job(
    start: StartJob,
    key: str | None,
    listen: Listener,
    cancelled: asyncio.Event,
    access: Access | None = None,
    laboratories: OpenLaboratory | None = None,
) -> JobResult:
    """Run a job to its end. `key` is the model's, `listen` hears what happens, `cancelled` ends it early,
    `access` is how the jobs of this process reach their models, `laboratories` who runs their tests: a
    laboratory of its own where nothing is given.

    Never raises for what a person can meet: refusals, limits and faults of the model come back as results.
    When it returns, no request and no process of the job is left. Itself cancelled, it leaves the job to be
    resumed.
    """
    job = _Job(start, key, listen, (access or Access(), laboratories or open_laboratory))
    try:
        result = await _result(job, start, cancelled)
    except BaseException:
        job.abandon()
        raise
    job.end(result)
    return result


async def _result(job: _Job, start: StartJob, cancelled: asyncio.Event) -> JobResult:
    work = asyncio.ensure_future(job.run())
    watch = asyncio.ensure_future(cancelled.wait())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watch.cancel()
        if unfinished := not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, SoaError):
                await work
    if unfinished:
        return ending.cancelled(start, job.state)
    try:
        return await work
    except SoaError as error:
        result = ending.refused(start, error, job.state.spent if job.state else None)
        return ending.with_best(result, job.state) if job.state else result


@dataclass(frozen=True, slots=True)
class Staff:
    """Whom the agents of a job work with."""

    place: Workplace
    laboratory: Laboratory
    protocol: CoordinationProtocol
    model: OpenModel


class _Job:
    """What one job holds while it runs."""

    def __init__(
        self, start: StartJob, key: str | None, listen: Listener, means: tuple[Access, OpenLaboratory]
    ) -> None:
        self._start = start
        self._key = key
        self._access, self._open_laboratory = means
        self._narrator = Narrator(listen, start.job_id, start.kind, start.targets[0] if start.targets else "")
        self._engine: Engine | None = None
        self._log: Log | None = None
        self._past: State | None = None  # where a resumed job goes on from
        self._closing = contextlib.AsyncExitStack()

    @property
    def state(self) -> State | None:
        """The state by now, once the agents have begun."""
        return self._engine.state if self._engine else None

    async def run(self) -> JobResult:
        """The whole job, by its kind. Raises `SoaError` for what a person has to be told."""
        async with self._closing:
            return await self._run()

    async def _run(self) -> JobResult:
        self._narrator.running()
        self._narrator.note("reading the workspace")
        place = await aside(partial(open_workplace, self._start))
        if self._start.kind == "runTests":
            laboratory = await self._laboratory(place, self._start.targets[0].partition("::")[0])
            return await testing.run_tests(place, laboratory.runner)
        self._open_log(place)
        if self._past is not None:
            return await self._go_on(place, self._past)
        if self._start.kind == "stubs":
            return await self._write_stubs(place)
        return await self._write_functions(place)

    async def _write_functions(self, place: Workplace) -> JobResult:
        protocol = protocols.choose(self._start.settings.protocol)
        baseline: Report | None = None
        if self._start.kind == "fix":
            laboratory = await self._laboratory(place, testing.first_path(place))
            self._narrator.note("running the tests as they are")
            failing = await testing.failing(place, laboratory.runner)
            if not failing.targets:
                return failing.nothing_to_do(self._start)
            targets, baseline = list(failing.targets), failing.report
        else:
            targets = _targets(place)
            laboratory = await self._laboratory(place, targets[0].path)
        async with aclosing(self._open_model()) as model:  # without one, no test need run
            self._narrator.note("running the tests as they are")
            name = self._start.settings.protocol
            prepared = await prepare(place, laboratory.runner, targets, name, baseline)
            return await self._begin_agents(Staff(place, laboratory, protocol, model), prepared)

    async def _write_stubs(self, place: Workplace) -> JobResult:
        target = FunctionId.parse(self._start.targets[0])
        _refuse_tests(place, [target])
        laboratory = await self._laboratory(place, target.path)
        async with aclosing(self._open_model()) as model:
            self._narrator.note("running the tests as they are")
            prepared = await prepare_stubs(place, laboratory.runner, target)
            return await self._begin_agents(Staff(place, laboratory, protocols.for_stubs(), model), prepared)

    async def _go_on(self, place: Workplace, past: State) -> JobResult:
        job = past.job
        protocol = protocols.for_stubs() if job.kind == "stubs" else protocols.choose(job.protocol)
        laboratory = await self._laboratory(place, FunctionId.parse(job.targets[0].function).path)
        async with aclosing(self._open_model()) as model:
            return await self._run_agents(Staff(place, laboratory, protocol, model), past)

    async def _begin_agents(self, staff: Staff, prepared: Prepared) -> JobResult:
        assert self._log is not None  # noqa: S101 - opened before the first event
        started = prepared.started
        if started.protocol.startswith("shared"):
            started = replace(started, roles=history.roles(self._log.ledger))
        for event in (started, prepared.baseline):
            self._record(event)
        return await self._run_agents(staff, replay((started, prepared.baseline)))

    async def _run_agents(self, staff: Staff, state: State) -> JobResult:
        laboratory = staff.laboratory
        path = FunctionId.parse(state.job.targets[0].function).path
        ports = Ports(
            model=staff.model,
            runner=laboratory.runner,
            prompter=viewer(staff.place, path, laboratory.interpreter.version),
            record=self._record,
            heard=self._narrator.heard,
            price=self._start.settings.model.price,
            test_runs=laboratory.at_once,
            retries=self._access.retries,
        )
        self._engine = Engine(staff.protocol, ports, state)
        first = state.job.targets[0]
        shown = (FunctionId.parse(first.function),) if first.has_examples else ()
        laboratory.warm_up(Selection(first.tests, shown))
        self._narrator.waiting(state)
        stop = await self._engine.run()
        await self._prove_again(laboratory, stop)
        await laboratory.accepted(self._engine.state, stop)
        return ending.ended(self._start, self._engine.state, stop)

    async def _prove_again(self, laboratory: Laboratory, stop: Stop) -> None:
        """What was proven before an interruption is run once more; raises `Refused` when it fails now."""
        if self._past is None or self.state is None:
            return
        run = resume.unproven(self._past, self.state, stop)
        if run is None:
            return
        self._narrator.note("running everything the change can affect")
        self._record(ActionStarted(run.key, run, 1, 0, time=time.time()))
        report = await laboratory.runner.run(dict(run.candidate), run.selection)
        self._record(Verified(run.key, report, time.time()))
        resume.check(self.state, run, report)

    async def _laboratory(self, place: Workplace, path: str) -> Laboratory:
        """The laboratory of the folder that `path` lies in, here or on a cluster, until the job has ended."""
        laboratory = await self._open_laboratory(place, path)
        self._closing.push_async_callback(laboratory.close)
        if self._start.ray:
            laboratory = await spread(laboratory, place, self._narrator.note)
            self._closing.push_async_callback(laboratory.close)
        return laboratory

    def _open_model(self) -> OpenModel:
        """The model of the job's settings. Raises `ModelError` when they name none."""

        def waits(what: str) -> None:
            self._narrator.note(what or "asking the model")

        return self._access.open(self._start.settings, self._key, self._start.job_id, waits)

    def _open_log(self, place: Workplace) -> None:
        """Claim the job's log and begin it, or take up the one there; nothing is written before a refusal."""
        log = Log.claimed(place)
        try:
            if self._start.resume:
                past = resume.past(log.ledger, place)
                resumed = log.go_on(past.lost)
                self._past = fold(past.state, resumed) if past.state else None
                self._narrator.retell(past.events)
            else:
                log.begin(place)
        except SoaError:
            log.close()
            raise
        self._log = log

    def end(self, result: JobResult) -> None:
        """Write how it ended, and let go of the log."""
        if self._log is not None:
            self._log.end(result)

    def abandon(self) -> None:
        """Let go of the log without an end: what is in it can be resumed."""
        if self._log is not None:
            self._log.close()

    def _record(self, event: Event) -> None:
        assert self._log is not None  # noqa: S101 - opened before the first event
        self._log.record(event)


def _targets(place: Workplace) -> list[FunctionId]:
    """The functions to write; raises `UsageError` or `Refused` when there is nothing that may be written."""
    start = place.start
    if start.kind == "implementFile":
        return _stubs_of(place, start.targets)
    targets = [FunctionId.parse(target) for target in start.targets]
    if not targets:
        raise UsageError("No function was named. Name one as path/to/file.py::function.")
    for target in targets:
        place.function(target)
    _refuse_tests(place, targets)
    return targets


def _stubs_of(place: Workplace, where: Sequence[str]) -> list[FunctionId]:
    paths = [path for path in place.facts if not where or any(_lies_in(path, w) for w in where)]
    files = [place.facts[path] for path in paths if not _is_tests(place, path)]
    stubs = [FunctionId(f.path, fact.qualname) for f in files for fact in f.functions if fact.is_stub]
    if not stubs:
        name = ", ".join(where) or "The workspace"
        raise Refused(f"{name} has no stubs, so there is nothing to implement.")
    return stubs


def _lies_in(path: str, where: str) -> bool:
    return path == where or where in ("", ".") or path.startswith(where.rstrip("/") + "/")


def _refuse_tests(place: Workplace, targets: Sequence[FunctionId]) -> None:
    for path in (target.path for target in targets if _is_tests(place, target.path)):
        raise Refused(f"{path} belongs to the tests, which SoA never changes. Choose another function.")


def _is_tests(place: Workplace, path: str) -> bool:
    """Whether the file holds tests or configures pytest, by its name or by pytest's configuration."""
    folder = place.folder_of(path)
    inside = path.removeprefix(place.snapshot.prefix(folder))
    return bool(changes_tests([inside], test_patterns(folder.root)))
