"""Which tests matter for a function: those seen to run it, and by name those that nobody has seen."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from soa_agents.jobs.workplace import Workplace
from soa_agents.protocols.together import accepted_pieces
from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Stop, Verify
from soa_agents.swarm.job import StartJob
from soa_agents.swarm.state import State
from soa_agents.verify.recorder import names_of
from soa_agents.verify.report import Overlay, Report, Selection, TestResult, TestRunner
from soa_agents.verify.testmap import Recalled, Seen, recall, remember
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import Reaching, tests_reaching

_FIRST, _QUICKLY = 30, 1.0  # tests that are run first, and their seconds; what failed last comes in any case
_BESIDE = 5.0  # seconds of tests that come along although they were not seen to run the function
_MANY = 20  # parameters of one test, from which on it is asked for as a whole


def reaching(place: Workplace, targets: Collection[FunctionId]) -> dict[FunctionId, Reaching]:
    """For each target the tests that reach it: `direct` those to begin with, `affected` all there may be."""
    by_name = {target: tests_reaching(place.graph, target) for target in targets}
    named = set(chain.from_iterable(each.affected for each in by_name.values()))
    found = recall(place.test_map, place.snapshot.text, targets, named)
    return {target: refined(each, target, found) for target, each in by_name.items()}


def refined(by_name: Reaching, target: FunctionId, found: Recalled) -> Reaching:
    """What names tell, put right by what was seen.

    A test whose record is still true runs the target if it did; of others names tell, and their old record.
    A passing one that did not run it may have found in a cache what it left there: such come along while
    they are quick. What runs while modules are imported affects whatever imports them.
    """
    runs = [seen for seen in found.tests if target in seen.ran]
    known = _by_name(found.tests)
    idle = [s for name in by_name.affected for s in known.get(name, ()) if s not in runs and _says_no(s)]
    beside = _quickest(idle, _BESIDE, least=0)
    names = set(by_name.affected) - _decided(known)
    imported = by_name.files if target in found.at_import else ()
    new = [name for name in by_name.direct if name in names]
    failing = [seen for seen in runs if not seen.passed]
    passing = [seen for seen in runs if seen.passed]
    by_itself = [seen for seen in passing if seen.nodeid.partition("[")[0] in by_name.direct]
    first = [*failing, *(_quickest(by_itself, _QUICKLY) or _quickest(passing, _QUICKLY))[:_FIRST]]
    return replace(
        by_name,
        direct=tuple(sorted({*_names(first), *new})),
        affected=tuple(sorted({*_names(runs), *_names(beside), *names, *imported})),
    )


def as_named(start: StartJob) -> Selection:
    """The tests that a job names, or all."""
    return Selection(tuple(start.targets)) if start.targets else Selection(everything=True)


def left_out(affected: Iterable[str], asked: Selection) -> list[str]:
    """What is affected and was not asked for, by itself or as a part of something else."""
    names = set(asked.tests)
    return [] if asked.everything else [name for name in affected if names.isdisjoint(names_of(name))]


def _by_name(tests: Iterable[Seen]) -> Mapping[str, Sequence[Seen]]:
    found: defaultdict[str, list[Seen]] = defaultdict(list)
    for seen in tests:
        found[seen.nodeid.partition("[")[0]].append(seen)
    return found


def _says_no(seen: Seen) -> bool:
    """Whether a test that was not seen to run a function does not run it: one that fails may stop before."""
    return seen.current and seen.passed


def _decided(known: Mapping[str, Sequence[Seen]]) -> set[str]:
    """The tests of which names need not be asked: every record of them is still true."""
    return {name for name, tests in known.items() if all(_says_no(seen) for seen in tests)}


def _quickest(tests: Sequence[Seen], seconds: float, least: int = 1) -> list[Seen]:
    """The cheapest first, until they take that long; so many in any case."""
    kept, total = list[Seen](), 0.0
    for seen in sorted(tests, key=lambda seen: (seen.seconds, seen.nodeid)):
        total += seen.seconds
        if total > seconds and len(kept) >= least:
            break
        kept.append(seen)
    return kept


def _names(tests: Sequence[Seen]) -> set[str]:
    """How to ask for them; a test of many parameters without them."""
    together = {name for name, same in _by_name(tests).items() if len(same) > _MANY}
    return {*together, *(seen.nodeid for seen in tests if seen.nodeid.partition("[")[0] not in together)}


@dataclass(frozen=True, slots=True)
class Remembering:
    """A TestRunner that remembers what each test ran, where nothing but open buffers lies over the disk.

    The last run of a candidate, and what is looked at again for its sake, need not be recorded once more;
    but what fails there and was never seen to run anything is, for it may be about the target.
    """

    runner: TestRunner
    place: Workplace
    _ran: dict[int, dict[str, TestResult]] = field(default_factory=dict)  # of each candidate that was tried

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk with `overlay` over it."""
        began, key = time.time(), hash(frozenset(overlay.items()))
        known = self._ran.get(key, {})
        if tests.cold and (known or not overlay):
            report = await self.runner.run(overlay, replace(tests, recorded=False))
            report = await self._with_what_failing_tests_run(overlay, _with_what_ran(report, known))
        else:
            report = await self.runner.run(overlay, tests)
            self._ran[key] = {r.nodeid: replace(r, message="", frames=(), output="") for r in report.results}
        if not overlay:
            await self.keep(report, overlay, began)
        return report

    async def _with_what_failing_tests_run(self, overlay: Overlay, report: Report) -> Report:
        blind = tuple(r.nodeid for r in report.tests if not (r.passed or r.ran or r.support or r.offline))
        if not blind or not overlay or report.fault:
            return report
        seen = await self.runner.run(overlay, Selection(blind, cold=True))
        return _with_what_ran(report, {r.nodeid: r for r in seen.results})

    async def accepted(self, state: State, stop: Stop) -> None:
        """Remember the cold runs of what is about to be offered: once it is applied they are true."""
        files = candidate.files_of(state.job.texts, accepted_pieces(state, stop.accepted))
        for progress in state.keys.values():
            run, report = progress.action, progress.report
            if isinstance(run, Verify) and run.candidate == files and report and report.rung == "cold":
                await self.keep(report, dict(files), state.job.time)

    async def keep(self, report: Report, overlay: Overlay, began: float) -> None:
        """Remember a run on `overlay` that began then; files saved since are not trusted."""

        def text(path: str) -> str | None:
            if path in overlay:
                return overlay[path]
            saved = path not in self.place.snapshot.buffers and self.place.saved_since(path, began)
            return None if saved else self.place.snapshot.text(path)

        await asyncio.to_thread(remember, self.place.test_map, text, report)


def _with_what_ran(report: Report, known: Mapping[str, TestResult]) -> Report:
    """A report that was not recorded, with what its tests ran before."""
    blind = {r.nodeid for r in report.results if not (r.ran or r.support)} & known.keys()
    told = (
        replace(r, ran=known[r.nodeid].ran, support=known[r.nodeid].support) if r.nodeid in blind else r
        for r in report.results
    )
    return replace(report, results=tuple(told))
