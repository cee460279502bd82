"""From a request to what the engine is started with: checked, claimed, with the settings of its folder."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from soa_agents.errors import Refused, TargetChanged, TargetMissing
from soa_agents.models.relayed import no_editor
from soa_agents.settings import Settings
from soa_agents.swarm.job import FolderRef, StartJob, resumed
from soa_agents.workspace.functions import functions
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place

from soa_server.lsp import consent
from soa_server.lsp.configuration import Configuration
from soa_server.lsp.documents import Document, file_of
from soa_server.lsp.from_lsp import Client
from soa_server.lsp.jobs import Job, Jobs, Request


async def start_of(job: Job, jobs: Jobs, configuration: Configuration, client: Client) -> StartJob:
    """Check a job's request, claim what it may write, read its settings into the job.

    Raises `Refused` when it must not start, `NoModel` when the client does not offer the model that is set.
    """
    if job.request.interrupted is not None:
        return await _start_again(job, job.request.interrupted, jobs, configuration, client)
    request, snapshot = job.request, job.snapshot
    disk = file_of(request.uri)
    check_version(request, job.document)
    path = snapshot.path(disk) or disk.name
    text = job.document.text if job.document else await asyncio.to_thread(snapshot.text, path)
    if text is None or disk.suffix != ".py":
        raise Refused(f"{disk.name} cannot be read as Python; check that it is a readable .py file.")
    wanted = targets(request, path, text)
    jobs.claim(job, claimed(request, path, text))
    folder = snapshot.folder(path)
    root = folder.root if folder is not None else disk.parent
    job.resolved = await configuration.folder(root)
    settings = job.resolved.settings
    _check_model(request, settings, client)
    return StartJob(
        job_id=job.id,
        kind=request.kind,
        folders=tuple(FolderRef(each.name, str(each.root)) for each in snapshot.folders),
        targets=wanted,
        settings=replace(settings, protocol=request.protocol or settings.protocol),
        buffers=dict(snapshot.buffers),
        sandbox_consent=request.sandbox_consent or job.resolved.sandbox_consent or await _allowed(root),
        accept_unproven=request.accept_unproven,
        interpreter_choice=configuration.interpreter(root),
    )


async def _start_again(
    job: Job, start: StartJob, jobs: Jobs, configuration: Configuration, client: Client
) -> StartJob:
    """An interrupted job keeps its settings; the open texts, the model's place and consents are of today."""
    jobs.claim(job, (target for target in start.targets if "::" in target and start.kind != "fix"))
    root = job.snapshot.folders[0].root
    job.resolved = await configuration.folder(root)
    _check_model(job.request, job.resolved.settings, client)
    consented = start.sandbox_consent or await _allowed(root)
    again = resumed(start, job.resolved.settings.model, dict(job.snapshot.buffers))
    return replace(again, sandbox_consent=consented)


async def _allowed(root: Path) -> bool:
    return await asyncio.to_thread(consent.allowed, root)


def _check_model(request: Request, settings: Settings, client: Client) -> None:
    asks = request.kind != "runTests"
    if asks and settings.model.provider == "editor" and "chat" not in client.supports:
        raise no_editor()


def targets(request: Request, path: str, text: str) -> tuple[str, ...]:
    """What the engine is asked for, and what of the file the job claims comes from it.

    Raises `TargetMissing` when the file has no such function, docstring or stub.
    """
    if request.kind == "implementFile":
        if not any(function.is_stub for function in functions(path, text)):
            raise TargetMissing(f"{path} has no stubs to implement; open a file that has some.")
        return (path,)
    if not request.qualname:
        return (path,)
    function = FunctionId(path, request.qualname)
    known = any(found.id == function for found in functions(path, text))
    if request.kind == "stubs" and docstring_place(path, text, request.qualname) is None:
        what = path if request.qualname == FunctionId.MODULE else f"{request.name} in {path}"
        raise TargetMissing(f"{what} has no docstring to make stubs from; write one first.")
    if request.kind != "stubs" and not known:
        raise TargetMissing(
            f"There is no function {request.qualname} in {path}; check its name and try again."
        )
    return (str(function),)


def claimed(request: Request, path: str, text: str) -> tuple[str, ...]:
    """The functions that a job may write from the start."""
    if request.kind == "runTests":
        return ()
    if request.kind == "implementFile":
        return tuple(str(function.id) for function in functions(path, text) if function.is_stub)
    return (str(FunctionId(path, request.qualname)),)


def check_version(request: Request, document: Document | None) -> None:
    """Raise `TargetChanged` when the command was made for another version than the open document's."""
    if document is not None and request.version is not None and request.version != document.version:
        raise TargetChanged(
            f"{request.name} changed after this was offered, so nothing was started; pick the action again."
        )
