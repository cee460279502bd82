"""What is asked about a place, a document or the workspace, from memory: actions, lenses, hovers, symbols."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING

from lsprotocol import types
from soa_agents.workspace.snapshot import is_test_file

from soa_server.lsp import actions, from_lsp, hovers, lenses, symbols, to_lsp
from soa_server.lsp.agents import Stub
from soa_server.lsp.documents import Document, Outline
from soa_server.settings import EditorSettings

if TYPE_CHECKING:
    from soa_server.lsp.app import Server

MOMENT = 0.1  # seconds that a first answer has to itself before the rest of a long text is read


def add_answers(server: Server) -> None:
    """The handlers of code actions, code lenses, hovers and symbols."""
    _add_actions(server)
    _add_symbols(server)


def _add_actions(server: Server) -> None:
    kinds: list[types.CodeActionKind | str] = list(actions.KINDS)

    def editor_of(document: Document) -> EditorSettings:
        root = server.documents.root_of(document)
        return server.session.configuration.now(root).editor

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=kinds))
    def code_actions(params: types.CodeActionParams) -> list[types.CodeAction | types.Command] | None:
        document = server.documents.get(params.text_document.uri)
        if document is None or not document.is_python or not editor_of(document).code_actions_enabled:
            return None
        jobs = server.session.jobs.in_document(document.uri)
        cursor = from_lsp.cursor_of(params, _outline_at(server, document, params.range.start.line), jobs)
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
        failing = server.session.diagnostics.failing_in(document.path)
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
            server.session.diagnostics.failing_in(document.path).get(function.id.qualname, ()),
            server.session.jobs.said.get(f"{document.path.as_posix()}::{function.id.qualname}", ""),
        )
        place = to_lsp.span_range(outline.lines, *function.name)
        return to_lsp.hover(hovers.text(function, known), place, server.person.client)


def _outline_at(server: Server, document: Document, line: int) -> Outline:
    """What is known around a line; the rest of a long text is read in a moment, and nobody waits for it."""

    def read() -> None:
        if (now := server.documents.get(document.uri)) is not None:
            server.documents.outline(now)

    outline = server.documents.glimpse(document, line)
    if not server.documents.is_read(document):
        asyncio.get_running_loop().call_later(MOMENT, read)
    return outline


def _add_symbols(server: Server) -> None:
    session = server.session

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, types.DocumentSymbolOptions(label="SoA"))
    def document_symbols(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol] | None:
        document = session.documents.get(params.text_document.uri)
        if document is None or not document.is_python:
            return None
        outline = session.documents.outline(document)
        failing = session.diagnostics.failing_in(document.path) if document.path else {}
        written = session.jobs.written_in(document.path) if document.path else ()
        found = symbols.in_document(outline, failing, written)
        return [to_lsp.document_symbol(each, outline.lines) for each in found]

    @server.feature(types.WORKSPACE_SYMBOL)
    async def workspace_symbols(params: types.WorkspaceSymbolParams) -> list[types.SymbolInformation]:
        stubs = await server.agents.stubs(session.documents.folders)
        wanted = partial(symbols.matches, params.query)
        places = chain(_failing(server, wanted), _stubs(server, stubs, wanted))
        return [to_lsp.workspace_symbol(each) for each in islice(places, symbols.MOST)]


Wanted = Callable[[str], bool]  # asked of a qualified name


def _failing(server: Server, wanted: Wanted) -> Iterator[symbols.Place]:
    """Functions behind failing tests."""
    for uri, shown in server.session.diagnostics.shown.items():
        for failing in shown:
            if failing.qualname and wanted(failing.qualname):
                detail = f"{len(failing.nodeids)} failing"
                yield symbols.Place(uri, failing.qualname, detail, failing.range)


def _stubs(server: Server, indexed: Sequence[Stub], wanted: Wanted) -> Iterator[symbols.Place]:
    """The stubs of the open documents, and those of other files as they were indexed."""
    documents = server.session.documents
    snapshot = documents.snapshot(documents.folders)
    for path in snapshot.buffers:
        document = documents.at(snapshot.disk(path))
        if document is not None and document.is_python:
            outline = documents.outline(document)
            for each in filter(lambda each: wanted(each.qualname), symbols.in_document(outline, {}, ())):
                start, end = (outline.lines.position(at) for at in each.name)
                yield symbols.Place(document.uri, each.qualname, each.detail, (*start, *end))
    for path, qualname, line in indexed:
        if wanted(qualname) and path not in snapshot.buffers:
            place = (line - 1, 0, line - 1, 0)
            yield symbols.Place(snapshot.disk(path).as_uri(), qualname, "stub", place)
