"""Each: several functions in one job, every one by the same inner protocol, then all of them together.

Alone a function is proven by its own tests; what else it may break runs once, cold, for all functions
together. Where that is red, those it points at get a last run of their own and go on from there, with what
the others have written in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from soa_agents.protocols.kept import Kept
from soa_agents.protocols.together import accepted_pieces, together
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.events import Target
from soa_agents.swarm.family import all_needs, needs
from soa_agents.swarm.port import CoordinationProtocol
from soa_agents.swarm.state import State
from soa_agents.verify.report import Selection

Doubted = Mapping[str, frozenset[str]]  # whom a run of all points at, and who was green beside them


@dataclass(frozen=True)
class Each:
    """Runs `inner` for every target, in parallel where none needs another; a lone one is passed through."""

    inner: CoordinationProtocol
    name: ClassVar[str] = "each"
    _kept: Kept = field(default_factory=Kept, init=False, repr=False, compare=False)

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The actions of every target whose needs are met; at the end one run of what all of them touch."""
        if len(state.job.targets) == 1:
            return self.inner.ready(state)
        doubted: Doubted = {}
        for number in itertools.count():
            wanted, stops = self._apart(state, doubted)
            if wanted:
                return wanted
            met = together(state, stops, number, doubted)
            if not isinstance(met, frozenset):
                return met
            good = frozenset(root for root, stop in stops.items() if stop.verdict == "passed")
            doubted = {**doubted, **{root: good - {root} for root in met}}
        raise AssertionError  # `count` does not end

    def _apart(self, state: State, doubted: Doubted) -> tuple[tuple[Action, ...], dict[str, Stop]]:
        """What is wanted for the targets one by one, and how those ended for which nothing is."""
        stops, wanted, left = dict[str, Stop](), list[Action](), list(state.job.targets)
        before = -1
        while len(left) != before:  # until nothing more follows from who has ended
            before = len(left)
            for target in tuple(left):
                if not self._needs(state, target) <= stops.keys():
                    continue
                left.remove(target)
                met = self._one(state, target, stops, doubted)
                if isinstance(met, Stop):
                    stops[target.function] = met
                else:
                    wanted += met
        # What calls functions that others still write may be written, but there is nothing to test yet.
        held = [target for target in left if stops.keys() >= set(target.needs)]
        waiting = [action for target in held for action in self._asks(state, target, stops, doubted)]
        if held and not wanted and not waiting:  # a circle: the first is tried on what they have by now
            met = self._one(state, held[0], stops, doubted)
            return (() if isinstance(met, Stop) else met), stops
        return (*wanted, *waiting), stops

    def _asks(
        self, state: State, target: Target, stops: Mapping[str, Stop], doubted: Doubted
    ) -> tuple[Ask, ...]:
        met = self._one(state, target, stops, doubted)
        return () if isinstance(met, Stop) else tuple(action for action in met if isinstance(action, Ask))

    def _needs(self, state: State, target: Target) -> frozenset[str]:
        root = target.function
        return self._kept.found(("needs", root), state, [root], None, lambda: needs(state, target))

    def _one(
        self, state: State, target: Target, stops: Mapping[str, Stop], doubted: Doubted
    ) -> tuple[Action, ...] | Stop:
        root = target.function
        below, beside = all_needs(state, target, self._needs), doubted.get(root, frozenset())

        def find() -> tuple[Action, ...] | Stop:
            texts = _with_needs(state, below, stops, beside)
            scope = replace(state.scope(root, texts), beside=beside)
            met = _already_green(scope) or self.inner.ready(scope)
            return met if isinstance(met, Stop) else _by_itself(scope, met, doubted)

        by = (doubted.get(root), {need: stops.get(need) for need in below})
        return self._kept.found(root, state, [root, *below, *beside], by, find)


def _already_green(scope: State) -> tuple[Verify, ...] | Stop | None:
    """A failing function may be innocent: what it needs is mended by now, so look before asking anybody."""
    if scope.target.goal != "regenerate" or scope.texts == scope.job.texts:
        return None
    files = tuple(sorted(scope.texts.items()))
    run = Verify(f"{scope.root}:as-it-is", files, Selection(scope.target.tests), "agent", scope.root)
    report = scope.report(run.key)
    if report is None:
        return None if scope.finished(run.key) else (run,)
    return Stop("passed") if judge.is_green(scope, report) else None


def _by_itself(scope: State, wanted: tuple[Action, ...], doubted: Doubted) -> tuple[Action, ...] | Stop:
    """What a target still wants alone: not the last run, which is made for all together.

    Unless it is doubted, or an example of its docstring fails, which gets a round of its own. When a limit
    lets nobody ask any more, what is green is still proven.
    """
    if scope.limit:
        wanted = tuple(action for action in wanted if isinstance(action, Verify))
        if not wanted:
            return Stop("failed", scope.limit)
    best = scope.best.get(scope.root)
    last = len(wanted) == 1 and isinstance(wanted[0], Verify) and wanted[0].purpose == "final"
    if best is None or not last or scope.root in doubted:
        return wanted
    shown = judge.examples(scope, best.report)
    return Stop("passed") if all(result.passed for result in shown) else wanted


def _with_needs(
    state: State, needs: Collection[str], stops: Mapping[str, Stop], beside: Collection[str]
) -> dict[str, str]:
    """The texts with what is needed in place: what is green, where a circle waits what is written.

    What is `beside` the target goes in as well.
    """
    good = {need for need in needs if need in stops and stops[need].verdict == "passed"} | {*beside}
    pieces = list(accepted_pieces(state, good))
    waiting = sorted(set(needs) - stops.keys() - good)
    pieces += [piece for need in waiting for piece in candidate.pieces(state, need)]
    if not pieces:
        return dict(state.job.texts)
    return {**state.job.texts, **dict(candidate.files_of(state.job.texts, pieces))}
