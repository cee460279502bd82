"""`soa/agents`: the workspace's functions as agents, from the indexer's tables and the open documents.

The server itself never walks the disk and resolves no names: an indexer process does, and until it has ended
the answer says that it is not complete. What functions an open document has, and which are stubs, its outline
says.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from soa_agents.workspace.functions import Function
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.snapshot import Folder, Snapshot, is_test_file, read_text

from soa_server.lsp.diagnostics import Diagnostics
from soa_server.lsp.documents import Documents, path_of
from soa_server.lsp.supervisor import INDEXER, ask_indexer, run_indexer
from soa_server.lsp.watching import Watcher

MOMENT = 0.3  # seconds that a hover may wait
SETTLED = 1.0  # seconds without a further change on the disk before it is read again
CALM = 3.0  # seconds that a session has to itself before anything is indexed that nobody asked for
UNWATCHED = 5.0  # seconds that an index is believed in where nobody tells of changes

Agent = dict[str, Any]
Folders = tuple[Folder, ...]
Stub = tuple[str, str, int]  # path, qualified name, 1-based line

logger = logging.getLogger(__name__)


class Agents:
    """Answers from what is known now, and has the rest indexed; `exclude` gives the settings' patterns."""

    def __init__(
        self,
        documents: Documents,
        diagnostics: Diagnostics,
        exclude: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._documents = documents
        self._diagnostics = diagnostics
        self._exclude = exclude
        self.watched = False  # does the client tell of changes on the disk?
        self._watcher: Watcher | None = None  # ours, where it does not
        self._indexing: dict[Folders, asyncio.Task[None]] = {}
        self._indexed: dict[Folders, float] = {}  # when
        self._changes = 0  # on the disk, as far as we were told
        self._due: asyncio.TimerHandle | None = None
        self._waiting: dict[Folders, None] = {}
        self._looking: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, dict[str, Agent]] = {}
        self._stubs: dict[Folders, tuple[Stub, ...]] = {}
        self._asked: object = None  # the last question about texts that are not saved
        self._answered: list[Agent] = []

    async def answer(self, uri: str) -> dict[str, Any]:
        """The agents of one file, or of the whole workspace for an empty URI."""
        disk = path_of(uri) if uri else None
        folders = self._documents.folders_for(disk) if disk else self._documents.folders
        snapshot = self._documents.snapshot(folders)
        under = snapshot.path(disk) if disk else None
        if disk and under is None:
            return {"agents": [], "complete": True}
        complete = self._is_indexed(folders)
        self.index(folders)
        found = await self._known(snapshot, under, complete)
        open_now = self._outlines(snapshot, under)
        agents = list(_laid_over(found, open_now))
        if under is not None:  # of a whole workspace it would take a second
            agents = await asyncio.to_thread(_as_seen, agents, folders, snapshot)
        return {"agents": [self._with_status(agent) for agent in agents], "complete": complete}

    async def of_file(self, uri: str) -> Mapping[str, Agent]:
        """The agents of a file by their functions, as they are known within a moment or were known before."""
        looking = self._looking.get(uri)
        if looking is None:
            looking = self._looking[uri] = asyncio.create_task(self._look(uri))
        await asyncio.wait({looking}, timeout=MOMENT)
        return self._seen.get(uri, {})

    async def stubs(self, folders: Folders) -> tuple[Stub, ...]:
        """The stubs of a workspace as they were last indexed, if need be by an earlier session."""
        self.index(folders)
        if folders not in self._stubs:
            self._stubs[folders] = await asyncio.to_thread(_kept_stubs, _cache(folders))
        return self._stubs[folders]

    def stale(self) -> None:
        """Files changed on the disk: they are read again once it is quiet, if anybody asked before."""
        self._changes += 1
        self._diagnostics.proven.clear()
        known = [*self._indexed]
        self._indexed.clear()
        self.soon(*known)

    def soon(self, *folders: Folders, after: float = SETTLED) -> None:
        """Have these workspaces indexed in a moment; a further wish puts it off."""
        if not folders:
            return
        self._waiting.update(dict.fromkeys(folders))
        if self._due is not None:
            self._due.cancel()
        self._due = asyncio.get_running_loop().call_later(after, self._index_waiting)

    def _index_waiting(self) -> None:
        for folders in self._waiting:
            self.index(folders)
        self._waiting.clear()

    def index(self, folders: Folders) -> None:
        """Have a workspace indexed, unless it is or is being so."""
        if folders and not self._is_indexed(folders) and folders not in self._indexing:
            self._indexing[folders] = asyncio.create_task(self._run(folders))

    async def close(self) -> None:
        """End the indexer, and the watcher of files."""
        if self._due is not None:
            self._due.cancel()
        tasks = [*self._indexing.values(), *self._looking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._watcher is not None:
            await self._watcher.end()

    async def _watch(self, folders: Folders) -> None:
        """Have the folders watched where the client does not; never what lies beside a lone file."""
        roots = tuple(_roots(folders))
        if self.watched or folders != self._documents.folders:
            return
        before = self._watcher
        if before is None or before.roots != roots:
            self._watcher = Watcher(roots, self.stale)
            if before is not None:
                await before.end()

    def _is_watched(self, folders: Folders) -> bool:
        own = self._watcher is not None and self._watcher.is_watching
        return self.watched or (own and folders == self._documents.folders)

    def _is_indexed(self, folders: Folders) -> bool:
        if not folders:
            return True
        at = self._indexed.get(folders)
        return at is not None and (self._is_watched(folders) or time.monotonic() < at + UNWATCHED)

    async def _known(self, snapshot: Snapshot, under: str | None, complete: bool) -> list[Agent]:
        """What was found last, while it still holds or an index is being made; else the indexer is asked."""
        unsaved = await asyncio.to_thread(_unsaved, snapshot)
        cache = _cache(snapshot.folders)
        kept, current = await asyncio.to_thread(_kept, cache, under)
        if not complete or (current and not unsaved):
            return kept
        question = {"buffers": unsaved, "under": under}
        asked = (snapshot.folders, self._indexed.get(snapshot.folders), question)
        if asked == self._asked:
            return self._answered
        try:
            found: list[Agent] = await ask_indexer(INDEXER, cache, _roots(snapshot.folders), question)
        except (OSError, ValueError) as error:
            logger.warning("the indexer did not answer: %s", error)
            return kept
        if under is not None:  # of a whole workspace it would take much room
            self._asked, self._answered = asked, found
        return found

    def _options(self, folders: Folders) -> list[str]:
        """What is left out, and the files whose agents are likely to be asked for."""
        buffers = self._documents.snapshot(folders).buffers
        wanted = [f"--open={path}" for path in buffers if path.endswith(".py") and not is_test_file(path)]
        return [*(f"--exclude={pattern}" for pattern in self._exclude()), *wanted]

    def _outlines(self, snapshot: Snapshot, under: str | None) -> dict[str, tuple[Function, ...]]:
        """The functions of the open documents asked about, test modules left out."""
        found = {}
        for path in snapshot.buffers if under is None else {under} & snapshot.buffers.keys():
            document = self._documents.at(snapshot.disk(path))
            if document is not None and document.is_python and not is_test_file(path):
                found[path] = self._documents.outline(document).functions
        return found

    async def _look(self, uri: str) -> None:
        try:
            found = await self.answer(uri)
            self._seen[uri] = {agent["function"]: agent for agent in found["agents"]}
        finally:
            del self._looking[uri]

    def _with_status(self, agent: Agent) -> Agent:
        function = agent["function"]
        if function in self._diagnostics.suspects():
            return {**agent, "status": "failing"}
        if function in self._diagnostics.proven and agent["status"] == "unknown":
            return {**agent, "status": "passing"}
        return agent

    async def _run(self, folders: Folders) -> None:
        changes = self._changes
        try:
            await self._watch(folders)
            await run_indexer(INDEXER, _cache(folders), _roots(folders), self._options(folders))
        except OSError as error:
            logger.warning("the indexer could not be started: %s", error)
        else:
            self._stubs[folders] = await asyncio.to_thread(_kept_stubs, _cache(folders))
            if changes == self._changes:
                self._indexed[folders] = time.monotonic()
        finally:
            del self._indexing[folders]
        if changes != self._changes:
            self.index(folders)


def _roots(folders: Folders) -> list[Path]:
    return [folder.root for folder in folders]


# What follows imports where it is used: nobody asks for it before `initialize` is answered.


def _kept(cache: Path, under: str | None) -> tuple[list[Agent], bool]:
    from soa_agents.workspace.mapping import kept_agents

    return kept_agents(cache, under)


def _kept_stubs(cache: Path) -> tuple[Stub, ...]:
    from soa_agents.workspace.mapping import kept_stubs

    return kept_stubs(cache)


def _as_seen(agents: list[Agent], folders: Folders, snapshot: Snapshot) -> list[Agent]:
    """The agents with the tests that were seen to run them."""
    from soa_agents.verify.testmap import as_seen

    return as_seen(agents, _cache(folders, "tests"), snapshot.text)


def _cache(folders: Folders, what: str = "") -> Path:
    from soa_agents.workspace.store import cache_file

    return cache_file(folders, what)


def _unsaved(snapshot: Snapshot) -> dict[str, str]:
    """The open Python documents that are not as they are on the disk."""
    buffers = snapshot.buffers.items()
    return {
        path: text
        for path, text in buffers
        if path.endswith(".py") and text != read_text(snapshot.disk(path))
    }


def _laid_over(found: Iterable[Agent], outlines: Mapping[str, Sequence[Function]]) -> Iterator[Agent]:
    """The agents found, those of open documents as their outlines have them: none is lost while one types."""
    known = {}
    for agent in found:
        if FunctionId.parse(agent["function"]).path in outlines:
            known[agent["function"]] = agent
        else:
            yield agent
    for functions in outlines.values():
        for function in functions:
            agent = known.get(str(function.id)) or {
                "function": str(function.id),
                "role": "child",
                "children": [],
                "tests": [],
                "status": "unknown",
            }
            status = (
                "stub" if function.is_stub else agent["status"] if agent["status"] != "stub" else "unknown"
            )
            yield {**agent, "status": status}
