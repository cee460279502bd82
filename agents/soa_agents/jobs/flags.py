"""Lines that a patch puts into files and that can fool a test. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from soa_agents.patch import Patch
from soa_agents.swarm.imports import top_level
from soa_agents.verify.screen import Flag, screen
from soa_agents.workspace.functions import dedented, functions
from soa_agents.workspace.syntax import Span, Syntax, parse, start_of


def flagged(texts: Mapping[str, str], patch: Patch) -> tuple[Flag, ...]:
    """The flags of what the patch writes, whatever it is called by then; of what stood there before, none.

    Whole files are looked at, so that a name which the file imports is known for what it is.
    """
    found: list[Flag] = []
    undo = patch.inverse(texts).edits  # they stand where the patch's own text does
    for path, text in sorted(patch.apply(texts).items()):
        syntax = parse(text)
        put = [_stripped(text, edit.start, edit.end) for edit in undo if edit.path == path]
        put = [span for span in put if span.start < span.end]
        rows = {row for start, end in put for row in range(syntax.line(start), syntax.line(end) + 1)}
        found += [flag for flag in _screened(path, syntax, put) if flag.line in rows]
    return tuple(dict.fromkeys(found))


def _stripped(text: str, start: int, end: int) -> Span:
    """A part of a text without the white space at its edges."""
    part = text[start:end]
    return Span(start + len(part) - len(part.lstrip()), start + len(part.rstrip()))


def _screened(path: str, syntax: Syntax, put: Sequence[Span]) -> list[Flag]:
    """The flags of a file and of its parts that hold what was put: some may parse where the file does not."""
    whole = screen(syntax.text[start_of(syntax.text) :])
    found = {*whole}.union(*(screen(*each) for each in _parts(path, syntax, put)))
    return sorted(found, key=lambda flag: (flag.line, flag.why))


def _parts(path: str, syntax: Syntax, put: Sequence[Span]) -> Iterator[tuple[str, int]]:
    """Statements and functions with the lines they begin at."""

    def holds(span: Span) -> bool:
        return any(start < span.end and span.start < end for start, end in put)

    for statement in top_level(syntax.text):
        if holds(statement.span):
            yield syntax.text[slice(*statement.span)], syntax.line(statement.span.start)
    for function in functions(path, syntax.text):
        if holds(function.span):
            yield dedented(syntax.text, function), function.line
