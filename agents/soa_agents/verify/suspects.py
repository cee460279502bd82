"""Which functions a red run points at. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from soa_agents.verify.report import Frame, TestResult
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import is_test_file


def suspects(
    results: Collection[TestResult], calls: Mapping[str, tuple[FunctionId, ...]] | None = None
) -> tuple[FunctionId, ...]:
    """Functions to look at, the most likely first.

    In order: the innermost frame of each failure that is no test's; functions called in the failing assertion
    (`calls`: node id -> what its failing line calls, where somebody knows); then all that failing tests run,
    by Ochiai: run by failing and rarely by passing tests.
    """
    failing = [r for r in results if not r.passed and r.outcome not in ("skipped", "missing")]
    by_frame = Counter(f for r in failing if (f := _innermost(r.frames)) is not None)
    called = Counter(f for r in failing for f in (calls or {}).get(r.nodeid, ()))
    passing = [r for r in results if r.passed]
    ranked = ochiai(failing, passing)
    order = dict.fromkeys([*_by_count(by_frame, ranked), *_by_count(called, ranked)])
    order |= dict.fromkeys(sorted(ranked, key=lambda f: (-ranked[f], f)))
    tests = {
        r.nodeid.partition("[")[0] for r in results
    }  # in files that only pytest's configuration calls tests
    return tuple(f for f in order if f"{f.path}::{f.qualname.replace('.', '::')}" not in tests)


def ochiai(failing: Collection[TestResult], passing: Iterable[TestResult]) -> dict[FunctionId, float]:
    """For every function that a failing test runs, failed / sqrt(all failing * all that run it)."""
    failed = Counter(f for r in failing for f in r.ran)
    passed = Counter(f for r in passing for f in r.ran)
    return {f: n / math.sqrt(len(failing) * (n + passed[f])) for f, n in failed.items()}


def _innermost(frames: tuple[Frame, ...]) -> FunctionId | None:
    """The function of the innermost frame that is no test's; a lambda or comprehension is its function's."""
    for frame in reversed(frames):
        if is_test_file(frame.path):
            continue
        name = frame.function.partition(".<locals>.<")[0]
        if not name.startswith("<"):
            return FunctionId(frame.path, name)
    return None


def _by_count(found: Counter[FunctionId], ranked: Mapping[FunctionId, float]) -> list[FunctionId]:
    return sorted(found, key=lambda f: (-found[f], -ranked.get(f, 0.0), f))
