"""Together: the last run of several functions that are green each by itself, and what it means. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Stop, Verify
from soa_agents.swarm.assembly.assemble import Piece
from soa_agents.swarm.state import State
from soa_agents.verify.report import Selection
from soa_agents.workspace.ids import FunctionId

_ALONE = "They pass alone, but together with the others they break tests."


def accepted_pieces(state: State, roots: Collection[str]) -> tuple[Piece, ...]:
    """What the best candidates of these roots consist of, in the job's order."""
    order = [t.function for t in state.job.targets if t.function in roots]
    return tuple(piece for root in order if state.is_written(root) for piece in state.best[root].pieces)


def together(
    state: State, stops: Mapping[str, Stop], number: int, doubted: Collection[str]
) -> tuple[Verify, ...] | Stop | frozenset[str]:
    """The run of that number of all that is green, the end, or whom that run points at.

    `stops` is how each target ended by itself, `doubted` are those that earlier runs pointed at.
    """
    good = tuple(root for root, stop in stops.items() if stop.verdict == "passed")
    written = tuple(root for root in good if state.is_written(root))
    if not written or (len(written) == 1 and state.best[written[0]].proven):
        return _end(state, stops, good)
    run = _known(state, number) or _next(state, number, written, doubted)
    if not run.roots:
        return Stop("failed", judge.why_none_began(state) or _ALONE)
    report = state.report(run.key)
    if report is None:
        return Stop("failed", state.keys[run.key].failed) if state.finished(run.key) else (run,)
    unknown, _ = judge.newly_red(state, run.key)
    if unknown:
        selection = Selection(unknown, cold=True)
        before = Verify(judge.before_key(run.key), (), selection, "final", roots=run.roots)
        return Stop("failed", state.keys[before.key].failed) if state.finished(before.key) else (before,)
    if blamed := judge.blamed(state, run):
        return judge.red_once(state, run) or blamed
    return _end(state, stops, tuple(root for root in good if root in run.roots or root not in written))


def _known(state: State, number: int) -> Verify | None:
    known = state.keys.get(judge.together_key(number))
    return known.action if known and isinstance(known.action, Verify) else None


def _next(state: State, number: int, written: tuple[str, ...], doubted: Collection[str]) -> Verify:
    """The run that is due: of all; of those nobody points at, where nothing changed since an earlier run."""
    run = _run(state, number, written)
    earlier = (_known(state, k) for k in range(number))
    if any(each is not None and each.candidate == run.candidate for each in earlier):
        return _run(state, number, tuple(root for root in written if root not in doubted))
    return run


def _run(state: State, number: int, roots: tuple[str, ...]) -> Verify:
    targets = [target for target in state.job.targets if target.function in roots]
    own = {name for target in targets for name in target.tests}
    affected = {name for target in targets for name in target.affected}
    selection = Selection(
        tests=tuple(sorted((affected - judge.hung(state)) | own)),
        doctests=tuple(FunctionId.parse(t.function) for t in targets if t.has_examples),
        cold=True,
    )
    files = candidate.files_of(state.job.texts, accepted_pieces(state, roots))
    return Verify(judge.together_key(number), files, selection, "final", roots=roots)


def _end(state: State, stops: Mapping[str, Stop], accepted: tuple[str, ...]) -> Stop:
    """All of them passed, or those that did, with the first reason why others did not.

    What no test was seen to run is offered where nothing passed, to be looked at.
    """
    untested = tuple(root for root, stop in stops.items() if stop.verdict == "untested")
    if untested and not accepted and not any(stop.verdict == "passed" for stop in stops.values()):
        return Stop("untested", accepted=untested)
    if len(accepted) == len(state.job.targets):
        return Stop("passed", accepted=accepted)
    reasons = [stop.reason for root, stop in stops.items() if root not in accepted]
    left = any(stops[root].verdict == "passed" for root in stops if root not in accepted)
    said = state.limit or (_ALONE if left else "" if accepted else next(filter(None, reasons), ""))
    return Stop("failed", said, accepted)
