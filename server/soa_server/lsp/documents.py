"""Open documents and their outlines, in memory; where each lies in the workspace.

Nothing here waits for the disk. A request takes the `Document` it needs at its start: it is frozen, later
typing makes another one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit

from soa_agents.errors import Refused
from soa_agents.workspace.functions import Function
from soa_agents.workspace.glimpse import glimpse
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.live import Live, followed, opened
from soa_agents.workspace.outline import documented_at
from soa_agents.workspace.snapshot import Folder, Snapshot, open_folders

from soa_server.lsp.lines import MARK, Encoding, LineIndex

Position = tuple[int, int]  # a line and code units in it
Edit = tuple[tuple[Position, Position] | None, str]

LONG = 80_000  # characters; reading a longer text takes a parser most of what a first answer may take
_DRIVE = re.compile(r"^/[A-Za-z]:")


@lru_cache(maxsize=1024)  # asked several times for each request
def canonical(uri: str) -> str:
    """One spelling for every URI of a file: drive letters small, the same characters escaped."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "file":
        return uri
    path = unquote(parts.path)
    if _DRIVE.match(path):
        path = path[0] + path[1].lower() + path[2:]
    host = "" if parts.netloc.lower() == "localhost" else parts.netloc
    return f"file://{host}{quote(path, safe='/')}"


def path_of(uri: str) -> Path | None:
    """The file of a URI, None when it names none (untitled documents, notebook cells, other schemes)."""
    parts = urlsplit(uri)
    if parts.scheme.lower() != "file" or parts.fragment:
        return None
    path = unquote(parts.path)
    return Path(path[1:] if os.name == "nt" and _DRIVE.match(path) else path)


class Document(NamedTuple):
    """An open document. `uri` is the client's own spelling, `path` None where no file stands behind it.

    `marked`: the client's text begins with a byte order mark, which `text` leaves out.
    """

    uri: str
    path: Path | None
    text: str
    version: int
    language: str
    marked: bool = False

    def lines(self, encoding: Encoding) -> LineIndex:
        """The text's lines, with positions as the client counts them."""
        return LineIndex.of(self.text, encoding, marked=self.marked)

    @property
    def is_python(self) -> bool:
        """Written in Python, by its language or its name."""
        return self.language == "python" or (self.path is not None and self.path.suffix == ".py")


class Outline(NamedTuple):
    """What stands in a document: its lines, functions and docstrings. Ids carry the name `path`."""

    document: Document
    path: str
    lines: LineIndex
    live: Live

    @property
    def functions(self) -> tuple[Function, ...]:
        """The functions, in file order; none is lost while another is being typed."""
        return self.live.functions

    def function_at(self, offset: int) -> Function | None:
        """The innermost function that holds the character `offset`."""
        return self.live.function_at(offset)

    def documented_at(self, offset: int) -> FunctionId | None:
        """What the docstring is of that holds the character `offset`."""
        return documented_at(self.live, offset)


@dataclass(slots=True)
class Documents:
    """The open documents and the workspace's folders. The only mutable store of texts."""

    encoding: Encoding = "utf-16"
    folders: tuple[Folder, ...] = ()
    _open: dict[str, Document] = field(default_factory=dict)
    _outlines: dict[str, Outline] = field(default_factory=dict)
    _first: dict[str, Document] = field(default_factory=dict)  # as opened, until an outline is asked for
    _lines: LineIndex | None = None  # of the last document that was edited

    def set_folders(self, roots: Iterable[Path]) -> None:
        """The workspace's folders, in the client's order; they get unique names."""
        self.folders = open_folders(roots)
        self._outlines.clear()

    def open(self, uri: str, text: str, version: int, language: str) -> None:
        """A document was opened."""
        self._outlines.pop(canonical(uri), None)
        self._keep(_document(uri, text, version, language))
        self._first[canonical(uri)] = self._open[canonical(uri)]

    def change(self, uri: str, text: str, version: int) -> None:
        """A document has another text now. Each change is followed, so that a broken text loses nothing."""
        before = self.get(uri)
        language = before.language if before else "python"
        self._keep(_document(before.uri if before else uri, text, version, language))
        if canonical(uri) in self._outlines:
            self.outline(self._open[canonical(uri)])

    def edit(self, uri: str, edits: Iterable[Edit], version: int) -> None:
        """Replace ranges of a document one after the other; a range of None is the whole text.

        Changes of a document that is not open say nothing.
        """
        before = self.get(uri)
        if before is None:
            return
        known = self._outlines.get(canonical(uri))
        text = (MARK if before.marked else "") + before.text
        lines = known.lines if known is not None and known.lines.text == text else None
        for place, new in edits:
            if place is None:
                lines = LineIndex.of(new, self.encoding)
                continue
            lines = lines or LineIndex.of(text, self.encoding)
            start, end = (lines.offset(*position) for position in place)
            lines = lines.edited(start, max(start, end), new)
        if lines is not None:
            self._lines = lines
            self.change(uri, lines.text, version)

    def close(self, uri: str) -> None:
        """A document was closed; the disk's text counts again."""
        for kept in (self._open, self._outlines, self._first):
            kept.pop(canonical(uri), None)

    def get(self, uri: str) -> Document | None:
        """The open document of a URI, however it is spelled."""
        return self._open.get(canonical(uri))

    def at(self, disk: Path) -> Document | None:
        """The open document of a file."""
        return next((d for d in self._open.values() if d.path == disk), None)

    def outline(self, document: Document) -> Outline:
        """The document's outline: read when it is first asked for, followed from then on."""
        key = canonical(document.uri)
        known = self._outlines.get(key)
        if known is not None and known.document is document:
            return known
        path = self._name(document)
        if known is not None and known.path == path:
            live = followed(known.live, document.text)
        else:
            first = self._first.get(key, document).text
            live = followed(opened(path, first), document.text)
        read = self._lines is not None and self._lines.text is document.text
        lines = self._lines if self._lines and read else document.lines(self.encoding)
        outline = Outline(document, path, lines, live)
        if self._open.get(key) is document:
            self._outlines[key] = outline
            self._first.pop(key, None)
        return outline

    def glimpse(self, document: Document, line: int) -> Outline:
        """The outline, or of a long text that nobody has read yet what stands around a line of it."""
        key = canonical(document.uri)
        if len(document.text) >= LONG and key not in self._outlines:
            lines, path = document.lines(self.encoding), self._name(document)
            live = glimpse(path, document.text, lines.line_span(line)[0])
            if live is not None:
                return Outline(document, path, lines, live)
        return self.outline(document)

    def is_read(self, document: Document) -> bool:
        """Is its outline known already?"""
        return canonical(document.uri) in self._outlines

    def folders_for(self, disk: Path) -> tuple[Folder, ...]:
        """The workspace that a file belongs to.

        A file outside every folder is a workspace of its own: its directory serves as the folder, so that a
        single file opened in an editor can be worked on together with the tests beside it.
        """
        inside = _innermost(disk, tuple(folder.root for folder in self.folders))
        return self.folders if inside is not None else open_folders([disk.parent])

    def root_of(self, document: Document) -> Path | None:
        """The folder whose settings hold for a document; None where no file stands behind it."""
        if document.path is None:
            return None
        return _innermost(document.path, tuple(folder.root for folder in self.folders_for(document.path)))

    def snapshot(self, folders: Sequence[Folder]) -> Snapshot:
        """The folders' texts with every open Python document of theirs laid over the disk."""
        bare = Snapshot(tuple(folders))
        buffers = {
            path: document.text
            for document in self._open.values()
            if document.path is not None and (path := bare.path(document.path)) is not None
        }
        return Snapshot(tuple(folders), buffers)

    def _keep(self, document: Document) -> None:
        self._open[canonical(document.uri)] = document

    def _name(self, document: Document) -> str:
        if document.path is None:
            return document.uri
        return Snapshot(self.folders_for(document.path)).path(document.path) or document.path.name


@lru_cache(maxsize=1024)
def _innermost(path: Path, roots: tuple[Path, ...]) -> Path | None:
    inside = [root for root in roots if path.is_relative_to(root)]
    return max(inside, key=lambda root: len(root.parts), default=None)


def _document(uri: str, text: str, version: int, language: str) -> Document:
    return Document(uri, path_of(uri), text.removeprefix(MARK), version, language, text.startswith(MARK))


def file_of(uri: str) -> Path:
    """The file of a URI; raises `Refused` with what to do where none stands behind it."""
    path = path_of(uri)
    if path is not None:
        return path
    scheme = urlsplit(uri).scheme.lower()
    if scheme == "untitled":
        raise Refused(
            "This document is not saved yet, so no test can import it. Save it as a .py file first."
        )
    if "notebook" in scheme or urlsplit(uri).fragment:
        raise Refused("SoA does not write notebook cells. Move the function to a .py file and import it.")
    raise Refused(
        f"SoA works on files of this machine, not on {scheme or 'unnamed'} documents. Open it as a file."
    )
