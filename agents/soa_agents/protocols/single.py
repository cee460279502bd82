"""Single: one agent writes the whole function and goes by its own failures. The baseline."""

from __future__ import annotations

from typing import ClassVar

from soa_agents.protocols import trial
from soa_agents.swarm.actions import Action, Ask, Stop
from soa_agents.swarm.state import State


class Single:
    """One agent, no helpers left to others, no separate feedback."""

    name: ClassVar[str] = "single"

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """Write, try, write again by the report, until green or out of rounds."""
        now = trial.next_round(state)
        if not isinstance(now, trial.Round):
            return now
        ask = Ask(f"{state.root}:r{now.n}:code", state.root, "code", state.root, now.about)
        done = state.finished(ask.key)
        if done is None:
            return (ask,)
        if state.nodes[state.root].written is None:
            return Stop("failed", done.failed)
        return (trial.trial(state, now.n),)
