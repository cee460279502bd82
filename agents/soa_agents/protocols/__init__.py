"""How agents coordinate. One table; a new protocol is one module and one line here."""

from __future__ import annotations

import re

from soa_agents.errors import UsageError
from soa_agents.protocols.auto import Auto
from soa_agents.protocols.broadcast import Broadcast
from soa_agents.protocols.coordinator import Coordinator
from soa_agents.protocols.each import Each
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.protocols.planner_worker import PlannerWorker
from soa_agents.protocols.sequential import Sequential
from soa_agents.protocols.shared import Shared
from soa_agents.protocols.single import Single
from soa_agents.protocols.stubs import Stubs
from soa_agents.swarm.port import CoordinationProtocol

TABLE: dict[str, CoordinationProtocol] = {
    protocol.name: protocol
    for protocol in (
        *(MotherChild(), Single(), PlannerWorker()),
        *(Sequential(), Coordinator(), Broadcast(), Shared()),
    )
}
TEAMS = {"sequential": Sequential, "coordinator": Coordinator, "broadcast": Broadcast, "shared": Shared}


def choose(name: str) -> CoordinationProtocol:
    """The protocol of that name for writing functions; raises `UsageError` for an unknown one.

    A team's name may be followed by how many agents it has (`sequential:8`), for
    `sequential` also by how many of them write at once (`sequential:8x2`).
    """
    if name in (Auto.name, PlannerWorker.name):
        return Auto() if name == Auto.name else PlannerWorker()
    found = TABLE.get(name) or _team(name)
    if found is None:
        raise UsageError(f"There is no protocol {name!r}; soa.protocol is auto or one of {', '.join(TABLE)}.")
    return Each(found)


def _team(name: str) -> CoordinationProtocol | None:
    match = re.fullmatch(r"(\w+):([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", name)
    if match is None or match[1] not in TEAMS:
        return None
    if match[1] == "sequential":
        return Sequential(int(match[2]), int(match[3] or 1))
    return None if match[3] else TEAMS[match[1]](int(match[2]))


def for_stubs() -> CoordinationProtocol:
    """The protocol that writes stubs from a docstring."""
    return Stubs()
