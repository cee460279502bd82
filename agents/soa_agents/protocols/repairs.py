"""Repairs: after a red run, whose code is changed: from the root down, Children on evidence only. Pure."""

from __future__ import annotations

from soa_agents.protocols import trial
from soa_agents.protocols.advice import advice
from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Action, Ask
from soa_agents.swarm.state import Node, State
from soa_agents.verify.suspects import ochiai


def repairs(state: State, n: int, about: str) -> tuple[Action, ...]:
    """The repairs of round `n`, as far as they can start now.

    Children whose own docstring examples fail mend those first, once; that alone may turn the tests green
    and costs their Mothers nothing. Otherwise the round goes from the root down.
    """
    report = state.report(about)
    assert report is not None  # noqa: S101 - `about` is the key of a finished run
    family = list(state.family(state.root))
    failing = [c for c in family[1:] if trial.own_examples(report, candidate.called(state, about, c))]
    agents = {child.agent for child in failing}
    innermost = (c for c in failing if not agents & {n.agent for n in list(state.family(c.agent))[1:]})
    own = [child for child in innermost if not _mended_before(state, child, n)]
    if own and not _asked(state, f"{state.root}:r{n}:feedback"):
        return tuple(a for child in own for a in change(state, child, f"{child.agent}:r{n}", about, ""))
    return _down(state, state.nodes[state.root], n, about, "")


def alone_key(child: Node) -> str:
    """The key of the run of her examples on her own branch."""
    return f"{child.agent}:alone{child.brief}"


def _mended_before(state: State, child: Node, n: int) -> bool:
    alone = _asked(state, f"{alone_key(child)}:feedback")
    return alone or any(_asked(state, f"{child.agent}:r{k}:feedback") for k in range(1, n))


def _asked(state: State, key: str) -> bool:
    return key in state.keys


def _down(state: State, node: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """`node` is changed, then her Children as far as they are to blame, then theirs."""
    if node.parent is None:
        wanted = change(state, node, f"{node.agent}:r{n}", about, observation)
    else:
        wanted = _change_if_blamed(state, node, n, about, observation)
    if wanted:
        return wanted
    key = f"{node.agent}:r{n}:feedback"
    seen = key if _asked(state, key) else observation
    live = [state.nodes[child] for child in state.nodes[node.agent].children]
    return tuple(a for child in live if child.written for a in _down(state, child, n, about, seen))


def _change_if_blamed(state: State, child: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """On evidence only: the traceback, her own examples, or tests she writes by her Mother's observation.

    Whose examples pass is doubted only when her Mother's change did not help, or there was none and nothing
    points at anybody else; then first she whom the failing tests run and the passing ones do not.
    """
    key = f"{child.agent}:r{n}"
    if _points_at(state, about, child):
        return change(state, child, key, about, observation)
    if n == 1 and ">>>" in child.spec:
        doubted = _doubted(state, about) if _mother_stands_by_it(state, child) else ()
        if child.agent not in doubted:
            return ()
        if len(doubted) == 1:
            return change(state, child, key, about, observation)
    tests = Ask(f"{key}:tests", child.agent, "tests", str(child.function), about, observation)
    written = state.finished(tests.key)
    if written is None:
        return (tests,)
    if written.failed:
        return ()
    run = advice(state, f"{key}:advice", child, written.text)
    if state.finished(run.key) is None:
        return (run,)
    advised = state.report(run.key)
    if advised is None or all(r.passed for r in advised.results):
        return ()
    return change(state, child, key, run.key, observation)


def _mother_stands_by_it(state: State, child: Node) -> bool:
    """Whether the Mother, asked to mend a red run, sent her own code again: what is left are her Children."""
    mother = state.nodes[child.parent or state.root]
    return mother.before is not None and mother.written == mother.before


def _points_at(state: State, run: str, child: Node) -> bool:
    """Whether the run itself is evidence against her: a traceback through her, or her own examples."""
    report, function = state.report(run), candidate.called(state, run, child)
    if report is None:
        return False
    where = (function.path, function.qualname)
    failing = (r for r in report.tests if not r.passed)
    on_stack = any((frame.path, frame.function) == where for r in failing for frame in r.frames)
    return on_stack or trial.own_examples(report, function)


def _doubted(state: State, run: str) -> tuple[str, ...]:
    """Whom to doubt of those whose examples pass: none while there is evidence against another Child.

    Of those that the failing tests run it is she whom the fewest passing tests run (Ochiai), with her equals.
    """
    below, report = list(state.family(state.root))[1:], state.report(run)
    if report is None or any(_points_at(state, run, child) for child in below):
        return ()
    failing = [r for r in report.tests if not r.passed]
    ranked = ochiai(failing, [r for r in report.tests if r.passed])
    shown = [child for child in below if ">>>" in child.spec]
    shares = {c.agent: ranked.get(candidate.called(state, run, c), 0.0) for c in shown}
    most = max(shares.values(), default=0.0)
    return tuple(agent for agent, share in shares.items() if share == most > 0)


def change(state: State, node: Node, key: str, about: str, observation: str) -> tuple[Action, ...]:
    """Feedback, then a new version, under keys that begin so; nothing when both are done."""
    target = str(node.function)
    feedback = Ask(f"{key}:feedback", node.agent, "feedback", target, about, observation)
    if state.finished(feedback.key) is None:
        return (feedback,)
    modify = Ask(f"{key}:modify", node.agent, "modify", target, about, feedback.key)
    return () if state.finished(modify.key) else (modify,)
