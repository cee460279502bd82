"""Coordinator: one agent assigns the roles; the others know only their own (arXiv 2603.28990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.protocols import team
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.replies import choices
from soa_agents.swarm.state import State

_WANTED = (
    "The work on this one function is for {size} agents, numbered from 1. Each writes a whole version of it "
    "in the light of its role; all versions are tested. Give each the role that makes its version worth "
    'having: {{"roles": [{{"agent": 1, "role": "<in a few words>"}}, …]}}. Leave out agents you do not need.'
)


@dataclass(frozen=True)
class Coordinator:
    """`size` agents below one who assigns."""

    size: int = team.SIZE
    name: ClassVar[str] = "coordinator"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The assignment, then everybody who has a role, lap after lap."""
        agents = team.members(state, self.size)
        ask = Ask(
            key=f"{state.root}#0:plan",
            agent=f"{state.root}#0",
            step="plan",
            target=state.root,
            note=_WANTED.format(size=len(agents)),
            role="coordinator",
        )
        done = state.finished(ask.key)
        if done is None:
            return (ask,)
        if done.failed:
            return Stop("failed", done.failed)
        roles = {f"{state.root}#{number}": role for number, role in choices.plan(done.text).roles}
        named = tuple(agent for agent in agents if agent in roles)
        laps = [named] * max(1, state.job.limits.rounds)
        return team.turns(
            state, laps, lambda agent, before: f"Your role was given to you: {roles[agent]}", roles
        )
