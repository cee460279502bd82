"""The language server: thin handlers around the documents, the controller and the translators.

Handlers answer from memory. What takes longer runs in a job's task; nothing here waits for the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer

from soa_server import __version__
from soa_server.lsp import from_lsp
from soa_server.lsp.agents import CALM, Agents
from soa_server.lsp.answers import add_answers
from soa_server.lsp.commands import add_commands
from soa_server.lsp.documents import Documents, path_of
from soa_server.lsp.person import Person
from soa_server.lsp.session import Session
from soa_server.lsp.supervisor import ENGINE
from soa_server.lsp.trace import add_features

if TYPE_CHECKING:
    from soa_server.lsp.controller import Controller
    from soa_server.lsp.resume import Resuming
    from soa_server.lsp.saving import OnSave

WATCHED = ("**/*.py", "**/.gitignore", "**/.soaignore")
SHUTDOWN_SECONDS = 5.0  # that a shutdown waits for jobs to end
SETTLE_SECONDS = 1.0  # that the first requests of a session have for themselves

logger = logging.getLogger("soa")


class Server(LanguageServer):
    """pygls' server with our state beside it. What jobs need is not loaded for `initialize`."""

    def __init__(self, engine: Sequence[str] | None) -> None:
        super().__init__(
            "soa-language-server",
            __version__,
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            converter_factory=from_lsp.converter,
        )
        self.person = Person(self)
        self.documents = Documents()
        self.session = Session.of(self.person, self.documents)
        self.agents = Agents(self.documents, self.session.diagnostics, self._exclude)
        self.ending: asyncio.Future[int] | None = None
        self._engine = engine or ENGINE
        self._settling: asyncio.Task[None] | None = None

    @cached_property
    def controller(self) -> Controller:
        """The jobs' way to the engine and back."""
        from soa_server.lsp.controller import Controller

        return Controller(self.session, self._engine)

    @cached_property
    def resuming(self) -> Resuming:
        """Jobs that were cut off."""
        from soa_server.lsp.resume import Resuming

        return Resuming(self.controller)

    @cached_property
    def saving(self) -> OnSave:
        """Tests that run when a file is saved."""
        from soa_server.lsp.saving import OnSave

        return OnSave(self.controller)

    def settle(self) -> None:
        """Load what the first job will need, a moment from now, and offer what was cut off."""
        self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        await asyncio.sleep(SETTLE_SECONDS)
        await asyncio.to_thread(import_module, "soa_server.lsp.resume")
        self.resuming.offer()

    async def cancel_jobs(self) -> None:
        """Cancel every job; its end comes before this one's."""
        if "controller" in vars(self):
            await self.controller.cancel_all(SHUTDOWN_SECONDS)

    async def close(self) -> None:
        """End everything that was begun."""
        for part in ("saving", "resuming"):
            if part in vars(self):
                getattr(self, part).close()
        if self._settling is not None:
            self._settling.cancel()
        await self.cancel_jobs()
        await self.agents.close()
        self.person.close()
        if "controller" in vars(self):
            await self.controller.close()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Into the log; requests answer with their error, and nothing else concerns the person."""
        logger.error("%s: %s", type(error).__name__, error)

    def _exclude(self) -> tuple[str, ...]:
        """The patterns of what is not indexed: those of all folders' settings."""
        now = self.session.configuration.now
        found = (now(folder.root).settings.index_exclude for folder in self.documents.folders)
        return tuple(dict.fromkeys(pattern for patterns in found for pattern in patterns))

    def finish(self, code: int) -> None:
        """End the process with this exit code."""
        if self.ending is not None and not self.ending.done():
            self.ending.set_result(code)


def create_server(engine: Sequence[str] | None = None) -> Server:
    """A server with every handler in place. `engine` is the command of the engine's process."""
    server = Server(engine)
    _lifecycle(server)
    _documents(server)
    _workspace(server)
    add_answers(server)
    add_commands(server)
    add_features(server)
    return server


# -- handlers


def _lifecycle(server: Server) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.person.client = from_lsp.client_of(params)
        server.documents.encoding = from_lsp.encoding_of(server.workspace.position_encoding)
        server.documents.set_folders(_roots(from_lsp.folder_uris(params)))

    @server.feature(types.INITIALIZED)
    def initialized(params: types.InitializedParams) -> None:
        server.session.configuration.refresh()
        if not server.person.client.configuration:
            server.session.configuration.now(None)
        server.settle()
        if server.person.client.watches:
            server.agents.watched = True
            server.person.watch(WATCHED)
        server.agents.soon(server.documents.folders, after=CALM)

    @server.feature(types.SHUTDOWN)
    async def shutdown(params: None) -> None:
        await server.cancel_jobs()

    def leave(*_: Any) -> None:
        server.finish(0 if server.protocol._shutdown else 1)

    # pygls' own handler calls sys.exit inside the loop, which leaves children behind
    server.protocol.fm.add_builtin_feature(types.EXIT, leave)


def _documents(server: Server) -> None:
    documents = server.documents

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        item = params.text_document
        documents.open(item.uri, item.text, item.version, str(item.language_id))

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        edits = map(from_lsp.edit_of, params.content_changes)
        documents.edit(params.text_document.uri, edits, params.text_document.version)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        documents.close(params.text_document.uri)

    # pygls keeps documents of its own, at a cost for every key, and what it cannot apply would not reach us
    for method in (
        types.TEXT_DOCUMENT_DID_OPEN,
        types.TEXT_DOCUMENT_DID_CHANGE,
        types.TEXT_DOCUMENT_DID_CLOSE,
    ):
        server.protocol.fm.builtin_features.pop(method)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def saved(params: types.DidSaveTextDocumentParams) -> None:
        server.agents.stale()
        document = documents.get(params.text_document.uri)
        if document is None or document.path is None or not document.is_python:
            return
        if server.session.configuration.now(documents.root_of(document)).settings.tests.run_on_save:
            server.saving.saved(document.uri)


def _workspace(server: Server) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configured(params: types.DidChangeConfigurationParams) -> None:
        server.session.configuration.push(params.settings)
        server.session.configuration.refresh()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        gone = {path_of(folder.uri) for folder in params.event.removed}
        kept = [folder.root for folder in server.documents.folders if folder.root not in gone]
        server.documents.set_folders([*kept, *_roots(folder.uri for folder in params.event.added)])
        server.agents.stale()
        server.session.configuration.refresh()

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def files_changed(params: types.DidChangeWatchedFilesParams) -> None:
        server.agents.stale()

    @server.feature("soa/agents")
    async def agents(params: Any) -> dict[str, Any]:
        uri = params.get("uri") if isinstance(params, dict) else None
        return await server.agents.answer(uri if isinstance(uri, str) else "")

    @server.feature("soa/model/chunk")
    def chunk(params: Any) -> None:
        server.controller.chat.chunk(params)


def _roots(uris: Any) -> list[Path]:
    return [path for path in map(path_of, uris) if path is not None]
