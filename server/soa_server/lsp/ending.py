"""The last word to the person about a job: a message, and the buttons that fit how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from soa_agents.swarm.job import JobResult

from soa_server.lsp import consent, sentences
from soa_server.lsp.jobs import Job, Request

if TYPE_CHECKING:
    from soa_server.lsp.controller import Controller

Press = Callable[[], Awaitable[None]]


def tell(controller: Controller, job: Job, result: JobResult, kept: Path | None, *, moved: bool) -> None:
    """Say how the job ended. Buttons start jobs of their own; nobody waits for them."""
    update = result.update
    person = controller.person
    if update.state == "cancelled":
        return
    if update.state == "done" and update.verdict != "failed":
        person.tell(update.message or sentences.finished(update, job.request.name, len(job.agents)))
        return
    message = update.message or sentences.finished(update, job.request.name, len(job.agents))
    if kept is not None and not person.client.shows_documents:
        message = f"{message} Its diff is in {kept}."
    person.offer(message, _buttons(controller, job, result, kept, moved=moved))


def _buttons(
    controller: Controller, job: Job, result: JobResult, kept: Path | None, *, moved: bool
) -> dict[str, Press]:
    request = replace(job.request, version=None)
    buttons: dict[str, Press] = {}
    if kept is not None and controller.person.client.shows_documents:
        title = "Show diff" if result.update.state == "refused" else "Show best diff"
        buttons[title] = lambda: controller.person.show(kept)
    if result.refusal == "NoSandbox":
        buttons["Allow for this workspace"] = lambda: _allow(controller, job)
        buttons["Not now"] = _nothing
    elif result.refusal == "NothingCollected":
        buttons["Generate anyway"] = lambda: _again(controller, replace(request, accept_unproven=True))
    elif moved:
        buttons["Generate again"] = lambda: _again(controller, request)
    elif result.update.state == "failed" and result.update.verdict == "failed":
        buttons["Try again"] = lambda: _again(controller, request)
    return buttons


async def _allow(controller: Controller, job: Job) -> None:
    for folder in job.snapshot.folders:
        consent.allow(folder.root)
    await _again(controller, replace(job.request, version=None, sandbox_consent=True))


async def _again(controller: Controller, request: Request) -> None:
    controller.begin(request)


async def _nothing() -> None:
    return None
