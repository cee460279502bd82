"""Advice: tests that agents write themselves. They never decide alone. Pure."""

from __future__ import annotations

from soa_agents.swarm import candidate, judge
from soa_agents.swarm.actions import Ask, Stop, Verify
from soa_agents.swarm.state import Node, State
from soa_agents.verify.report import Selection


def unproven(state: State, author: str) -> tuple[Ask | Verify, ...] | Stop:
    """Nothing runs the function: tests that its author writes herself go along, as advice."""
    root = state.root
    ask = Ask(
        f"{root}:tests", author, "tests", str(state.nodes[root].function), about=judge.trial_key(root, 0)
    )
    written = state.finished(ask.key)
    if written is None:
        return (ask,)
    stop = Stop("untested", accepted=(root,))
    if written.failed:
        return stop
    run = advice(state, f"{root}:advice", state.nodes[author], written.text)
    return stop if state.finished(run.key) else (run,)


def advice(state: State, key: str, node: Node, tests: str) -> Verify:
    """A run of tests that an agent wrote, on the whole candidate."""
    path = state.target.advice
    author = node.agent if node.is_member else state.root
    files = dict(candidate.files_of(state.texts, candidate.pieces(state, author)))
    return Verify(
        key=key,
        candidate=tuple(sorted({**files, path: tests}.items())),
        selection=Selection(tests=(path,)),
        purpose="advice",
        agent=node.agent,
    )
