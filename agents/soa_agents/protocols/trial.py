"""Trials, rounds and their end: what every protocol that tests one function's candidates shares. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from soa_agents.protocols.advice import unproven
from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Ask, Stop, Verify
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import Report, Selection
from soa_agents.workspace.ids import FunctionId

_NOTHING = Selection(cold=True)


@dataclass(frozen=True, slots=True)
class Round:
    """What comes next: round `n` (0 before any trial), by the red report of the key `about`."""

    n: int
    about: str = ""


def next_round(state: State, *, patient: bool = False) -> Round | tuple[Ask | Verify, ...] | Stop:
    """The round the root is in, or what its last trial calls for instead of another one.

    Who is `patient` counts rounds in another way, and what was tried before may be tried again.
    """
    n = 0
    while state.finished(judge.trial_key(state.root, n)):
        n += 1
    if n == 0:
        return Round(0)
    met = outcome(state, n - 1, patient=patient)
    return Round(n, met) if isinstance(met, str) else met


def trial(state: State, n: int, author: str = "") -> Verify:
    """The test run on what the family has written by now, docstring examples of all its agents included.

    `author` is the member of the root's team whose version it is.
    """
    writer = author or _author(state, n)
    written = candidate.pieces(state, writer)
    renamed = candidate.renamed(state, written)
    called = dict(renamed)
    shown = [called.get(a.agent, a.function) for a in state.family(writer) if _has_examples(state, a)]
    return Verify(
        key=judge.trial_key(state.root, n),
        candidate=candidate.files_of(state.texts, written),
        selection=Selection(tests=state.target.tests, doctests=tuple(dict.fromkeys(shown))),
        purpose="candidate",
        agent=state.root,
        renamed=renamed,
        author="" if writer == state.root else writer,
    )


def _author(state: State, n: int) -> str:
    """Who wrote what the trial `n` was about."""
    known = state.keys.get(judge.trial_key(state.root, n))
    return (known.action.author if known and isinstance(known.action, Verify) else "") or state.root


def outcome(state: State, n: int, *, patient: bool = False) -> tuple[Ask | Verify, ...] | Stop | str:
    """What the trial `n` means: the end, one more run before the end, or the key of the red report to go by.

    Everything affected runs once more before a green candidate is accepted; what it breaks sends it back.
    """
    key = judge.trial_key(state.root, n)
    report = state.report(key)
    if report is None:
        return give_up(state, state.keys[key].failed)
    verdict = judge.verdict(state, report)
    if verdict == "failed" and (again := judge.newly_failing(state, n)):
        return again
    if verdict != "failed" and judge.owes_final(state, report) and _final(state, n).selection != _NOTHING:
        met = _whole(state, n, patient)
        if met is not None:
            return met
    if verdict == "passed":
        wrong = [r for r in judge.examples(state, report) if not r.passed]
        if wrong and n == 0 and state.job.limits.rounds > 0 and not patient:
            return key  # one round for an example that its own tests contradict; then it is only named
        return Stop("passed", accepted=(state.root,))
    return unproven(state, _author(state, 0)) if verdict == "untested" else _again(state, n, key, patient)


def _whole(state: State, n: int, patient: bool) -> tuple[Verify, ...] | Stop | str | None:
    """The run of everything else that is affected: still to be made, red, or (None) nothing broken.

    What is red there and was never seen before is run once unchanged: it may have been red all along. What
    was green then is run once more: it may be flaky.
    """
    last = _final(state, n)
    whole = state.report(last.key)
    if whole is None:
        return give_up(state, state.keys[last.key].failed) if state.finished(last.key) else (last,)
    if judge.never_began(whole):  # its own tests began: asking again would buy the same
        return give_up(state, whole.problem)
    unknown, broken = judge.newly_red(state, last.key)
    if unknown:
        before = Verify(judge.before_key(last.key), (), Selection(unknown, cold=True), "final", state.root)
        return give_up(state, state.keys[before.key].failed) if state.finished(before.key) else (before,)
    trial = state.report(judge.trial_key(state.root, n))
    confirmed = trial is not None and judge.confirms(state, trial, whole)
    if confirmed and not broken and not judge.spoilt(whole):
        return None
    return judge.red_once(state, last) or _again(state, n, last.key, patient)


def _again(state: State, n: int, key: str, patient: bool) -> Stop | str:
    """The red report to go by, unless the rounds are used up or lead nowhere."""
    if patient:
        return key
    stuck = judge.stuck(state, n)
    if n < state.job.limits.rounds and not stuck:
        return key
    report = state.report(key)
    spoilt = report.problem if report and judge.spoilt(report) else ""
    return give_up(state, " ".join(said for said in (spoilt, stuck) if said))


def give_up(state: State, reason: str = "") -> Stop:
    """The end without success; an earlier candidate that passed still counts."""
    best = state.best.get(state.root)
    if best is not None and best.proven:
        return Stop("passed", accepted=(state.root,))
    return Stop("failed", reason)


def own_examples(report: Report, function: FunctionId) -> bool:
    """Whether docstring examples of that function fail in the report."""
    return any(r.doctest == function and r.outcome not in ("passed", "skipped") for r in report.doctests)


def _final(state: State, n: int) -> Verify:
    """What the trial has not run in a new process: all of it, unless the trial itself was cold."""
    hung = judge.hung(state)
    affected = [name for name in state.target.affected if name not in hung]
    again, done = trial(state, n), state.report(judge.trial_key(state.root, n))
    if done is not None and done.rung == "cold":
        others = tuple(name for name in affected if name not in state.target.tests)
        selection = Selection(tests=others, cold=True)
    else:
        whole = tuple(dict.fromkeys([*state.target.tests, *affected]))
        selection = Selection(whole, again.selection.doctests, cold=True)
    return replace(again, key=f"{state.root}:r{n}:final", selection=selection, purpose="final")


def _has_examples(state: State, node: Node) -> bool:
    return ">>>" in node.spec or (str(node.function) == state.root and state.target.has_examples)
