"""Onward: where one test ends a whole run, the tests after it are run as well.

A test that cannot be interrupted, or that ends its process, takes the others along. In a workspace that is
broken that is nothing special: it is a failing test like any other.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from soa_agents.verify import records
from soa_agents.verify.report import Overlay, Report, Selection, TestResult, TestRunner

_GOES_ON = ("hang", "died", "memory", "processes")


@dataclass(frozen=True, slots=True)
class Onward:
    """A TestRunner that goes on after a test that ended the run, for `seconds` in all.

    Of a candidate it does so only where the same test ended a run without any: what ends by a candidate
    alone says enough of it.
    """

    runner: TestRunner
    seconds: float
    _ending: set[str] = field(default_factory=set)

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk with `overlay` over it."""
        until = time.monotonic() + self.seconds
        report = await self.runner.run(overlay, tests)
        while (last := ended_by(report)) is not None and time.monotonic() < until:
            if not overlay:
                self._ending.add(last.nodeid)
            elif last.nodeid not in self._ending:
                break
            told = tuple(r.nodeid for r in report.results if r.outcome != "missing")
            report = _joined(report, await self.runner.run(overlay, replace(tests, without=told)), tests)
        return report


def ended_by(report: Report) -> TestResult | None:
    """The test that ended the run before its time, if one did."""
    if report.fault not in _GOES_ON:
        return None
    return next((r for r in report.results if r.message == report.problem), None)


def _joined(first: Report, then: Report, tests: Selection) -> Report:
    told = [r for r in (*first.results, *then.results) if r.outcome != "missing"]
    results = list({r.nodeid: r for r in reversed(told)}.values())[::-1]
    return replace(
        then,
        results=(*results, *records.missing(tests.tests, results)),
        seconds=first.seconds + then.seconds,
        imported=tuple(dict.fromkeys((*first.imported, *then.imported))),
        refused=first.refused,
    )
