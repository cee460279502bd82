"""A command's way: claimed, answered, handed to the engine, its events passed on, its result applied.

Everything runs on the server's loop; a command returns its job's id at once and the rest follows in the job's
own task.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import cattrs
from soa_agents import wire
from soa_agents.errors import ModelError, Refused, SoaError
from soa_agents.swarm.job import JobResult, JobState, JobUpdate, StartJob
from soa_agents.workspace.snapshot import Snapshot

from soa_server.lsp import sentences, to_lsp
from soa_server.lsp.apply import Outcome, keep, offer, remember, undo
from soa_server.lsp.chat import Chat
from soa_server.lsp.documents import file_of
from soa_server.lsp.ending import Ending, tell
from soa_server.lsp.jobs import (
    Job,
    Request,
    claim_name,
    folders_of,
    taken_up,
)
from soa_server.lsp.progress import Progress
from soa_server.lsp.session import Session
from soa_server.lsp.starting import start_of
from soa_server.lsp.supervisor import Engine

JOB = "soa/job"
AGENT = "soa/agent"
SECRET = "soa/secret"  # noqa: S105 - the name of a request
CANCEL_SECONDS = 5.0  # after which an engine that does not end a cancelled job is ended itself

logger = logging.getLogger(__name__)


class Controller:
    """Owns the running jobs and the engine."""

    def __init__(self, session: Session, engine: Sequence[str]) -> None:
        self.person = session.person
        self.documents = session.documents
        self.configuration = session.configuration
        self.diagnostics = session.diagnostics
        self.jobs = session.jobs
        self._complaints: dict[str, str] = {}  # of quiet jobs, by target
        self._engine = Engine(engine, self._hear, self._engine_died)
        self.chat = Chat(self.person, self._engine.post)
        self.on_loss: Callable[[Collection[str]], None] = lambda job_ids: None  # when the engine died
        self._tasks: set[asyncio.Task[None]] = set()

    # -- beginning

    def begin(self, request: Request) -> str:
        """Take a request as it stands now; its job's id. What follows, refusals too, comes as `soa/job`."""
        document = self.documents.get(request.uri)
        disk = document.path if document is not None else None
        try:
            disk = file_of(request.uri)
            snapshot = self.documents.snapshot(self.documents.folders_for(disk))
            path = snapshot.path(disk) or disk.name
        except Refused:  # told by the job itself, after its id was answered
            snapshot, path = Snapshot(()), request.uri
        target = f"{path}::{request.qualname}" if request.qualname else path
        shown = self.person.client.progress and not request.quiet
        progress = Progress(self.person, shown, f"SoA: {request.name}")
        job = Job(request, document, snapshot, progress, target)
        self.jobs.add(job)
        job.work = self._spawn(self._start(job))
        return job.id

    def take_up(self, start: StartJob) -> None:
        """Go on with an interrupted job under its own id, on the texts as they are now."""
        request = taken_up(start)
        snapshot = self.documents.snapshot(folders_of(start))
        progress = Progress(self.person, self.person.client.progress, f"SoA: {request.name}")
        target = next(iter(start.targets), "")
        job = Job(request, self.documents.get(request.uri), snapshot, progress, target, id=start.job_id)
        self.jobs.add(job)
        job.work = self._spawn(self._start(job))

    async def _start(self, job: Job) -> None:
        try:
            start = await start_of(job, self.jobs, self.configuration, self.person.client)
            self._running(job)
            key = await self._secret(job)
            job.handed_over = True
            await self._engine.send(
                {"type": "start", "job": wire.to_json(start)},
                {"type": "secret", "jobId": job.id, "value": key},
            )
        except asyncio.CancelledError:
            self._end(job, self._update(job, "cancelled", sentences.cancelled(job.request.name)))
        except SoaError as refusal:
            state: JobState = "failed" if isinstance(refusal, ModelError) else "refused"
            self._end(job, self._update(job, state, str(refusal)))
        except OSError as error:
            self._end(job, self._update(job, "failed", sentences.engine_missing(str(error))))
        except Exception:
            logger.exception("a job could not be started")
            self._end(job, self._update(job, "failed", sentences.broken(job.request.name)))

    def _running(self, job: Job) -> None:
        self.person.notify(JOB, wire.params(self._update(job, "running", "")))
        first = "running its tests" if job.request.kind == "runTests" else "starting the engine"
        self._spawn(job.progress.begin(first))

    async def _secret(self, job: Job) -> str | None:
        """The model's key from the client's keeping; None lets the engine use its environment."""
        if "secret" not in self.person.client.supports:
            return None
        name = job.resolved.settings.model.api_key_env
        answer = await self.person.ask(SECRET, {"name": name})
        value = answer.get("value") if isinstance(answer, dict) else None
        return value if isinstance(value, str) and value else None

    # -- what the engine says

    def _hear(self, message: dict[str, Any]) -> None:
        kind = message.get("type")
        if kind == "log":
            logger.warning("engine: %s", message.get("text"))
            return
        if kind in ("chat", "chatCancel"):
            self.chat.hear(message)
            return
        params = message.get("params")
        named = params if isinstance(params, dict) else message
        job = self.jobs.get(str(named.get("jobId")))
        if job is None:
            return
        if kind == "job" and named.get("state") == "running":
            self.person.notify(JOB, named)
        elif kind == "agent":
            self._agent(job, named)
        elif kind == "progress":
            job.progress.report(str(message.get("message", "")), _percentage(message.get("percentage")))
        elif kind == "result" and not job.ended.is_set():
            job.settling = True
            self._spawn(self._finish(job, message.get("result")))

    def _agent(self, job: Job, params: dict[str, Any]) -> None:
        job.agents.add(str(params.get("agentId")))
        function = params.get("function")
        if isinstance(function, str) and "::" in function and job.request.kind != "runTests":
            self.jobs.join(job, function)
        self.person.notify(AGENT, params)

    def _engine_died(self) -> None:
        self.chat.close()
        lost = [job for job in self.jobs.all() if job.handed_over and not job.settling]
        for job in lost:
            state: JobState = "cancelled" if job.cancelled else "failed"
            say = sentences.cancelled if job.cancelled else sentences.engine_died
            self._end(job, self._update(job, state, say(job.request.name)))
        if kept := [job.id for job in lost if not job.cancelled]:
            self.on_loss(kept)

    # -- ending

    async def _finish(self, job: Job, data: Any) -> None:
        try:
            result = wire.job_result(data)
            await self._settle(job, result)
        except cattrs.BaseValidationError:
            logger.exception("the engine's result could not be read")
            self._end(job, self._update(job, "failed", sentences.broken(job.request.name)))
        except Exception:
            logger.exception("a result could not be handled")
            self._end(job, self._update(job, "failed", sentences.broken(job.request.name)))

    async def _settle(self, job: Job, result: JobResult) -> None:
        """Apply what may be applied, then end the job as that went."""
        update = replace(result.update, message=" ".join(result.update.message.split()))
        if job.cancelled:
            message = update.message if update.state == "cancelled" else ""
            message = message or sentences.cancelled(job.request.name)
            update = replace(update, state="cancelled", verdict=None, message=message)
            if result.update.state != "cancelled":  # it had ended before the cancel reached it
                self._spawn(asyncio.to_thread(remember, job, result, update, Outcome()))
            self._end(job, update)
            return
        outcome = Outcome()
        stands = job.request.kind == "runTests"  # whether the tests' outcome is that of the person's text
        if result.patch.edits and result.offer in ("apply", "preview"):
            outcome = await offer(job, result, self.documents, self.person)
            stands = outcome.done is not None
            if not stands:
                update = replace(update, state="refused", message=outcome.sentence)
        elif result.patch.edits and result.offer == "keep":
            outcome = Outcome(kept=keep(job.id, result))
        if result.offer in ("apply", "preview"):
            self._spawn(asyncio.to_thread(remember, job, result, update, outcome))
        if stands:
            self._publish(job, result)
        self.person.refresh_lenses()
        self._end(job, update)

        async def take_back() -> None:
            if outcome.done is not None:
                await undo(job, outcome.done, self.documents, self.person)

        if self._is_news(job, update):
            tell(Ending(job, replace(result, update=update), outcome, take_back), self.person, self.begin)

    def _publish(self, job: Job, result: JobResult) -> None:
        changed = self.diagnostics.update(result.failures, result.passing, job.snapshot)
        tests = result.update.tests
        green = tests is not None and tests.after.passed > 0 and not tests.after.failed
        (self.diagnostics.proven.add if green else self.diagnostics.proven.discard)(job.target)
        for uri, failing in changed.items():
            document = self.documents.get(uri)
            shown = [to_lsp.diagnostic(each, self.person.client) for each in failing]
            self.person.notify(*to_lsp.diagnostics(document.uri if document else uri, shown))

    def _end(self, job: Job, update: JobUpdate) -> None:
        """The one ending of every job: its last `soa/job`, its progress, its claims."""
        if job.ended.is_set():
            return
        if update.state in ("failed", "refused", "cancelled") and not update.message:
            update = replace(update, message=sentences.broken(job.request.name))
        self.jobs.remove(job)
        if "::" in job.target:
            said = update.message or sentences.finished(update, job.request.name, len(job.agents))
            self.jobs.said[claim_name(job.snapshot, job.target)] = said
        self.person.notify(JOB, wire.params(update))
        job.progress.end(update.message)
        if not job.handed_over and update.state != "cancelled" and self._is_news(job, update):
            self.person.tell(update.message, warning=True)

    def _is_news(self, job: Job, update: JobUpdate) -> bool:
        """Whether a message is due. A quiet job speaks only of what went wrong, and not of the same twice."""
        if not job.request.quiet:
            return True
        before = self._complaints.pop(job.target, "")
        if update.state == "done":
            return False
        self._complaints[job.target] = update.message
        return update.message != before

    def _update(self, job: Job, state: JobState, message: str) -> JobUpdate:
        return JobUpdate(job.id, job.request.kind, job.target, state, message=message)

    # -- cancelling

    def cancel(self, job_id: str) -> None:
        """Cancel a job; one that has ended is left alone."""
        job = self.jobs.get(job_id)
        if job is None or job.cancelled:
            return
        job.cancelled = True
        if job.handed_over:
            self._spawn(self._cancel_in_engine(job))
        elif job.work is not None:
            job.work.cancel()

    async def _cancel_in_engine(self, job: Job) -> None:
        try:
            await self._engine.send({"type": "cancel", "jobId": job.id})
            await asyncio.wait_for(job.ended.wait(), CANCEL_SECONDS)
        except (OSError, TimeoutError):
            if not job.settling:
                self._end(job, self._update(job, "cancelled", sentences.cancelled(job.request.name)))
                await self._engine.kill()

    async def cancel_all(self, seconds: float) -> None:
        """Cancel every job and wait for their ends, but no longer than that."""
        jobs = self.jobs.all()
        for job in jobs:
            self.cancel(job.id)
        if jobs:
            await asyncio.wait([asyncio.ensure_future(job.ended.wait()) for job in jobs], timeout=seconds)
        for job in jobs:
            self._end(job, self._update(job, "cancelled", sentences.cancelled(job.request.name)))

    async def close(self) -> None:
        """End the engine and everything that waits."""
        self.chat.close()
        await self._engine.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _percentage(value: Any) -> int | None:
    return min(max(int(value), 0), 100) if isinstance(value, int | float) else None
