"""The language server: thin handlers around the documents, the controller and the translators.

Handlers answer from memory. What takes longer runs in a job's task; nothing here waits for the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from soa_agents.errors import UsageError
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp import actions, from_lsp, hovers, lenses, to_lsp
from soa_server.lsp.agents import CALM, Agents
from soa_server.lsp.controller import Controller
from soa_server.lsp.documents import Document, Documents, path_of
from soa_server.lsp.jobs import Request
from soa_server.lsp.person import Person
from soa_server.lsp.resume import Resuming
from soa_server.lsp.saving import OnSave
from soa_server.lsp.supervisor import ENGINE
from soa_server.lsp.trace import add_features
from soa_server.settings import PROTOCOLS, EditorSettings, is_protocol

WATCHED = ("**/*.py", "**/.gitignore", "**/.soaignore")
SHUTDOWN_SECONDS = 5.0  # that a shutdown waits for jobs to end

logger = logging.getLogger("soa")


class Server(LanguageServer):
    """pygls' server with our state beside it."""

    def __init__(self, engine: Sequence[str] | None) -> None:
        super().__init__(
            "soa-language-server",
            _version(),
            text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
            converter_factory=from_lsp.converter,
        )
        self.documents = Documents()
        self.person = Person(self)
        self.controller = Controller(self.person, self.documents, engine or ENGINE)
        self.saving = OnSave(self.controller)
        self.resuming = Resuming(self.controller)
        self.agents = Agents(self.documents, self.controller.diagnostics, self._exclude)
        self.ending: asyncio.Future[int] | None = None

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Into the log; requests answer with their error, and nothing else concerns the person."""
        logger.error("%s: %s", type(error).__name__, error)

    def _exclude(self) -> tuple[str, ...]:
        """The patterns of what is not indexed: those of all folders' settings."""
        now = self.controller.configuration.now
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
    _actions(server)
    _commands(server)
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
        server.controller.configuration.refresh()
        if not server.person.client.configuration:
            server.controller.configuration.now(None)
        server.resuming.offer()
        if server.person.client.watches:
            server.agents.watched = True
            server.person.watch(WATCHED)
        server.agents.soon(server.documents.folders, after=CALM)

    @server.feature(types.SHUTDOWN)
    async def shutdown(params: None) -> None:
        await server.controller.cancel_all(SHUTDOWN_SECONDS)

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
        if server.controller.configuration.now(documents.root_of(document)).settings.tests.run_on_save:
            server.saving.saved(document.uri)


def _workspace(server: Server) -> None:
    @server.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    def configured(params: types.DidChangeConfigurationParams) -> None:
        server.controller.configuration.push(params.settings)
        server.controller.configuration.refresh()

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def folders_changed(params: types.DidChangeWorkspaceFoldersParams) -> None:
        gone = {path_of(folder.uri) for folder in params.event.removed}
        kept = [folder.root for folder in server.documents.folders if folder.root not in gone]
        server.documents.set_folders([*kept, *_roots(folder.uri for folder in params.event.added)])
        server.agents.stale()
        server.controller.configuration.refresh()

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


def _actions(server: Server) -> None:
    kinds: list[types.CodeActionKind | str] = list(actions.KINDS)

    def editor_of(document: Document) -> EditorSettings:
        root = server.documents.root_of(document)
        return server.controller.configuration.now(root).editor

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=kinds))
    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction | types.Command] | None:
        document = server.documents.get(params.text_document.uri)
        if document is None or not document.is_python or not editor_of(document).code_actions_enabled:
            return None
        jobs = server.controller.jobs.in_document(document.uri)
        cursor = from_lsp.cursor_of(params, server.documents.outline(document), jobs)
        ours = from_lsp.own_diagnostics(params)
        client, only = server.person.client, from_lsp.kinds_of(params)
        found: list[types.CodeAction | types.Command] = [
            to_lsp.code_action(action, client, ours) for action in actions.available(cursor, only)
        ]
        if only is not None and client.disabled and from_lsp.asked_for(params):
            found += [to_lsp.disabled_action(each, client) for each in actions.disabled(cursor, only)]
        return found

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    def code_lenses(params: types.CodeLensParams) -> list[types.CodeLens] | None:
        document = server.documents.get(params.text_document.uri)
        if document is None or document.path is None or not document.is_python:
            return None
        if not editor_of(document).code_lens_enabled:
            return None
        outline = server.documents.outline(document)
        failing = server.controller.diagnostics.failing_in(document.path)
        return [to_lsp.code_lens(lens, outline.lines) for lens in lenses.available(outline, failing)]

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hover(params: types.HoverParams) -> types.Hover | None:
        document = server.documents.get(params.text_document.uri)
        if document is None or document.path is None or not document.is_python:
            return None
        outline = server.documents.outline(document)
        offset = outline.lines.offset(params.position.line, params.position.character)
        named = (f for f in outline.functions if f.name[0] <= offset <= f.name[1])
        function = next(named, None)
        if function is None or is_test_file(outline.path):
            return None
        known = hovers.Known(
            (await server.agents.of_file(document.uri)).get(str(function.id)),
            server.controller.diagnostics.failing_in(document.path).get(function.id.qualname, ()),
            server.controller.said.get(f"{document.path.as_posix()}::{function.id.qualname}", ""),
        )
        place = to_lsp.span_range(outline.lines, *function.name)
        return to_lsp.hover(hovers.text(function, known), place, server.person.client)


COMMANDS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {  # -> job kind, required, optional keys
    "soa.generate": ("generate", ("uri", "qualname", "version"), ("protocol",)),
    "soa.regenerate": ("regenerate", ("uri", "qualname", "version"), ("protocol",)),
    "soa.stubs": ("stubs", ("uri", "qualname", "version"), ("protocol",)),
    "soa.implementFile": ("implementFile", ("uri", "version"), ("protocol",)),
    "soa.runTests": ("runTests", ("uri",), ("qualname",)),
}


def _commands(server: Server) -> None:
    def add(command: str) -> None:
        kind, required, optional = COMMANDS[command]

        @server.command(command)
        def start(*arguments: Any) -> dict[str, str]:
            argument = _checked(lambda: from_lsp.argument_of(command, arguments, required, optional))
            if argument.protocol and not is_protocol(argument.protocol):
                raise JsonRpcInvalidParams(f"{command}: protocol must be one of {', '.join(PROTOCOLS)}.")
            request = Request(
                kind=kind,  # type: ignore[arg-type]  # the table holds job kinds
                uri=argument.uri,
                qualname=argument.qualname,
                version=argument.version,
                protocol=argument.protocol,
            )
            return {"jobId": server.controller.begin(request)}

    for command in COMMANDS:
        add(command)

    @server.command("soa.cancel")
    def cancel(*arguments: Any) -> dict[str, str]:
        argument = _checked(lambda: from_lsp.argument_of("soa.cancel", arguments, ("jobId",)))
        server.controller.cancel(argument.job_id)
        return {"jobId": argument.job_id}

    @server.command("soa.resume")
    def resume(*arguments: Any) -> dict[str, str]:
        argument = _checked(lambda: from_lsp.argument_of("soa.resume", arguments, ("jobId",)))
        server.resuming.resume(argument.job_id)
        return {"jobId": argument.job_id}

    @server.feature(types.WINDOW_WORK_DONE_PROGRESS_CANCEL)
    def cancel_progress(params: types.WorkDoneProgressCancelParams) -> None:
        job = server.controller.jobs.by_token(params.token)
        if job is not None:
            server.controller.cancel(job.id)


def _checked(read: Callable[[], from_lsp.Argument]) -> from_lsp.Argument:
    try:
        return read()
    except UsageError as error:
        raise JsonRpcInvalidParams(str(error)) from error


def _roots(uris: Any) -> list[Path]:
    return [path for path in map(path_of, uris) if path is not None]


def _version() -> str:
    try:
        return version("soa-language-server")
    except PackageNotFoundError:
        return "0"
