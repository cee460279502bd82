"""From the protocol's values to ours. Only this module and `to_lsp` translate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import cattrs
from lsprotocol import types
from lsprotocol.converters import get_converter
from pygls.protocol import JsonRPCNotification, JsonRPCRequestMessage, JsonRPCResponseMessage
from soa_agents.errors import UsageError

from soa_server.lsp.actions import Cursor, OurDiagnostic
from soa_server.lsp.documents import Edit, Outline
from soa_server.lsp.lines import Encoding

SOURCE = "soa"
FAILED = "test-failed"


@dataclass(frozen=True, slots=True)
class Client:
    """What the client can do, as far as the server asks."""

    applies_edits: bool = False
    document_changes: bool = False
    creates_files: bool = False
    annotations: bool = False
    progress: bool = False
    shows_documents: bool = False
    shows_buttons: bool = False
    stops_for_buttons: bool = False  # as Neovim does, whose prompt holds the person up
    configuration: bool = False
    registers_configuration: bool = False
    watches: bool = False
    action_literals: bool = False
    tags: bool = False
    disabled: bool = False
    markdown: bool = False
    refreshes_lenses: bool = False
    related: bool = False
    supports: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)
    process_id: int | None = None


def client_of(params: types.InitializeParams) -> Client:
    """The client's capabilities and initialization options."""
    options = plain(params.initialization_options)
    options = options if isinstance(options, dict) else {}
    has = _Capabilities(params.capabilities)
    action = "text_document.code_action"
    message = "window.show_message.message_action_item"
    supports = options.get("clientSupports")
    return Client(
        applies_edits=has("workspace.apply_edit"),
        document_changes=has("workspace.workspace_edit.document_changes"),
        creates_files="create" in (has.value("workspace.workspace_edit.resource_operations") or ()),
        annotations=has("workspace.workspace_edit.change_annotation_support"),
        progress=has("window.work_done_progress"),
        shows_buttons=has("window.show_message"),
        stops_for_buttons=has.value(f"{message}.additional_properties_support") is False,
        shows_documents=has("window.show_document.support"),
        configuration=has("workspace.configuration"),
        registers_configuration=has("workspace.did_change_configuration.dynamic_registration"),
        watches=has("workspace.did_change_watched_files.dynamic_registration"),
        action_literals=has(f"{action}.code_action_literal_support"),
        tags=1 in (has.value(f"{action}.tag_support.value_set") or ()),
        disabled=has(f"{action}.disabled_support"),
        markdown="markdown" in (has.value("text_document.hover.content_format") or ()),
        refreshes_lenses=has("workspace.code_lens.refresh_support"),
        related=has("text_document.publish_diagnostics.related_information"),
        supports=frozenset(s for s in supports if isinstance(s, str))
        if isinstance(supports, list)
        else frozenset(),
        options={key: value for key, value in options.items() if key != "clientSupports"},
        process_id=params.process_id,
    )


def encoding_of(agreed: types.PositionEncodingKind | str | None) -> Encoding:
    """The agreed position encoding."""
    value = agreed.value if isinstance(agreed, types.PositionEncodingKind) else agreed
    return cast(Encoding, value) if value in ("utf-8", "utf-16", "utf-32") else "utf-16"


def folder_uris(params: types.InitializeParams) -> tuple[str, ...]:
    """The workspace folders, or the one root of an older client."""
    if params.workspace_folders:
        return tuple(folder.uri for folder in params.workspace_folders)
    return (params.root_uri,) if params.root_uri else ()


def edit_of(change: types.TextDocumentContentChangeEvent) -> Edit:
    """One content change: what it replaces, None for the whole text, and by what."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        return None, change.text
    start, end = change.range.start, change.range.end
    return ((start.line, start.character), (end.line, end.character)), change.text


def cursor_of(params: types.CodeActionParams, outline: Outline, jobs: Sequence[str]) -> Cursor:
    """What a request for code actions is about; foreign diagnostics are left out."""
    start = params.range.start
    diagnostics = tuple(
        OurDiagnostic(outline.lines.offset(d.range.start.line, d.range.start.character), nodeids_of(d))
        for d in own_diagnostics(params)
    )
    return Cursor(outline, outline.lines.offset(start.line, start.character), diagnostics, tuple(jobs))


def own_diagnostics(params: types.CodeActionParams) -> tuple[types.Diagnostic, ...]:
    """Those diagnostics of a request that are ours."""
    return tuple(d for d in params.context.diagnostics if d.source == SOURCE and d.code == FAILED)


def nodeids_of(diagnostic: types.Diagnostic) -> tuple[str, ...]:
    """The tests that one of our diagnostics stands for."""
    data = plain(diagnostic.data)
    found = data.get("nodeids") if isinstance(data, dict) else None
    return tuple(str(nodeid) for nodeid in found) if isinstance(found, list) else ()


def kinds_of(params: types.CodeActionParams) -> tuple[str, ...] | None:
    """The kinds asked for, None for all."""
    if params.context.only is None:
        return None
    return tuple(k.value if isinstance(k, types.CodeActionKind) else k for k in params.context.only)


def asked_for(params: types.CodeActionParams) -> bool:
    """Whether a person asked for certain kinds of actions, not the editor by itself."""
    invoked = params.context.trigger_kind == types.CodeActionTriggerKind.Invoked
    return invoked and params.context.only is not None


# -- command arguments


class Argument(NamedTuple):
    """A command's argument. `version` is None for a document that is not open."""

    uri: str = ""
    qualname: str = ""
    version: int | None = None
    protocol: str = ""
    job_id: str = ""


FIELDS: Mapping[str, tuple[str, type, bool]] = {  # key -> attribute, type, may be null
    "uri": ("uri", str, False),
    "qualname": ("qualname", str, False),
    "version": ("version", int, True),
    "protocol": ("protocol", str, False),
    "jobId": ("job_id", str, False),
}


def argument_of(
    command: str, arguments: Sequence[Any], required: Sequence[str], optional: Sequence[str] = ()
) -> Argument:
    """The one object of a command; raises `UsageError` that says what was expected and what came."""
    expected = f"{command} takes one object {{{', '.join([*required, *(f'{name}?' for name in optional)])}}}"
    if len(arguments) != 1:
        raise UsageError(f"{expected}, not {len(arguments)} arguments.")
    given = plain(arguments[0])
    if not isinstance(given, dict):
        raise UsageError(f"{expected}, not {type(given).__name__}.")
    values: dict[str, Any] = {}
    for key in (*required, *optional):
        attribute, kind, nullable = FIELDS[key]
        value = given.get(key)
        if value is None and (key in optional or (nullable and key in given)):
            continue
        if key not in given:
            raise UsageError(f"{expected}; {key} is missing.")
        if not isinstance(value, kind) or isinstance(value, bool) or value == "":
            raise UsageError(f"{expected}; {key} must not be {value!r}.")
        values[attribute] = value
    unknown = sorted(set(given) - {*required, *optional})
    if unknown:
        raise UsageError(f"{expected}; it knows no {', '.join(unknown)}.")
    return Argument(**values)


# -- plain JSON


def plain(value: Any) -> Any:
    """Dictionaries and lists of whatever pygls made of the JSON of an untyped place."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, types.LSPObject):
        return {str(key): plain(inner) for key, inner in vars(value).items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def converter() -> Any:
    """The protocol's converter, with the parameters and results of our own methods left as the JSON they are.

    It says less of what is wrong with a message, and so reads every message in half the time.
    """
    made = get_converter(cattrs.Converter(detailed_validation=False))
    made.register_structure_hook(
        JsonRPCRequestMessage, lambda d, cls: cls(d["id"], d["method"], d["jsonrpc"], d.get("params"))
    )
    made.register_structure_hook(
        JsonRPCNotification, lambda d, cls: cls(d["method"], d["jsonrpc"], d.get("params"))
    )
    made.register_structure_hook(
        JsonRPCResponseMessage, lambda d, cls: cls(d["id"], d["jsonrpc"], d.get("result"))
    )
    return made


class _Capabilities:
    """Looks capabilities up by path; anything left out is None."""

    def __init__(self, capabilities: types.ClientCapabilities) -> None:
        self._root = capabilities

    def value(self, path: str) -> Any:
        here: Any = self._root
        for name in path.split("."):
            here = getattr(here, name, None)
        return here

    def __call__(self, path: str) -> bool:
        value = self.value(path)
        return value is not None and value is not False
