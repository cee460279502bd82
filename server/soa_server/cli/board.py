"""The agents of a running job as a tree of lines: a fold over what the engine says of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from textwrap import shorten
from typing import Literal

from soa_agents.swarm.job import AgentUpdate, Tally
from soa_agents.workspace.ids import FunctionId

MARKS = {"running": "…", "done": "✓", "failed": "✗"}
ROLE = 40  # characters of a role that are shown
OVER = ("done", "failed", "abstained", "dropped")


@dataclass(frozen=True, slots=True)
class Leg:
    """One step of an agent, how it stands, and the tests after it where they are its own."""

    step: str
    mark: Literal["running", "done", "failed"] = "running"
    tests: Tally | None = None
    wrote_them: bool = False  # the tests are some that the agent wrote herself


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


@dataclass(frozen=True, slots=True)
class Counts:
    """How the functions of a job stand, by the agents that answer for them."""

    functions: int
    passing: int
    writing: int
    testing: int


def counts(board: Board) -> Counts:
    """How many functions pass their tests by now, and how many are being written or tested."""
    roots = [agent for agent in board.agents.values() if agent.parent is None and "::" in agent.id]
    below = {agent.parent for agent in board.agents.values() if agent.state == "asking"}
    writing = [agent for agent in roots if agent.state == "asking" or agent.id in below]
    return Counts(
        functions=len(roots),
        passing=sum(_passes(agent) for agent in roots if agent not in writing),
        writing=len(writing),
        testing=sum(agent.state == "testing" for agent in roots),
    )


def _passes(agent: Agent) -> bool:
    tests = agent.legs[-1].tests if agent.legs else None
    return agent.state == "done" and tests is not None and bool(tests.passed) and not tests.failed


def active(board: Board) -> Board:
    """The agents that are at work, and those above them."""
    kept = set[str]()
    for agent in board.agents.values():
        parent: str | None = agent.id if agent.state in ("asking", "testing") else None
        while parent is not None and parent not in kept:
            kept.add(parent)
            parent = board.agents[parent].parent if parent in board.agents else None
    return Board({name: agent for name, agent in board.agents.items() if name in kept})


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
        legs=_legs(agent, update),
    )
    return Board({**board.agents, agent.id: agent})


def _name(update: AgentUpdate) -> str:
    if "::" not in update.function:
        return update.function or update.role or update.agent_id
    function = FunctionId.parse(update.function)
    return function.path if function.qualname == FunctionId.MODULE else function.name


def _legs(agent: Agent, update: AgentUpdate) -> tuple[Leg, ...]:
    legs = agent.legs
    if update.state == "asking":
        if legs and legs[-1].mark == "running" and legs[-1].step == update.step:
            return legs
        return (*_ended(legs, "done"), Leg(update.step or "code"))
    if update.state in OVER:
        legs = _ended(legs, "failed" if update.state in ("failed", "dropped") else "done")
    elif update.state in ("testing", "waiting"):
        legs = _ended(legs, "done")
    if update.tests is not None and legs:
        # A run of her own that follows the step in which she wrote tests is of these.
        wrote = agent.state == "testing" and legs[-1].step == "tests"
        legs = (*legs[:-1], replace(legs[-1], tests=update.tests, wrote_them=wrote))
    return legs


def _ended(legs: tuple[Leg, ...], mark: Literal["done", "failed"]) -> tuple[Leg, ...]:
    if not legs or legs[-1].mark != "running":
        return legs
    return (*legs[:-1], replace(legs[-1], mark=mark))


def lines(board: Board) -> list[str]:
    """The tree, Mothers before their Children: name, role, the way it came."""
    rows = [(prefix + agent.name, agent) for prefix, agent in _walk(board, None, "", "")]
    width = max((len(label) for label, _ in rows), default=0)
    return [f"{label:<{width}}   {_role(agent.role):<6}   {way(agent)}".rstrip() for label, agent in rows]


def _role(role: str) -> str:
    """A role as it is shown; one that somebody put into many words is cut."""
    return shorten(role[:1].upper() + role[1:], ROLE, placeholder=" …")


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
    parts, said = [], ""
    for leg in agent.legs:
        part = f"{leg.step} {MARKS[leg.mark]}"
        if leg.tests is not None:
            ran = leg.tests.passed + leg.tests.failed
            what = "tests" if agent.parent is None or leg.wrote_them else "doctest"
            part += f"   {'' if what == said else what + ' '}{leg.tests.passed}/{ran}"
            said = what
        parts.append(part)
    if agent.state in ("abstained", "dropped"):
        parts.append(agent.state)
    return " → ".join(parts)
