"""`soa/trace` and `soa/localServers`: what a person asks to look at; both only read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soa_agents.errors import SoaError

if TYPE_CHECKING:
    from soa_server.lsp.app import Server

TRACE = "soa/trace"
LOCAL_SERVERS = "soa/localServers"


def add_features(server: Server) -> None:
    """Answer both requests. Modules of the engine are imported when somebody asks, not before."""

    @server.feature(TRACE)
    async def traced(params: Any) -> dict[str, Any] | None:
        job_id = params.get("jobId") if isinstance(params, dict) else None
        roots = [folder.root for folder in server.documents.folders]
        return await asyncio.to_thread(_trace, roots, job_id) if isinstance(job_id, str) else None

    @server.feature(LOCAL_SERVERS)
    async def local(_: Any) -> dict[str, Any]:
        from soa_agents import wire
        from soa_agents.models.discovery import local_servers

        return {"servers": [wire.to_json(found) for found in await local_servers()]}


def _trace(roots: list[Path], job_id: str) -> dict[str, Any] | None:
    from soa_agents import wire
    from soa_agents.jobs.trace import trace
    from soa_agents.swarm.ledger import holding

    try:
        ledger = holding(roots, job_id)
        if ledger is None:
            return None
        try:
            told: dict[str, Any] = wire.to_json(trace(tuple(ledger.events(job_id))))
        finally:
            ledger.close()
    except SoaError:
        return None
    return told
