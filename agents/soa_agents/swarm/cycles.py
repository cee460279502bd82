"""Cycles: what begins anew when a judge says to go on, and which targets that would not help. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

from soa_agents.swarm.actions import Ask, Verify
from soa_agents.swarm.state import Node, State
from soa_agents.verify.brief import signature

_MARKS = (":", "/", ">", "#")  # what follows a target in the keys and names of its agents


def afresh(state: State) -> State:
    """The state in which targets that are not proven begin anew: nothing written, nothing asked.

    Those that end as they did in an earlier cycle stay as they are.
    """
    every = [target.function for target in state.job.targets]
    roots = [root for root in every if not is_proven(state, root) and not goes_nowhere(state, root)]
    families = tuple(f"{root}{mark}" for root in roots for mark in _MARKS)
    nodes = {
        agent: _begun(node) if agent in roots or agent.startswith(families) else node
        for agent, node in state.nodes.items()
    }
    keys = {key: known for key, known in state.keys.items() if not key.startswith((*families, "together"))}
    ends = {root: state.ends.get(root, frozenset()) | _end(state, root) for root in roots}
    return replace(state, nodes=nodes, keys=keys, ends={**state.ends, **ends})


def is_proven(state: State, root: str) -> bool:
    """Whether the target has a candidate that was proven."""
    best = state.best.get(root)
    return best is not None and best.proven


def goes_nowhere(state: State, root: str) -> bool:
    """Whether the target ended in the same code or the same failures as in an earlier cycle."""
    return not state.ends.get(root, frozenset()).isdisjoint(_end(state, root))


def _end(state: State, root: str) -> frozenset[object]:
    """What the last test run on a candidate of the target was about and said; or why there was none."""
    own = [known for key, known in state.keys.items() if key.startswith(f"{root}:")]
    runs = [(known.action.candidate, known) for known in own if _is_of_candidate(known.action)]
    if not runs:
        return frozenset(known.failed for known in own if known.failed)
    code, last = runs[-1]
    red = last.report is not None and not all(r.passed for r in last.report.results)
    said = signature(last.report) if last.report and red else last.failed
    return frozenset((code, said) if said else (code,))


def _is_of_candidate(action: Ask | Verify) -> TypeGuard[Verify]:
    return isinstance(action, Verify) and action.purpose not in ("agent", "advice")


def _begun(node: Node) -> Node:
    return replace(node, written=None, before=None, revision=0, brief=0, children=())
