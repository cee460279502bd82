"""Each: several functions in one job, every one by the same inner protocol, then all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Action, Stop, Verdict, Verify
from soa_agents.swarm.assembly.assemble import Piece
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.state import State
from soa_agents.verify.report import Selection


@dataclass(frozen=True)
class Each:
    """Runs `inner` for every target, in parallel where none needs another; a lone one is passed through."""

    inner: CoordinationProtocol
    name: ClassVar[str] = "each"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The actions of every target whose needs are met; at the end one run of what all of them touch."""
        if len(state.job.targets) == 1:
            return self.inner.ready(state)
        stops: dict[str, Stop] = {}
        wanted: list[Action] = []
        for target in state.job.targets:  # in order of need
            if not all(need in stops for need in target.needs):
                continue
            scope = state.scope(target.function, _with_needs(state, target.needs, stops))
            met = _already_green(scope) or self.inner.ready(scope)
            if isinstance(met, Stop):
                stops[target.function] = met
            else:
                wanted += met
        return tuple(wanted) if wanted else _together(state, stops)


def _already_green(scope: State) -> tuple[Verify, ...] | Stop | None:
    """A failing function may be innocent: what it needs is mended by now, so look before asking anybody."""
    if scope.target.goal != "regenerate" or scope.texts == scope.job.texts:
        return None
    files = tuple(sorted(scope.texts.items()))
    run = Verify(f"{scope.root}:as-it-is", files, Selection(scope.target.tests), "agent", scope.root)
    report = scope.report(run.key)
    if report is None:
        return None if scope.finished(run.key) else (run,)
    return Stop("passed") if judge.verdict(scope, report) == "passed" else None


def accepted_pieces(state: State, roots: tuple[str, ...]) -> tuple[Piece, ...]:
    """What the best candidates of these roots consist of, in the job's order."""
    order = [t.function for t in state.job.targets if t.function in roots]
    return tuple(piece for root in order if root in state.best for piece in state.best[root].pieces)


def _with_needs(state: State, needs: tuple[str, ...], stops: dict[str, Stop]) -> dict[str, str]:
    good = tuple(need for need in needs if stops[need].verdict == "passed")
    if not good:
        return dict(state.job.texts)
    return {**state.job.texts, **dict(candidate.files_of(state.job.texts, accepted_pieces(state, good)))}


def _together(state: State, stops: dict[str, Stop]) -> tuple[Verify, ...] | Stop:
    good = tuple(root for root, stop in stops.items() if stop.verdict == "passed")
    if not good:
        return Stop("failed", next((s.reason for s in stops.values() if s.reason), ""))
    verdict: Verdict = "passed" if len(good) == len(stops) else "failed"
    if sum(root in state.best for root in good) == 1:
        return Stop(verdict, accepted=good)
    pieces = accepted_pieces(state, good)
    affected = {name for t in state.job.targets if t.function in good for name in (*t.affected, *t.tests)}
    selection = Selection(tests=tuple(sorted(affected)), cold=True)
    run = Verify("together", candidate.files_of(state.job.texts, pieces), selection, "final")
    report = state.report(run.key)
    if report is None:
        return Stop("failed", state.keys[run.key].failed) if state.finished(run.key) else (run,)
    unknown, broken = judge.newly_red(state, run.key)
    if unknown:
        before = Verify(judge.before_key(run.key), (), Selection(unknown, cold=True), "final")
        return Stop("failed", state.keys[before.key].failed) if state.finished(before.key) else (before,)
    if judge.spoilt(report) or broken:
        again = judge.red_once(state, run)
        return again or Stop("failed", "Each function passes alone, but together they break tests.")
    return Stop(verdict, accepted=good)
