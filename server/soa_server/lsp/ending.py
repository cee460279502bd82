"""The last word to the person about a job: a message, and the buttons that fit how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from soa_agents.swarm.job import JobResult

from soa_server.lsp import consent, sentences
from soa_server.lsp.apply import Outcome, keep
from soa_server.lsp.jobs import Job, Request
from soa_server.lsp.person import Person

Press = Callable[[], Awaitable[None]]
Again = Callable[[Request], object]  # begins a job


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended. `outcome` says what became of its patch, `undo` takes an applied one back."""

    job: Job
    result: JobResult
    outcome: Outcome
    undo: Press


def tell(ending: Ending, person: Person, again: Again) -> None:
    """Say how the job ended. Buttons start jobs of their own; nobody waits for them."""
    update, job = ending.result.update, ending.job
    if update.state == "cancelled":
        return
    message = update.message or sentences.finished(update, job.request.name, len(job.agents))
    if update.state == "done" and update.verdict != "failed":
        person.offer(message, _after_edit(ending, person, message), warning=False)
        return
    kept = ending.outcome.kept
    if kept is not None and not person.client.shows_documents:
        message = f"{message} Its diff is in {kept}."
    person.offer(
        message, {**_after_edit(ending, person, message), **_ways_on(ending, person, again)}, warning=True
    )


def _after_edit(ending: Ending, person: Person, message: str) -> dict[str, Press]:
    """What can be done about an edit that the client applied, where it shows buttons at all."""
    done = ending.outcome.done
    client = person.client
    if done is None or not client.shows_buttons or client.stops_for_buttons:
        return {}

    undo: dict[str, Press] = {} if done.patch.created else {"Undo": ending.undo}

    async def show_diff() -> None:
        kept = keep(ending.job.id, ending.result)
        if kept is not None:
            await person.show(kept)
            if undo:  # whoever has seen it may want it gone, and the message went with its button
                person.offer(message, undo, warning=False)

    buttons: dict[str, Press] = {"Show diff": show_diff} if person.client.shows_documents else {}
    return {**buttons, **undo}


def _ways_on(ending: Ending, person: Person, again: Again) -> dict[str, Press]:
    job, result, kept = ending.job, ending.result, ending.outcome.kept
    request = replace(job.request, version=None, quiet=False, interrupted=None)
    buttons: dict[str, Press] = {}
    if kept is not None and person.client.shows_documents:
        title = "Show diff" if result.update.state == "refused" else "Show best diff"
        buttons[title] = lambda: person.show(kept)
    if result.refusal == "NoSandbox":
        buttons["Allow for this workspace"] = lambda: _allow(job, again)
        buttons["Not now"] = _nothing
    elif result.refusal == "NothingCollected":
        buttons["Generate anyway"] = lambda: _begin(again, replace(request, accept_unproven=True))
    elif ending.outcome.moved:
        buttons["Generate again"] = lambda: _begin(again, request)
    elif result.update.state == "failed" and result.update.verdict == "failed":
        buttons["Try again"] = lambda: _begin(again, request)
    return buttons


async def _allow(job: Job, again: Again) -> None:
    for folder in job.snapshot.folders:
        consent.allow(folder.root)
    again(replace(job.request, version=None, quiet=False, sandbox_consent=True, interrupted=None))


async def _begin(again: Again, request: Request) -> None:
    again(request)


async def _nothing() -> None:
    return None
