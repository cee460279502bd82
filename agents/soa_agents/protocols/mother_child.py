"""Mother and Child: she writes her function and leaves parts to Children; red tests come back to her first.

After Ishibashi and Nishimura, "Self-Organized Agents" (arXiv 2404.02183), with Children working in parallel
and blamed only on evidence.
"""

from __future__ import annotations

from typing import ClassVar

from soa_agents.protocols import trial
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import Report


class MotherChild:
    """The native protocol: agents multiply with the problem, each keeps one function."""

    name: ClassVar[str] = "mother_child"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """First writes, then trials; after a red one, repairs; see the module's docstring."""
        now = trial.next_round(state)
        if not isinstance(now, trial.Round):
            return now
        if outside := _outside(state, now.n):
            return trial.give_up(state, outside)
        repairs = _round(state, now.n, now.about) if now.n else ()
        if repairs:
            return repairs
        writing = _first_writes(state, now.about)
        if writing:
            return writing
        root = state.nodes[state.root]
        if root.written is None:
            return Stop("failed", _why_unwritten(state, root))
        return (trial.trial(state, now.n),)


def _first_writes(state: State, about: str) -> tuple[Ask, ...]:
    """Agents that have written nothing for the specification they now have."""
    missing = [node for node in state.family(state.root) if node.written is None]
    asks = [_write(state, node, about) for node in missing]
    return tuple(ask for ask in asks if not state.finished(ask.key))


def _write(state: State, node: Node, about: str) -> Ask:
    step = "skeleton" if node.depth < state.job.limits.depth else "code"
    if node.before is not None:
        step = "modify"
    key = f"{node.agent}:write{node.brief}"
    return Ask(key, node.agent, step, str(node.function), about=about if node.before else "")  # type: ignore[arg-type]  # one of three steps


def _why_unwritten(state: State, node: Node) -> str:
    progress = state.keys.get(f"{node.agent}:write{node.brief}")
    return progress.failed if progress else ""


def _outside(state: State, n: int) -> str:
    """Why the root's agent holds that no change of hers can help: a broken fixture, a wrong test."""
    feedback = state.finished(f"{state.root}:r{n}:feedback")
    first = feedback.text.strip().partition("\n")[0] if feedback else ""
    if not first.lower().startswith("outside:"):
        return ""
    return f"The model finds the fault outside the function: {first.partition(':')[2].strip()}"


def _round(state: State, n: int, about: str) -> tuple[Action, ...]:
    """The repairs of round `n`, as far as they can start now.

    Children whose own docstring examples fail mend those first, once; that alone may turn the tests green
    and costs their Mothers nothing. Otherwise the round goes from the root down.
    """
    report = state.report(about)
    assert report is not None  # noqa: S101 - `about` is the key of a finished run
    family = list(state.family(state.root))
    own = [
        c for c in family[1:] if trial.own_examples(report, c.function) and not _mended_before(state, c, n)
    ]
    if own and not _asked(state, f"{state.root}:r{n}:feedback"):
        return tuple(action for child in own for action in _change(state, child, n, about, ""))
    return _down(state, state.nodes[state.root], n, about, "")


def _mended_before(state: State, child: Node, n: int) -> bool:
    return any(_asked(state, f"{child.agent}:r{k}:feedback") for k in range(1, n))


def _asked(state: State, key: str) -> bool:
    return key in state.keys


def _down(state: State, node: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """`node` is changed, then her Children as far as they are to blame, then theirs."""
    if node.parent is None:
        change = _change(state, node, n, about, observation)
    else:
        change = _change_if_blamed(state, node, n, about, observation)
    if change:
        return change
    key = f"{node.agent}:r{n}:feedback"
    seen = key if _asked(state, key) else observation
    live = [state.nodes[child] for child in state.nodes[node.agent].children]
    return tuple(a for child in live if child.written for a in _down(state, child, n, about, seen))


def _change_if_blamed(state: State, child: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """On evidence only: the traceback, her own examples, or tests she writes by her Mother's observation."""
    report = state.report(about)
    assert report is not None  # noqa: S101 - `about` is the key of a finished run
    if _on_stack(report, child) or trial.own_examples(report, child.function):
        return _change(state, child, n, about, observation)
    if n == 1 and ">>>" in child.spec and _mother_stands_by_it(state, child):
        return _change(state, child, n, about, observation) if _failing_tests_run(report, child) else ()
    if n == 1 and ">>>" in child.spec:
        return ()  # her own examples pass; she is doubted only if the Mother's change did not help
    tests = Ask(f"{child.agent}:r{n}:tests", child.agent, "tests", str(child.function), about, observation)
    written = state.finished(tests.key)
    if written is None:
        return (tests,)
    if written.failed:
        return ()
    run = trial.advice(state, f"{child.agent}:r{n}:advice", child, written.text)
    if state.finished(run.key) is None:
        return (run,)
    advised = state.report(run.key)
    if advised is None or all(r.passed for r in advised.results):
        return ()
    return _change(state, child, n, run.key, observation)


def _mother_stands_by_it(state: State, child: Node) -> bool:
    """Whether the Mother, asked to mend a red run, sent her own code again: what is left are her Children."""
    mother = state.nodes[child.parent or state.root]
    return mother.before is not None and mother.written == mother.before


def _failing_tests_run(report: Report, child: Node) -> bool:
    return any(child.function in r.ran for r in report.tests if not r.passed)


def _on_stack(report: Report, child: Node) -> bool:
    where = (child.function.path, child.function.qualname)
    failing = (r for r in report.tests if not r.passed)
    return any((frame.path, frame.function) == where for r in failing for frame in r.frames)


def _change(state: State, node: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """Feedback, then a new version; nothing when both are done."""
    target = str(node.function)
    feedback = Ask(f"{node.agent}:r{n}:feedback", node.agent, "feedback", target, about, observation)
    if state.finished(feedback.key) is None:
        return (feedback,)
    modify = Ask(f"{node.agent}:r{n}:modify", node.agent, "modify", target, about, feedback.key)
    return () if state.finished(modify.key) else (modify,)
