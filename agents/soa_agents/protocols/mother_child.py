"""Mother and Child: she writes her function and leaves parts to Children; red tests come back to her first.

After Ishibashi and Nishimura, "Self-Organized Agents" (arXiv 2404.02183), with Children working in parallel
and blamed only on evidence.
"""

from __future__ import annotations

from typing import ClassVar

from soa_agents.protocols import trial
from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.source import words
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import Selection
from soa_agents.verify.suspects import ochiai


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
        wanted = (*repairs, *_first_writes(state, now.about), *_tried_alone(state))
        if wanted:
            return wanted
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


def _tried_alone(state: State) -> tuple[Action, ...]:
    """Branches that are written while others may still be: their docstring examples run, and she who fails
    them mends her code, once.

    What she is tried on has nothing of the branches beside her, so it is the same whoever comes first; code
    that names one of them waits for the trial.
    """
    below = list(state.family(state.root))[1:]
    names = frozenset(node.function.name for node in below)
    shown = [child for child in below if ">>>" in child.spec] if len(below) > 1 else []
    return tuple(action for child in shown for action in _alone(state, child, names))


def _alone(state: State, child: Node, names: frozenset[str]) -> tuple[Action, ...]:
    """The run of her examples, then her change when they fail; `names` are those of all Children.

    Her own Children come before her: her examples may fail by them.
    """
    key, branch = _alone_key(child), tuple(state.family(child.agent))
    if any(">>>" in below.spec and _alone(state, below, names) for below in branch[1:]):
        return ()
    if state.finished(key) is None:
        code = [node.written.source for node in branch if node.written]
        others = (words("\n".join(code)) & names) - {node.function.name for node in branch}
        if len(code) < len(branch) or others:
            return ()
        files = candidate.files_of(state.texts, candidate.pieces(state, state.root, child.agent))
        return (Verify(key, files, Selection(doctests=(child.function,)), "agent", child.agent),)
    report = state.report(key)
    if report is None or not trial.own_examples(report, child.function):
        return ()
    return _change(state, child, key, key, "")


def _alone_key(child: Node) -> str:
    return f"{child.agent}:alone{child.brief}"


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
    failing = [c for c in family[1:] if trial.own_examples(report, candidate.called(state, about, c))]
    agents = {child.agent for child in failing}
    innermost = (c for c in failing if not agents & {n.agent for n in list(state.family(c.agent))[1:]})
    own = [child for child in innermost if not _mended_before(state, child, n)]
    if own and not _asked(state, f"{state.root}:r{n}:feedback"):
        return tuple(a for child in own for a in _change(state, child, f"{child.agent}:r{n}", about, ""))
    return _down(state, state.nodes[state.root], n, about, "")


def _mended_before(state: State, child: Node, n: int) -> bool:
    alone = _asked(state, f"{_alone_key(child)}:feedback")
    return alone or any(_asked(state, f"{child.agent}:r{k}:feedback") for k in range(1, n))


def _asked(state: State, key: str) -> bool:
    return key in state.keys


def _down(state: State, node: Node, n: int, about: str, observation: str) -> tuple[Action, ...]:
    """`node` is changed, then her Children as far as they are to blame, then theirs."""
    if node.parent is None:
        change = _change(state, node, f"{node.agent}:r{n}", about, observation)
    else:
        change = _change_if_blamed(state, node, n, about, observation)
    if change:
        return change
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
        return _change(state, child, key, about, observation)
    if n == 1 and ">>>" in child.spec:
        doubted = _doubted(state, about) if _mother_stands_by_it(state, child) else ()
        if child.agent not in doubted:
            return ()
        if len(doubted) == 1:
            return _change(state, child, key, about, observation)
    tests = Ask(f"{key}:tests", child.agent, "tests", str(child.function), about, observation)
    written = state.finished(tests.key)
    if written is None:
        return (tests,)
    if written.failed:
        return ()
    run = trial.advice(state, f"{key}:advice", child, written.text)
    if state.finished(run.key) is None:
        return (run,)
    advised = state.report(run.key)
    if advised is None or all(r.passed for r in advised.results):
        return ()
    return _change(state, child, key, run.key, observation)


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


def _change(state: State, node: Node, key: str, about: str, observation: str) -> tuple[Action, ...]:
    """Feedback, then a new version, under keys that begin so; nothing when both are done."""
    target = str(node.function)
    feedback = Ask(f"{key}:feedback", node.agent, "feedback", target, about, observation)
    if state.finished(feedback.key) is None:
        return (feedback,)
    modify = Ask(f"{key}:modify", node.agent, "modify", target, about, feedback.key)
    return () if state.finished(modify.key) else (modify,)
