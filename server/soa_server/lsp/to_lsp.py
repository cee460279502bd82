"""From our values to the protocol's. Only this module and `from_lsp` translate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lsprotocol import types
from soa_agents.patch import Edit, Patch
from soa_agents.workspace.snapshot import Snapshot

from soa_server.lsp import hovers
from soa_server.lsp.actions import Action, Disabled
from soa_server.lsp.diagnostics import Failing
from soa_server.lsp.documents import Document, Documents
from soa_server.lsp.from_lsp import FAILED, SOURCE, Client
from soa_server.lsp.lenses import Lens
from soa_server.lsp.lines import LineIndex


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
    return [(files[path], _joined(e for e in patch.edits if e.path == path)) for path in patch.paths]


def _joined(edits: Iterable[Edit]) -> list[Edit]:
    """Edits that begin at different places: what goes in where another edit begins becomes part of that one.

    The protocol allows insertions before a replacement at one place, but not every client keeps their order.
    """
    found: list[Edit] = []
    for edit in edits:
        if found and found[-1].start == edit.start:
            before = found.pop()
            names = ", ".join(name for name in (before.function, edit.function) if name)
            edit = replace(edit, new=before.new + edit.new, function=names)
        found.append(edit)
    return found


def _annotated(
    edit: Edit, place: types.Range, annotations: dict[str, types.ChangeAnnotation], confirm: bool
) -> types.AnnotatedTextEdit:
    label = edit.function or {"import": "imports", "tests": "new tests"}.get(edit.group, edit.group)
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
