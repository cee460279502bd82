"""From our values to the protocol's. Only this module and `from_lsp` translate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from lsprotocol import types
from soa_agents.workspace.snapshot import Snapshot

from soa_server.lsp import hovers
from soa_server.lsp.actions import Action, Disabled
from soa_server.lsp.diagnostics import Failing
from soa_server.lsp.documents import Document, Documents
from soa_server.lsp.from_lsp import FAILED, SOURCE, Client
from soa_server.lsp.lenses import Lens
from soa_server.lsp.lines import LineIndex
from soa_server.lsp.symbols import Place, Symbol

if TYPE_CHECKING:
    from soa_agents.patch import Edit, Patch


def code_action(
    action: Action, client: Client, ours: Sequence[types.Diagnostic]
) -> types.CodeAction | types.Command:
    """A code action with a command and no edit; for clients without action literals the bare command."""
    command = types.Command(title=action.title, command=action.command, arguments=[action.argument])
    if not client.action_literals:
        return command
    return types.CodeAction(
        title=action.title,
        kind=action.kind,
        command=command,
        diagnostics=[ours[index] for index in action.fixes] or None,
        tags=_tags(client),
    )


def disabled_action(action: Disabled, client: Client) -> types.CodeAction:
    """A code action that can only be looked at, and why."""
    why = types.CodeActionDisabled(reason=action.reason)
    return types.CodeAction(title=action.title, kind=action.kind, disabled=why, tags=_tags(client))


def _tags(client: Client) -> list[types.CodeActionTag] | None:
    return [types.CodeActionTag.LlmGenerated] if client.tags else None


def code_lens(lens: Lens, lines: LineIndex) -> types.CodeLens:
    """A lens over a function's name, with its command."""
    command = types.Command(title=lens.title, command=lens.command, arguments=[lens.argument])
    return types.CodeLens(range=span_range(lines, lens.start, lens.end), command=command)


def document_symbol(symbol: Symbol, lines: LineIndex) -> types.DocumentSymbol:
    """A function with what SoA says of it."""
    return types.DocumentSymbol(
        name=symbol.qualname,
        detail=symbol.detail,
        kind=types.SymbolKind.Method if symbol.is_method else types.SymbolKind.Function,
        range=span_range(lines, *symbol.span),
        selection_range=span_range(lines, *symbol.name),
    )


def workspace_symbol(place: Place) -> types.SymbolInformation:
    """A function somewhere, with what SoA says of it."""
    return types.SymbolInformation(
        name=place.qualname,
        kind=types.SymbolKind.Function,
        location=types.Location(uri=place.uri, range=_place(place.range)),
        container_name=place.detail,
    )


def hover(markdown: str, place: types.Range, client: Client) -> types.Hover:
    """A hover over a place; plain text for clients that show no Markdown."""
    kind = types.MarkupKind.Markdown if client.markdown else types.MarkupKind.PlainText
    shown = markdown if client.markdown else hovers.plain(markdown)
    return types.Hover(contents=types.MarkupContent(kind=kind, value=shown), range=place)


@dataclass(frozen=True, slots=True)
class Target:
    """A file that a patch edits: its URI, its text now, and its version when it is open."""

    uri: str
    lines: LineIndex
    version: int | None
    exists: bool = True
    is_new: bool = False


def targets(patch: Patch, snapshot: Snapshot, documents: Documents) -> dict[str, Target]:
    """The files of a patch by their paths, with what stands in them now."""
    found = {}
    for path in patch.paths:
        disk = snapshot.disk(path)
        document: Document | None = documents.at(disk)
        text = document.text if document else snapshot.text(path)
        uri = document.uri if document else disk.as_uri()
        encoding = documents.encoding
        found[path] = Target(
            uri,
            document.lines(encoding) if document else LineIndex.of(text or "", encoding),
            document.version if document else None,
            exists=text is not None,
            is_new=path in patch.created,
        )
    return found


def workspace_edit(
    patch: Patch, files: Mapping[str, Target], client: Client, *, confirm: bool
) -> types.WorkspaceEdit:
    """Versioned `documentChanges`, annotated where the client knows that; else plain `changes`.

    `confirm` asks the client to show the edit before it applies it.
    """
    if not client.document_changes:
        return types.WorkspaceEdit(
            changes={
                target.uri: [
                    types.TextEdit(span_range(target.lines, edit.start, edit.end), edit.new) for edit in edits
                ]
                for target, edits in _by_file(patch, files)
            }
        )
    annotations: dict[str, types.ChangeAnnotation] = {}
    changes: list[types.CreateFile | types.TextDocumentEdit] = []
    for target, edits in _by_file(patch, files):
        shaped: list[types.TextEdit | types.AnnotatedTextEdit] = [
            _annotated(edit, span_range(target.lines, edit.start, edit.end), annotations, confirm)
            if client.annotations
            else types.TextEdit(span_range(target.lines, edit.start, edit.end), edit.new)
            for edit in edits
        ]
        if target.is_new:  # with its first edit's annotation, else a preview would have it ticked
            key = next((e.annotation_id for e in shaped if isinstance(e, types.AnnotatedTextEdit)), None)
            changes.append(types.CreateFile(uri=target.uri, annotation_id=key))
        identifier = types.OptionalVersionedTextDocumentIdentifier(uri=target.uri, version=target.version)
        changes.append(types.TextDocumentEdit(text_document=identifier, edits=shaped))
    return types.WorkspaceEdit(document_changes=changes, change_annotations=annotations or None)


def _by_file(patch: Patch, files: Mapping[str, Target]) -> list[tuple[Target, list[Edit]]]:
    apart = (
        _apart([e for e in patch.edits if e.path == path], files[path].lines.text) for path in patch.paths
    )
    return [(files[path], edits) for path, edits in zip(patch.paths, apart, strict=True)]


def _apart(edits: Iterable[Edit], text: str) -> list[Edit]:
    """The same change by edits that begin at different places, one for each function wherever that can be.

    The protocol allows insertions before a replacement at one place, but not every client keeps their order,
    and what is joined to one edit cannot be ticked by halves in a preview.
    """
    found: list[Edit] = []
    for _, group in groupby(edits, key=lambda edit: edit.start):
        floor = max(found[-1].end, found[-1].start + 1) if found else 0
        found += _spread(list(group), text, floor)
    return found


def _spread(here: list[Edit], text: str, floor: int) -> list[Edit]:
    """Edits of one place, each at a place of its own that does not lie before `floor`.

    A replacement begins behind what it leaves as it is, and insertions go before the line breaks in front of
    the place; those that find no place any more are joined.
    """
    start = here[0].start
    if len(here) > 1:
        here[-1] = _shortened(here[-1], text)
    placed: list[tuple[int, Edit]] = []  # where each goes, the last first
    free: int | None = start
    for edit in reversed(here):
        if edit.start > start:
            placed.append((edit.start, edit))
        elif free is not None and edit.new.endswith(text[free:start]):
            placed.append((free, edit))
            free = _before_break(text, free, floor)
        else:
            place, later = placed.pop()
            label = f"{_label(edit)}, {_label(later)}"
            placed.append((place, replace(later, new=edit.new + later.new, function=label)))
            free = None
    return [_moved(edit, place, text) for place, edit in reversed(placed)]


def _shortened(edit: Edit, text: str) -> Edit:
    """A replacement without the characters at its beginning that stay; never cut inside a line break."""
    pairs = zip(text[edit.start : edit.end - 1], edit.new, strict=False)
    same = "".join(old for old, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)).rstrip("\r")
    return replace(edit, start=edit.start + len(same), new=edit.new[len(same) :])


def _before_break(text: str, offset: int, floor: int) -> int | None:
    """Where the line break in front of a line's start begins, unless that lies before `floor`."""
    size = 2 if text[:offset].endswith("\r\n") else int(text[:offset].endswith(("\r", "\n")))
    return offset - size if size and offset - size >= floor else None


def _moved(edit: Edit, place: int, text: str) -> Edit:
    """An insertion before what it ends with too: the text after it is the same."""
    passed = text[place : edit.start]
    kept = edit.new[: len(edit.new) - len(passed)]
    return replace(edit, start=place, end=place, new=passed + kept) if passed else edit


def _label(edit: Edit) -> str:
    return edit.function or {"import": "imports", "tests": "new tests"}.get(edit.group, edit.group)


def _annotated(
    edit: Edit, place: types.Range, annotations: dict[str, types.ChangeAnnotation], confirm: bool
) -> types.AnnotatedTextEdit:
    label = _label(edit)
    key = f"{edit.path}::{label}"
    description = {"tests": "SoA: new tests", "stub": "SoA: new stubs"}.get(edit.group, "SoA: code")
    annotations[key] = types.ChangeAnnotation(
        label=label, needs_confirmation=confirm, description=f"{description} in {edit.path}"
    )
    return types.AnnotatedTextEdit(annotation_id=key, range=place, new_text=edit.new)


def span_range(lines: LineIndex, start: int, end: int) -> types.Range:
    """The range of two character offsets."""
    return types.Range(types.Position(*lines.position(start)), types.Position(*lines.position(end)))


def diagnostic(failing: Failing, client: Client) -> types.Diagnostic:
    """A diagnostic on a function that fails tests, or on a test that nothing is suspected for."""
    related = [
        types.DiagnosticRelatedInformation(
            location=types.Location(uri=place.uri, range=_place(place.range)), message=place.message
        )
        for place in failing.related
    ]
    return types.Diagnostic(
        range=_place(failing.range),
        message=failing.message,
        severity=types.DiagnosticSeverity.Error,
        source=SOURCE,
        code=FAILED,
        data={"nodeids": list(failing.nodeids)},
        related_information=related if client.related and related else None,
    )


def _place(place: tuple[int, int, int, int]) -> types.Range:
    line, character, end_line, end_character = place
    return types.Range(types.Position(line, character), types.Position(end_line, end_character))


def show_document(path: Path) -> types.ShowDocumentParams:
    """A request to show a file beside the person's work."""
    return types.ShowDocumentParams(uri=path.as_uri(), take_focus=True)


def diagnostics(uri: str, shown: list[types.Diagnostic]) -> tuple[str, types.PublishDiagnosticsParams]:
    """The notification that says all that is to be shown in a document."""
    method = types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS
    return method, types.PublishDiagnosticsParams(uri=uri, diagnostics=shown)
