"""Mother and Child: she writes her function and leaves parts to Children; red tests come back to her first.

After Ishibashi and Nishimura, "Self-Organized Agents" (arXiv 2404.02183), with Children working in parallel
and blamed only on evidence.
"""

from __future__ import annotations

from typing import ClassVar

from soa_agents.protocols import repairs, trial
from soa_agents.swarm import candidate
from soa_agents.swarm.actions import Action, Ask, Stop, Verify
from soa_agents.swarm.source import words
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import Selection


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
        mending = repairs.repairs(state, now.n, now.about) if now.n else ()
        wanted = (*mending, *_first_writes(state, now.about), *_tried_alone(state))
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
    key, branch = repairs.alone_key(child), tuple(state.family(child.agent))
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
    return repairs.change(state, child, key, key, "")


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
