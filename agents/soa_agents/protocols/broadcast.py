"""Broadcast: first all say what they mean to do, then those who take part write (arXiv 2603.28990)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from soa_agents.protocols import team
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.replies import choices
from soa_agents.swarm.state import State


@dataclass(frozen=True)
class Broadcast:
    """`size` agents of equal rank."""

    size: int = team.SIZE
    name: ClassVar[str] = "broadcast"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """A round of intentions, then rounds of work."""
        agents = team.members(state, self.size)
        asks = [Ask(f"{agent}:intent", agent, "intent", state.root, note=_equals(agents)) for agent in agents]
        if waiting := tuple(ask for ask in asks if not state.finished(ask.key)):
            return waiting
        answers = {ask.agent: state.keys[ask.key] for ask in asks}
        if all(answer.failed for answer in answers.values()):
            return Stop("failed", answers[agents[0]].failed)
        meant = {who: choices.intent(answer.text) for who, answer in answers.items() if not answer.failed}
        active = tuple(agent for agent, intent in meant.items() if intent.role)
        plans = "\n".join(f"- {meant[agent].role}: {meant[agent].does}" for agent in active)
        laps = [active] * max(1, state.job.limits.rounds)

        def told(agent: str, before: tuple[team.Version, ...]) -> str:
            return f"You meant to be: {meant[agent].role}. All who take part:\n\n{plans}"

        return team.turns(state, laps, told)


def _equals(agents: tuple[str, ...]) -> str:
    return f"You are one of {len(agents)} agents."
