"""`soa/agents`: the workspace's functions as agents, from the index's cache and the open documents.

The server itself never walks the disk: an indexer process fills the cache, and until it has ended the answer
says that it is not complete.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from soa_agents.verify.testmap import as_seen
from soa_agents.workspace.callgraph import CallGraph
from soa_agents.workspace.facts import file_facts
from soa_agents.workspace.index import stored
from soa_agents.workspace.mapping import agents_map
from soa_agents.workspace.snapshot import Folder, Snapshot
from soa_agents.workspace.store import cache_file

from soa_server.lsp.diagnostics import Diagnostics
from soa_server.lsp.documents import Documents, path_of
from soa_server.lsp.supervisor import INDEXER, run_indexer

MOMENT = 0.3  # seconds that a hover may wait

logger = logging.getLogger(__name__)


class Agents:
    """Answers from what is known now, and has the rest indexed."""

    def __init__(self, documents: Documents, diagnostics: Diagnostics) -> None:
        self._documents = documents
        self._diagnostics = diagnostics
        self._indexing: dict[tuple[Folder, ...], asyncio.Task[None]] = {}
        self._indexed: set[tuple[Folder, ...]] = set()
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, dict[str, dict[str, Any]]] = {}

    async def answer(self, uri: str) -> dict[str, Any]:
        """The agents of one file, or of the whole workspace for an empty URI."""
        disk = path_of(uri) if uri else None
        folders = self._documents.folders_for(disk) if disk else self._documents.folders
        snapshot = self._documents.snapshot(folders)
        self._index(folders)
        under = snapshot.path(disk) if disk else None
        complete = folders in self._indexed or not folders
        agents = await asyncio.to_thread(_agents, snapshot, folders, under)
        return {"agents": [self._with_status(agent) for agent in agents], "complete": complete}

    async def of_file(self, uri: str) -> Mapping[str, dict[str, Any]]:
        """The agents of a file by their functions, as they are known within a moment or were known before."""
        looking = self._looking.get(uri)
        if looking is None:
            looking = self._looking[uri] = asyncio.create_task(self._look(uri))
        await asyncio.wait({looking}, timeout=MOMENT)
        return self._seen.get(uri, {})

    def stale(self) -> None:
        """Files changed on the disk: the next question has them indexed again."""
        self._indexed.clear()
        self._diagnostics.proven.clear()

    async def close(self) -> None:
        """End the indexer."""
        tasks = [*self._indexing.values(), *self._looking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, uri: str) -> None:
        try:
            found = await self.answer(uri)
            self._seen[uri] = {agent["function"]: agent for agent in found["agents"]}
        finally:
            del self._looking[uri]

    def _with_status(self, agent: dict[str, Any]) -> dict[str, Any]:
        function = agent["function"]
        if function in self._diagnostics.suspects():
            return {**agent, "status": "failing"}
        if function in self._diagnostics.proven and agent["status"] == "unknown":
            return {**agent, "status": "passing"}
        return agent

    def _index(self, folders: tuple[Folder, ...]) -> None:
        if folders and folders not in self._indexed and folders not in self._indexing:
            self._indexing[folders] = asyncio.create_task(self._run(folders))

    async def _run(self, folders: tuple[Folder, ...]) -> None:
        try:
            await run_indexer(INDEXER, cache_file(folders), [folder.root for folder in folders])
        except OSError as error:
            logger.warning("the indexer could not be started: %s", error)
        else:
            self._indexed.add(folders)
        finally:
            del self._indexing[folders]


def _agents(snapshot: Snapshot, folders: tuple[Folder, ...], under: str | None) -> list[dict[str, Any]]:
    facts = stored(snapshot, cache_file(folders))
    for path, text in snapshot.buffers.items():
        if path.endswith(".py"):
            facts[path] = file_facts(path, text)
    return as_seen(agents_map(CallGraph(facts), under), cache_file(folders, "tests"), snapshot.text)
