"""Going on with an interrupted job: its state is the fold of its events, and no reply is bought twice."""

from __future__ import annotations

from dataclasses import dataclass

from soa_agents.errors import Refused, TargetChanged
from soa_agents.jobs.workplace import Workplace
from soa_agents.protocols.together import accepted_pieces
from soa_agents.settings import Price
from soa_agents.swarm import budget, candidate, judge
from soa_agents.swarm.actions import Ask, Stop, Verify
from soa_agents.swarm.events import (
    ActionStarted,
    BaselineMeasured,
    CallLost,
    Event,
    JobEnded,
    JobResumed,
    JobStarted,
)
from soa_agents.swarm.fold import replay, without_lost_starts
from soa_agents.swarm.job import JobUpdate
from soa_agents.swarm.ledger import Ledger
from soa_agents.swarm.state import State
from soa_agents.verify.report import Report, Selection


@dataclass(frozen=True, slots=True)
class Past:
    """What an interrupted job had come to. `state` is None when it had not got to its agents.

    `events` end with what is not written down yet: that the calls in flight were lost.
    """

    events: tuple[Event, ...]
    state: State | None
    lost: tuple[CallLost, ...] = ()


def past(ledger: Ledger, place: Workplace) -> Past:
    """What is known of the job; raises `Refused` when there is nothing to go on with.

    `TargetChanged` when a file that it may write has another text now.
    """
    job_id = place.start.job_id
    events = tuple(ledger.events(job_id))
    if not events:
        raise Refused(f"There is no job {job_id} in this workspace's history. `soa history` lists them.")
    last = next((event for event in reversed(events) if isinstance(event, JobEnded | JobResumed)), None)
    if isinstance(last, JobEnded) and not _for_want_of_answers(last.update):
        raise Refused(
            f"Job {job_id} has ended ({last.update.state}), so there is nothing to resume. Start a new one."
        )
    if not any(isinstance(event, BaselineMeasured) for event in events):
        return Past((), None)
    lost = _lost(events, place.start.settings.model.price)
    kept = tuple(e for e in without_lost_starts((*events, *lost)) if not isinstance(e, JobEnded))
    state = replay(kept)
    _check_texts(state.job, place)
    return Past(kept, state, lost)


def _lost(events: tuple[Event, ...], price: Price | None) -> tuple[CallLost, ...]:
    """The calls that were in flight when the log broke off: sent, so paid, and to be asked again."""
    known, state = without_lost_starts(events), replay(events)
    flying = [event for event in events if isinstance(event, ActionStarted) and event not in known]
    asked = [event.key for event in flying if isinstance(event.action, Ask)]
    return tuple(CallLost(key, budget.unheard(state, key, price)) for key in asked)


def _for_want_of_answers(update: JobUpdate) -> bool:
    """An ending that another try may not have: the model was not there, the disk was full."""
    return update.state == "failed" and update.verdict is None


def _check_texts(job: JobStarted, place: Workplace) -> None:
    for path, text in job.texts.items():
        if place.texts.get(path) != text:
            raise TargetChanged(
                f"{path} changed since the job was interrupted, so its replies no longer fit. "
                "Bring the old text back, or generate it anew."
            )


def unproven(before: State, now: State, stop: Stop) -> Verify | None:
    """The run that is still owed before a resumed job's result is offered; None when nothing is.

    What was tested before the interruption was tested on a workspace that may have changed since.
    """
    files = _files(now, stop)
    old = {key for key, progress in before.keys.items() if progress.report}
    runs = _runs(now, files)
    fresh = [a.selection for a, report in runs if a.key not in old and report.rung == "cold"]
    targets = [t for t in now.job.targets if t.function in stop.accepted]
    wanted = {name for t in targets for name in (*t.tests, *t.affected)}
    tests = wanted - {name for selection in fresh for name in selection.tests}
    shown = {f for action, _ in runs for f in action.selection.doctests}
    shown -= {f for selection in fresh for f in selection.doctests}
    if not files or not (tests or shown):
        return None
    selection = Selection(tuple(sorted(tests)), tuple(sorted(shown, key=str)), cold=True)
    number = sum(key.startswith("resumed:") for key in now.keys)
    return Verify(f"resumed:{number}:final", files, selection, "final")


def check(now: State, run: Verify, report: Report) -> None:
    """Raises `Refused` when something fails that was green before the interruption."""
    green = {r.nodeid for source in _reports(now, run) for r in source.results if r.passed}
    red = next((r for r in report.results if not r.passed and r.nodeid in green), None)
    if red is None and not judge.spoilt(report):
        return
    what = f"{red.nodeid} passed before the interruption and fails now" if red else report.problem.rstrip(".")
    raise Refused(f"{what}, so the result is only kept to look at. Generate it anew.")


def _reports(now: State, run: Verify) -> list[Report]:
    same = [report for _, report in _runs(now, run.candidate)]
    return [now.baseline, *same, *(best.report for best in now.best.values())]


def _runs(state: State, files: tuple[tuple[str, str], ...]) -> list[tuple[Verify, Report]]:
    """The test runs made on a candidate."""
    known = ((p.action, p.report) for p in state.keys.values())
    return [(a, r) for a, r in known if isinstance(a, Verify) and r is not None and a.candidate == files]


def _files(now: State, stop: Stop) -> tuple[tuple[str, str], ...]:
    pieces = accepted_pieces(now, stop.accepted)
    if not pieces and stop.accepted:
        pieces = candidate.pieces(now, now.root)
    return candidate.files_of(now.job.texts, pieces) if pieces else ()
