"""What happened in a job, step by step: prompts, replies, test runs, and what has come of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from soa_agents.errors import SoaError
from soa_agents.models.port import Message
from soa_agents.patch import Patch
from soa_agents.protocols.together import accepted_pieces
from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    CallLost,
    Event,
    JobEnded,
    JobStarted,
    PromptRefused,
    Replied,
    Verified,
)
from soa_agents.swarm.fold import replay
from soa_agents.verify.report import Report

_End = Replied | Verified | ActionFailed | CallLost | PromptRefused


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that did not pass, and what it said."""

    nodeid: str
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test run, counted."""

    passed: int
    failed: int
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One call of a model, or one test run. `reply` and `report` are None until they are there."""

    agent_id: str
    step: str
    messages: tuple[Message, ...] = ()
    reply: str | None = None
    model: str = ""
    report: Outcome | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file's text before the job and with its result, or with the best candidate so far."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A job in the order it happened."""

    entries: tuple[Entry, ...]
    files: tuple[FileChange, ...]


def trace(events: Sequence[Event]) -> Trace:
    """What is known of a job, which may still be running."""
    return Trace(tuple(_entries(events)), tuple(_files(events)))


def _entries(events: Sequence[Event]) -> Iterator[Entry]:
    made: list[Entry] = []
    at: dict[str, int] = {}
    for event in events:
        if isinstance(event, ActionStarted):
            ask = event.action if isinstance(event.action, Ask) else None
            at[event.key] = len(made)
            made.append(Entry(event.action.agent, ask.step if ask else "test run", event.messages))
        elif isinstance(event, _End) and event.key in at:
            number = at[event.key]
            made[number] = _ended(made[number], event)
    yield from made


def _ended(entry: Entry, event: _End) -> Entry:
    if isinstance(event, Replied):
        return replace(entry, reply=event.text, model=event.model)
    if isinstance(event, Verified):
        return replace(entry, report=_outcome(event.report), problem=event.report.problem)
    return replace(entry, problem=event.message or "Nobody waited for the reply.")


def _outcome(report: Report) -> Outcome:
    run = [result for result in report.results if result.outcome != "skipped"]
    failed = [result for result in run if not result.passed]
    failures = tuple(Failure(result.nodeid, result.message) for result in failed)
    return Outcome(len(run) - len(failed), len(failed), failures)


def _files(events: Sequence[Event]) -> Iterator[FileChange]:
    started = [event for event in events if isinstance(event, JobStarted)]
    if not started:
        return
    texts = started[-1].texts
    try:
        patch = _patch(events)
        after = patch.apply(texts)
    except SoaError:  # a candidate that does not fit its texts is no result to show
        return
    for path in patch.paths:
        yield FileChange(path, texts.get(path, ""), after.get(path, ""))


def _patch(events: Sequence[Event]) -> Patch:
    ended = [event for event in events if isinstance(event, JobEnded)]
    if ended and ended[-1].patch.edits:
        return ended[-1].patch
    state = replay(events)
    pieces = accepted_pieces(state, tuple(target.function for target in state.job.targets))
    return candidate.patch_of(dict(state.job.texts), pieces) if pieces else Patch()
