"""The engine process: JSON lines in, JSON lines out. A language server starts it at its first job.

In: `{"type": "start", "job": …}`, `{"type": "secret", "jobId", "value"}`, `{"type": "cancel", "jobId"}`,
and what the editor's model answers (`models/relayed`); the end of input shuts it down. Out: `job` and `agent`
(parameters of the notifications), `progress`, questions to the editor's model, and exactly one `result` for
every job that was started.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from soa_agents import wire
from soa_agents.jobs import Note, run_job
from soa_agents.models.access import Access
from soa_agents.models.relayed import Relay
from soa_agents.swarm.job import AgentUpdate, JobResult, JobUpdate, StartJob

Send = Callable[[dict[str, Any]], None]


@dataclass
class _Running:
    cancelled: asyncio.Event
    secret: asyncio.Future[str | None]
    task: asyncio.Task[None] | None = None


@dataclass
class EngineProcess:
    """The jobs of one process. `send` writes one message."""

    send: Send
    jobs: dict[str, _Running] = field(default_factory=dict)
    access: Access = field(init=False)
    relay: Relay = field(init=False)

    def __post_init__(self) -> None:
        self.relay = Relay(self.send)
        self.access = Access(self.relay)

    def receive(self, message: dict[str, Any]) -> None:
        """Act on one message; an unknown job is none of ours any more."""
        match message.get("type"):
            case "start":
                self._start(wire.start_job(message["job"]))
            case "secret" if (job := self.jobs.get(message["jobId"])) and not job.secret.done():
                job.secret.set_result(message["value"])
            case "cancel" if job := self.jobs.get(message["jobId"]):
                job.cancelled.set()
            case "chunk" | "chatResult" | "chatFailed":
                self.relay.hear(message)

    async def close(self) -> None:
        """Stop everything and wait until nothing runs.

        A server that ends in good order has cancelled its jobs; one that died leaves them to be resumed.
        """
        tasks = [job.task for job in self.jobs.values() if job.task]
        for job in self.jobs.values():
            if job.task and not job.cancelled.is_set():
                job.task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, start: StartJob) -> None:
        loop = asyncio.get_running_loop()
        job = self.jobs[start.job_id] = _Running(asyncio.Event(), loop.create_future())
        job.task = loop.create_task(self._run(start, job))

    async def _run(self, start: StartJob, job: _Running) -> None:
        key = await job.secret
        if key is None:
            key = os.environ.get(start.settings.model.api_key_env)
        try:
            result = wire.to_json(await run_job(start, key, self._heard, job.cancelled, self.access))
        except Exception as error:  # the process serves other jobs too; this one is told what happened
            result = wire.to_json(_crashed(start, error))
        del self.jobs[start.job_id]
        self.send({"type": "result", "jobId": start.job_id, "result": result})

    def _heard(self, update: JobUpdate | AgentUpdate | Note) -> None:
        match update:
            case JobUpdate():
                self.send({"type": "job", "params": wire.params(update)})
            case AgentUpdate():
                self.send({"type": "agent", "params": wire.params(update)})
            case Note():
                fraction = None if update.fraction is None else round(update.fraction * 100)
                said = {"type": "progress", "jobId": update.job_id, "message": update.message}
                self.send(said if fraction is None else {**said, "percentage": fraction})


def _crashed(start: StartJob, error: Exception) -> JobResult:
    what = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    message = f"SoA failed inside ({what}). Nothing was changed; try again, and report it if it comes back."
    target = start.targets[0] if start.targets else ""
    return JobResult(JobUpdate(start.job_id, start.kind, target, "failed", message=message), exit_code=1)


async def serve(lines: BinaryIO, send: Send) -> None:
    """Serve until the lines end."""
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def read() -> None:
        for line in lines:
            loop.call_soon_threadsafe(inbox.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(inbox.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    process = EngineProcess(send)
    while (message := await inbox.get()) is not None:
        process.receive(message)
    await process.close()


def main() -> None:
    """Speak on the standard streams; whatever else prints goes to standard error."""
    # What is loaded stays, and jobs make many values but hardly a cycle: looking for one is rarely due.
    gc.freeze()
    gc.set_threshold(50_000)
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message, ensure_ascii=False).encode() + b"\n")

    with contextlib.suppress(BrokenPipeError):  # the server is gone, and with it everybody who would listen
        asyncio.run(serve(sys.stdin.buffer, send))
    # Every job has ended. The interpreter's own end would take a while with all that is loaded, and wait for
    # threads that read a large workspace.
    os._exit(0)


if __name__ == "__main__":
    main()
