"""One job on the command line: run the engine in this process, show its agents, write the result."""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

import click
from soa_agents.errors import SoaError
from soa_agents.swarm.job import AgentUpdate, JobKind, JobResult, JobUpdate, StartJob
from soa_agents.swarm.ledger import note_end

from soa_server.cli import exits, place, reports, show, words, write
from soa_server.cli.options import Output, Workspace


def run(workspace: Workspace, kind: JobKind, targets: Sequence[str], output: Output) -> int:
    """Run one job to its end, print it and write it where that was asked for. Returns the exit code."""
    return run_start(workspace, new_job(workspace, kind, targets), workspace.key, output)


def run_start(workspace: Workspace, start: StartJob, key: str | None, output: Output) -> int:
    """The same for a job that is there already; `key` is the model's."""
    result, agents = _run(start, key)
    return finish(workspace, output, result, agents)


def ran(workspace: Workspace, kind: JobKind, targets: Sequence[str]) -> tuple[JobResult, int]:
    """Run one job and show it while it runs. Returns how it ended and how many agents took part."""
    return _run(new_job(workspace, kind, targets), workspace.key)


def _run(start: StartJob, key: str | None) -> tuple[JobResult, int]:
    with show.Progress(show.console(stderr=True)) as progress:
        result = asyncio.run(_engine(start, key, progress))
    return result, progress.board.size


def new_job(workspace: Workspace, kind: JobKind, targets: Sequence[str]) -> StartJob:
    """A job on the disk's texts: the command line has no open documents."""
    return StartJob(
        job_id=uuid.uuid4().hex[:12],
        kind=kind,
        folders=(place.folder_ref(workspace.root),),
        targets=tuple(targets),
        settings=workspace.settings,
        buffers={},
        sandbox_consent=workspace.sandbox_consent,
        ray=workspace.ray,
    )


async def _engine(start: StartJob, key: str | None, progress: show.Progress) -> JobResult:
    from soa_agents.jobs import Note, run_job  # loads the whole engine, which `--help` does not need

    def listen(update: JobUpdate | AgentUpdate | Note) -> None:
        if isinstance(update, AgentUpdate):
            progress.agent(update)
        elif isinstance(update, Note):
            progress.note(update.message)
        elif update.usage is not None:
            progress.spent(update.usage)

    cancelled = asyncio.Event()
    with _first_interrupt_sets(cancelled):
        return await run_job(start, key, listen, cancelled)


@contextmanager
def _first_interrupt_sets(cancelled: asyncio.Event) -> Iterator[None]:
    """The first Ctrl-C (or SIGTERM) asks the job to end and keep what it has; a second one ends at once."""
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def interrupted(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.default_int_handler)
        loop.call_soon_threadsafe(cancelled.set)

    for number in before:
        signal.signal(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(workspace: Workspace, output: Output, result: JobResult, agents: int) -> int:
    """Print a finished job (a diff, or one JSON object), write it if asked to. Returns the exit code."""
    diff = result.patch.unified(result.texts or {}) if result.patch.edits else ""
    if diff and not output.json:
        show.console().print(show.diff(diff), end="")
    written = ""
    if output.apply or output.branch:
        try:
            written = write.result(workspace.root, output, result)
        except SoaError as error:
            update = replace(result.update, state="refused", message=str(error))
            result = replace(result, update=update, exit_code=exits.of(error))
            note_end([workspace.root], update, result.patch)
    if output.json:
        click.echo(json.dumps(_payload(result.update, diff), ensure_ascii=False))
    exits.say(words.ending(result.update, agents))
    for sentence in (_kept(result, diff), written, reports.of_job(workspace.root, result, output.report)):
        if sentence:
            exits.say(sentence)
    return result.exit_code


def _payload(update: JobUpdate, diff: str) -> dict[str, object]:
    from soa_agents.wire import params

    return {**params(update), "patch": diff}


def _kept(result: JobResult, diff: str) -> str:
    """What a person should know of a diff that is not proven, and of lines that can fool tests."""
    if result.update.flags:
        lines = ", ".join(f"line {flag.line} ({flag.why})" for flag in result.update.flags)
        return f"It passes its tests but may fool them: {lines}. Read it before you use it."
    if diff and result.update.state in ("failed", "cancelled") and result.offer != "apply":
        return "The diff above is the best so far; it is not proven and was not written."
    used = result.update.usage
    if result.update.state == "failed" and result.update.verdict is None and used and used.calls:
        return f"Its replies are kept; go on with soa resume {result.update.job_id[:12]} when that is mended."
    if not diff and result.update.state == "cancelled":
        return "No candidate had been tested yet, so there is no diff; nothing was written."
    return ""
