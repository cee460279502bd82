"""The agents of a running job as a tree of lines: a fold over what the engine says of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from soa_agents.swarm.job import AgentUpdate, Tally
from soa_agents.workspace.ids import FunctionId

MARKS = {"running": "…", "done": "✓", "failed": "✗"}
OVER = ("done", "failed", "abstained", "dropped")


@dataclass(frozen=True, slots=True)
class Leg:
    """One step of an agent, how it stands, and the tests after it where they are its own."""

    step: str
    mark: Literal["running", "done", "failed"] = "running"
    tests: Tally | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent and the way it came."""

    id: str
    name: str
    role: str = ""
    parent: str | None = None
    state: str = "waiting"
    legs: tuple[Leg, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """Every agent heard of, in the order of its first update."""

    agents: dict[str, Agent] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """How many agents took part: all but those that were dropped before they did anything."""
        return sum(1 for agent in self.agents.values() if agent.legs or agent.state != "dropped")


def heard(board: Board, update: AgentUpdate) -> Board:
    """The board after one more update."""
    agent = board.agents.get(update.agent_id) or Agent(
        update.agent_id, _name(update), parent=update.parent_id
    )
    agent = replace(
        agent,
        role=update.role or agent.role,
        parent=update.parent_id or agent.parent,
        state=update.state,
        legs=_legs(agent.legs, update),
    )
    return Board({**board.agents, agent.id: agent})


def _name(update: AgentUpdate) -> str:
    if "::" not in update.function:
        return update.function or update.agent_id
    function = FunctionId.parse(update.function)
    return function.path if function.qualname == FunctionId.MODULE else function.name


def _legs(legs: tuple[Leg, ...], update: AgentUpdate) -> tuple[Leg, ...]:
    if update.state == "asking":
        if legs and legs[-1].mark == "running" and legs[-1].step == update.step:
            return legs
        return (*_ended(legs, "done"), Leg(update.step or "code"))
    if update.state in OVER:
        legs = _ended(legs, "failed" if update.state == "failed" else "done")
    elif update.state in ("testing", "waiting"):
        legs = _ended(legs, "done")
    if update.tests is not None and legs:
        legs = (*legs[:-1], replace(legs[-1], tests=update.tests))
    return legs


def _ended(legs: tuple[Leg, ...], mark: Literal["done", "failed"]) -> tuple[Leg, ...]:
    if not legs or legs[-1].mark != "running":
        return legs
    return (*legs[:-1], replace(legs[-1], mark=mark))


def lines(board: Board) -> list[str]:
    """The tree, Mothers before their Children: name, role, the way it came."""
    rows = [(prefix + agent.name, agent) for prefix, agent in _walk(board, None, "", "")]
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{label:<{width}}   {agent.role.title():<6}   {way(agent)}".rstrip() for label, agent in rows]


def _walk(board: Board, parent: str | None, first: str, rest: str) -> Iterator[tuple[str, Agent]]:
    known = board.agents
    below = [a for a in known.values() if (a.parent if a.parent in known else None) == parent]
    for agent in below:
        last = agent is below[-1]
        branch, trunk = ("", "") if parent is None else (("└─ ", "   ") if last else ("├─ ", "│  "))
        yield first + branch, agent
        yield from _walk(board, agent.id, rest + trunk, rest + trunk)


def way(agent: Agent) -> str:
    """The steps an agent took: `code ✓   doctest 1/2 → modify ✓   2/2`."""
    label = "tests" if agent.parent is None else "doctest"
    parts = []
    for leg in agent.legs:
        part = f"{leg.step} {MARKS[leg.mark]}"
        if leg.tests is not None:
            ran = leg.tests.passed + leg.tests.failed
            part += f"   {label + ' ' if label else ''}{leg.tests.passed}/{ran}"
            label = ""
        parts.append(part)
    if agent.state in ("abstained", "dropped"):
        parts.append(agent.state)
    return " → ".join(parts)
