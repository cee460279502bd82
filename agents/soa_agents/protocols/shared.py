"""Shared: each agent sees which roles were taken in earlier jobs, and chooses its own (arXiv 2603.28990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.protocols import team
from soa_agents.swarm.actions import Action, Stop
from soa_agents.swarm.state import State


@dataclass(frozen=True)
class Shared:
    """`size` agents who know the history of roles and nothing of each other."""

    size: int = team.SIZE
    name: ClassVar[str] = "shared"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """Everybody writes, lap after lap."""
        agents = team.members(state, self.size)
        laps = [agents] * max(1, state.job.limits.rounds)
        return team.turns(state, laps, lambda agent, before: _history(state.job.roles))


def _history(roles: tuple[str, ...]) -> str:
    if not roles:
        return "No roles were taken in earlier jobs: you are the first to choose."
    listed = "\n".join(f"- {role}" for role in roles)
    return f"Roles that agents took in earlier jobs here, the most frequent first:\n\n{listed}"
