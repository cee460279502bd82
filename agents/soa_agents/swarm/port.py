"""The CoordinationProtocol port: who works next."""

from __future__ import annotations

from typing import ClassVar, Protocol

from soa_agents.swarm.actions import Action, Stop
from soa_agents.swarm.state import State


class CoordinationProtocol(Protocol):
    """How agents coordinate: a pure function from the job's state to the actions wanted now."""

    name: ClassVar[str]

    def ready(self, state: State) -> tuple[Action, ...] | Stop:
        """Every action wanted and not finished, whether it was started or not; or that the work is done.

        No input or output, no clock, no randomness. Keys are deterministic and unique in a job.
        """
        ...
