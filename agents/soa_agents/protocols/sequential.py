"""Sequential: agents in a fixed order; each sees all that was written and tested, and chooses its own part.

After the protocol that did best in "Self-Organizing Agents" (arXiv 2603.28990).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.protocols import team
from soa_agents.swarm.actions import Action, Stop
from soa_agents.swarm.state import State


@dataclass(frozen=True)
class Sequential:
    """`size` agents take turns, `at_once` of them at the same time, until the tests are green."""

    size: int = team.SIZE
    at_once: int = 1
    name: ClassVar[str] = "sequential"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """The turn that is due; everybody has as many as the job has rounds."""
        agents = team.members(state, self.size)
        batches = [agents[first : first + self.at_once] for first in range(0, len(agents), self.at_once)]
        laps = batches * max(1, state.job.limits.rounds)
        return team.turns(state, laps, lambda agent, before: team.standing(state, before))
