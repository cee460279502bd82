"""What a report proves about a function. Pure; the only place where red and green are told apart."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import replace

from soa_agents.swarm.actions import Verdict, Verify
from soa_agents.swarm.family import all_needs
from soa_agents.swarm.state import State
from soa_agents.verify.brief import signature
from soa_agents.verify.report import Report, Selection, TestResult
from soa_agents.workspace.ids import FunctionId

_FEW = 20  # tests that may fail by accident at once


def counted(state: State, report: Report, placed: Collection[str] | None = None) -> tuple[TestResult, ...]:
    """The tests that prove something about the root in scope: seen to run it, in the baseline or now.

    Where it runs while modules are imported no test can be seen to run it: there those count that were red.
    A test that stops at another function nobody has written yet, without the root on the stack, says nothing
    about the root, neither before nor after; nor does one that needs the network, which no run has; nor a red
    one that runs another target besides, unless the code of that was in place (`placed`, by default what the
    root needs and what stands beside it).
    """
    told = _told(state, report)
    beside = _beside(state, told, placed)
    return tuple(r for r in told if r not in beside)


def in_words(results: Sequence[TestResult]) -> str:
    """How many of those that count pass; where there are none, that no test was seen to run the function."""
    passed = sum(result.passed for result in results)
    return f"{passed} of {len(results)} tests pass" if results else "no test was seen to run it"


def _told(state: State, report: Report) -> list[TestResult]:
    function = FunctionId.parse(state.root)
    seen = state.baseline.running(function) | report.running(function)
    if function in (*state.baseline.imported, *report.imported):
        seen |= {r.nodeid for r in report.tests if _was_red(state, r.nodeid)}
    told = (r for r in report.tests if r.nodeid in seen and not r.offline)
    return [r for r in told if not _stops_elsewhere(state, r)]


def _beside(
    state: State, told: Sequence[TestResult], placed: Collection[str] | None = None
) -> tuple[TestResult, ...]:
    """Those of the red that run another target as well whose new code was not in place: what is wrong may
    be that. `placed` are the targets whose code was, where they are not those of the scope."""
    red = [r for r in told if not r.passed]
    if not red or len(state.job.targets) == 1:
        return ()
    inside = all_needs(state, state.target) | state.beside if placed is None else placed
    others = {target.function for target in state.job.targets} - {state.root, *inside}
    before = {r.nodeid: r.ran for r in state.baseline.tests}
    return tuple(r for r in red if not others.isdisjoint(map(str, (*r.ran, *before.get(r.nodeid, ())))))


def _was_red(state: State, nodeid: str) -> bool:
    """Whether a test of the root failed before anything was changed, or its file could not be read."""
    if not {nodeid, path := nodeid.partition("::")[0]} & set(state.target.tests):
        return False
    before = {r.nodeid: r for r in state.baseline.tests}
    found = before.get(nodeid) or before.get(path)
    return found is not None and found.outcome in ("failed", "error", "timeout")


def examples(state: State, report: Report) -> tuple[TestResult, ...]:
    """The docstring examples of the root in scope that were run."""
    function = FunctionId.parse(state.root)
    return tuple(r for r in report.doctests if r.doctest == function and r.outcome != "skipped")


def broken(state: State, report: Report) -> tuple[TestResult, ...]:
    """Tests that passed before anything was changed and do not pass now."""
    passing = {r.nodeid for r in state.baseline.tests if r.passed}
    return tuple(r for r in report.tests if r.nodeid in passing and not r.passed)


def hung(state: State) -> frozenset[str]:
    """The tests that did not end before anything was changed."""
    return frozenset(r.nodeid for r in state.baseline.tests if r.outcome == "timeout")


def newly_red(state: State, final: str) -> tuple[tuple[str, ...], tuple[TestResult, ...]]:
    """What the final run of that key does not pass: tests nobody has seen before, and tests it breaks.

    The former become the latter, or innocent, once the run behind `before_key` has shown them unchanged.
    """
    whole, before = state.report(final), state.report(before_key(final))
    known = {r.nodeid: r.passed for source in (before, state.baseline) if source for r in source.tests}
    red = [r for r in whole.tests if not r.passed] if whole else []
    unknown = () if before else tuple(r.nodeid for r in red if r.nodeid not in known)
    return unknown, tuple(r for r in red if known.get(r.nodeid))


def blamed(state: State, run: Verify) -> frozenset[str]:
    """Whom a last run of several targets points at: those that a test it breaks ran, or whose own tests fail.

    All of them, where a broken test ran none; nobody where the run is clean. Where it breaks nothing, a test
    that was red before points first at those of whose own tests the smallest part passes.
    """
    report = state.report(run.key)
    if report is None or spoilt(report):
        return frozenset(run.roots)
    _, red = newly_red(state, run.key)
    found = [root for root in run.roots if _refuted(state.scope(root), report, red, run.roots)]
    if red:
        return frozenset(found or run.roots)
    speaks = {root: _speaking(counted(state.scope(root), report, run.roots)) for root in found}
    return frozenset(root for root in found if speaks[root] == min(speaks.values()))


def _refuted(scope: State, report: Report, red: Sequence[TestResult], placed: Collection[str]) -> bool:
    proof = counted(scope, report, placed) or examples(scope, report)
    function = FunctionId.parse(scope.root)
    return not proof or any(not r.passed for r in proof) or any(r.runs(function) for r in red)


def _speaking(proof: Sequence[TestResult]) -> float:
    return sum(r.passed for r in proof) / len(proof) if proof else 0.0


def settled(report: Report, again: Report) -> Report:
    """A report after a second run of what is red in it: what passes then is flaky, and counts as passed."""
    passed = {r.nodeid: replace(r, flaky=True) for r in again.tests if r.passed}
    return replace(report, results=tuple(passed.get(r.nodeid, r) for r in report.results))


def red_once(state: State, run: Verify) -> tuple[Verify, ...]:
    """The second run of what a final run does not pass; nothing when it was made, or would say nothing."""
    whole = state.report(run.key)
    red = [r for r in whole.tests if not r.passed and r.outcome != "timeout"] if whole else []
    return _run_again(state, run, red)


def newly_failing(state: State, n: int) -> tuple[Verify, ...]:
    """The second run of what the trial `n` does not pass and the baseline or an earlier trial did.

    What hangs, or fails with many others, is no accident and is not run again.
    """
    run, report = state.keys[trial_key(state.root, n)].action, state.report(trial_key(state.root, n))
    if report is None or not isinstance(run, Verify):
        return ()
    earlier = (state.report(trial_key(state.root, k)) for k in range(n))
    green = {r.nodeid for each in (state.baseline, *earlier) if each for r in each.tests if r.passed}
    red = [r for r in report.tests if r.nodeid in green and not r.passed]
    accident = len(red) <= _FEW and all(r.outcome != "timeout" for r in red)
    return _run_again(state, run, red) if accident else ()


def _run_again(state: State, run: Verify, red: Sequence[TestResult]) -> tuple[Verify, ...]:
    report = state.report(run.key)
    if not red or report is None or spoilt(report) or state.finished(again_key(run.key)):
        return ()
    selection = Selection(tuple(r.nodeid for r in red), cold=report.rung == "cold")
    return (Verify(again_key(run.key), run.candidate, selection, "again", run.agent),)


def again_key(run: str) -> str:
    """The key of the second run of what the run of that key does not pass."""
    return f"{run}:again"


def run_of(again: str) -> str:
    """The key of the run that `again_key` was made from."""
    return again.removesuffix(":again")


def flaky(state: State) -> tuple[str, ...]:
    """The tests of this job that failed on a candidate and passed on it when they were run once more."""
    reports = (progress.report for progress in state.keys.values() if progress.report)
    return tuple(dict.fromkeys(r.nodeid for report in reports for r in report.tests if r.flaky))


def together_key(number: int) -> str:
    """The key of the last run of that number, from 0, of all targets together."""
    return f"together:{number}" if number else "together"


def last_together(state: State) -> tuple[Collection[str], Report | None]:
    """Of which targets the last run together was made, and what it said; nothing where there was none."""
    found: tuple[Collection[str], Report | None] = ((), None)
    for number in itertools.count():
        known = state.keys.get(together_key(number))
        if known is None or not isinstance(known.action, Verify) or known.report is None:
            return found
        found = known.action.roots, known.report
    raise AssertionError  # `count` does not end


def before_key(final: str) -> str:
    """The key of the run that shows unchanged what a final run does not pass."""
    return f"{final}:before"


def verdict(state: State, report: Report) -> Verdict:
    """`passed`: everything counted passes and nothing broke. `untested`: nothing ran the function.

    A docstring example decides only where no test does; one that fails beside passing tests is named, not
    believed.
    """
    proof = counted(state, report)
    if spoilt(report) or broken(state, report) or any(not r.passed for r in proof):
        return "failed"
    shown = examples(state, report)
    if not proof and any(not r.passed for r in shown):
        return "failed"
    if not proof and _beside(state, _told(state, report)):
        return "passed"  # as far as can be seen: the run of all together has the last word
    return "passed" if proof or shown else "untested"


def is_green(state: State, report: Report) -> bool:
    """Whether the root passes, and nothing that runs it is red for the sake of another target perhaps."""
    return verdict(state, report) == "passed" and not _beside(state, _told(state, report))


def owes_final(state: State, report: Report) -> bool:
    """Whether a candidate whose trial ended well must be run once more before it is offered.

    Everything affected has to run, and in a new process of its own.
    """
    return report.rung != "cold" or set(state.target.affected) - hung(state) > set(state.target.tests)


def confirms(state: State, trial: Report, final: Report) -> bool:
    """Whether the final run says of the root what its trial said; a cold trial has the last word itself."""
    return trial.rung == "cold" or verdict(state, final) == verdict(state, trial)


def spoilt(report: Report) -> bool:
    """Whether the run as a whole went wrong, so that it proves nothing."""
    return report.fault not in ("", "no_tests")


def never_began(report: Report) -> bool:
    """Whether the run went wrong before it told of any test, so that it points at nobody's code."""
    return spoilt(report) and all(r.outcome == "missing" for r in report.results)


def why_none_began(state: State) -> str:
    """Why the first run of several targets together never began: one sentence, or nothing."""
    report = state.report(together_key(0))
    return report.problem if report and never_began(report) else ""


def score(state: State, report: Report) -> tuple[int, int, int]:
    """How good a candidate is, for keeping the best: larger is better."""
    passing = sum(r.passed for r in counted(state, report))
    shown = sum(r.passed for r in examples(state, report))
    return (-len(broken(state, report)), passing, shown)


def trial_key(root: str, n: int) -> str:
    """The key of the root's n-th trial, 0 before any repair."""
    return f"{root}:r{n}:trial"


def stuck(state: State, n: int) -> str:
    """Why another round would lead nowhere, after the root's trial `n`: one sentence, or nothing.

    The same code again, or for the third time in a row the same failures.
    """
    trials = [state.keys[trial_key(state.root, k)] for k in range(n + 1)]
    runs = [trial.action for trial in trials if isinstance(trial.action, Verify)]
    if any(run.candidate == runs[-1].candidate for run in runs[:-1]):
        return "The model wrote the same code again."
    failures = [trial.report and signature(trial.report) for trial in trials[-3:]]
    if len(failures) == 3 and failures[0] == failures[1] == failures[2]:
        return "Three rounds in a row ended in the same failures."
    return ""


def _stops_elsewhere(state: State, result: TestResult) -> bool:
    """Whether a red test stops, before it comes to the root, at something that is not the root's to mend."""
    if result.passed:
        return False
    stack = {f"{frame.path}::{frame.function}" for frame in result.frames}
    if state.root in stack:
        return False
    return _could_not_start(state, result) or _at_another_stub(state, result)


def _could_not_start(state: State, result: TestResult) -> bool:
    """A set-up that failed in the same way before: a missing fixture, say."""
    before = next((r for r in state.baseline.tests if r.nodeid == result.nodeid), None)
    same = before is not None and (before.outcome, before.message) == (result.outcome, result.message)
    return same and result.outcome == "error" and "::" in result.nodeid


def _at_another_stub(state: State, result: TestResult) -> bool:
    if not result.frames:
        return False
    innermost = FunctionId(result.frames[-1].path, result.frames[-1].function)
    targets = (target.function for target in state.job.targets)
    written = innermost not in state.job.unwritten and str(innermost) not in targets
    return not written and str(innermost) not in state.owned(state.root)
