"""How agents coordinate. One table; a new protocol is one module and one line here."""

from __future__ import annotations

from soa_agents.errors import UsageError
from soa_agents.protocols.each import Each
from soa_agents.protocols.mother_child import MotherChild
from soa_agents.protocols.single import Single
from soa_agents.protocols.stubs import Stubs
from soa_agents.swarm.port import CoordinationProtocol

TABLE: dict[str, CoordinationProtocol] = {p.name: p for p in (MotherChild(), Single())}
AUTO = "mother_child"


def choose(name: str) -> CoordinationProtocol:
    """The protocol of that name for writing functions; raises `UsageError` for an unknown one."""
    found = TABLE.get(AUTO if name == "auto" else name)
    if found is None:
        raise UsageError(f"There is no protocol {name!r}; soa.protocol is auto or one of {', '.join(TABLE)}.")
    return Each(found)


def for_stubs() -> CoordinationProtocol:
    """The protocol that writes stubs from a docstring."""
    return Stubs()
