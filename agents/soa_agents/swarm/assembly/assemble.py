"""Pieces to patch: functions spliced into their files, new definitions put where a person would put them.

Pure. The result depends on nothing but the texts and the order of the pieces. Outside the spans it replaces
and the places it inserts at, every byte stays; what it writes follows the file's line ends and indentation.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from soa_agents.patch import Edit, Patch, make_edit, make_patch
from soa_agents.swarm.assembly.importing import import_edits
from soa_agents.swarm.assembly.layout import File, file_of, replacement
from soa_agents.swarm.assembly.pieces import Piece, merge_names
from soa_agents.swarm.assembly.renaming import Renaming, renamed
from soa_agents.swarm.code import Def, Definition
from soa_agents.swarm.imports import bindings, names
from soa_agents.swarm.source import cut
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.outline import docstring_place

__all__ = ["Piece", "assemble", "merge_names", "settled", "stubs_patch", "tests_patch"]


def assemble(texts: Mapping[str, str], pieces: Sequence[Piece]) -> Patch:
    """One patch that puts every piece into its file; of two pieces for one workspace function the first.

    `texts` holds every file the pieces name. Raises `KeyError` when a workspace function is not in its file.
    """
    merged = settled(texts, pieces)
    edits: list[Edit] = []
    for path in sorted({piece.function.path for piece in merged}):
        file = file_of(path, texts[path])
        here = [piece for piece in merged if piece.function.path == path]
        edits += import_edits(file, [each for piece in here for each in piece.written.imports])
        edits += _insertions(file, here)
        edits += [replacement(path, texts[path], piece) for piece in here if not piece.new]
    return make_patch(edits)


def settled(texts: Mapping[str, str], pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces as they are put into their files, with one meaning for each new name."""
    pieces = _first_versions(pieces)
    taken = {name for path in {piece.function.path for piece in pieces} for name in bindings(texts[path])}
    return merge_names(pieces, frozenset(taken))


def _first_versions(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces without later ones for the same workspace function and what the agents below them wrote."""
    kept, replaced, gone = list[Piece](), set[FunctionId](), set[str]()
    for piece in pieces:
        if piece.mother in gone or (not piece.new and piece.function in replaced):
            gone |= {piece.agent} - {""}
            continue
        kept.append(piece)
        replaced |= set() if piece.new else {piece.function}
    return kept


def stubs_patch(
    text: str, path: str, place: str, definitions: Sequence[Definition], imports: Sequence[str]
) -> Patch:
    """Stubs put where the docstring of `place` (`<module>`, a class or a function) says they belong.

    At the module's end, behind the last member of the class, behind the function. Raises `KeyError` when
    there is no such docstring.
    """
    found = docstring_place(path, text, place)
    if found is None:
        raise KeyError(place)
    file = file_of(path, text)
    blank = 1 if found.indent else file.gap
    sources = [file.laid_out(each.source, found.indent) for each in definitions]
    names_put = ", ".join(each.qualname for each in definitions)
    new = file.behind(found.insert, sources, blank)
    return make_patch([*import_edits(file, imports), file.made(found.insert, new, "stub", names_put)])


def tests_patch(path: str, text: str | None, source: str) -> Patch:
    """Tests as a new file, or at the end of one that is there; names it has already take `_2`, `_3`."""
    if text is None:
        return make_patch([make_edit("", Edit(path, 0, 0, source.strip("\n") + "\n", "tests"))], [path])
    file = file_of(path, text)
    taken = Counter(bindings(text))
    sources, imports = [], list[str]()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            imports.append(ast.unparse(node))
            continue
        written = cut(source, node)
        for name in names(node) if isinstance(node, Def | ast.ClassDef) else ():
            written = renamed(written, Renaming(name, _free(name, taken)))
        sources.append(file.laid_out(written, ""))
    end = len(text)
    added = [replace(each, group="tests") for each in import_edits(file, imports)]
    return make_patch([*added, file.made(end, file.behind(end, sources, file.gap), "tests")])


def _insertions(file: File, pieces: Sequence[Piece]) -> list[Edit]:
    """What the pieces bring along: constants and classes, then functions, callees above their callers."""
    edits: list[Edit] = []
    stated = dict[str, FunctionId]()
    for piece in pieces:
        for source in piece.written.statements:
            stated.setdefault(source, piece.anchor)
    for source, following in pairwise([*stated, ""]):
        anchor = stated[source]
        together = following in stated and file.held(anchor) == file.held(stated[following])
        near = together and _is_constant(source) and _is_constant(following)
        edits.append(file.beside(anchor, source, ", ".join(bindings(source)), tight=near))
    for qualname, source, anchor in _new_functions(pieces):
        if "." in qualname:
            edits.append(file.method(anchor, qualname, source))
        else:
            edits.append(file.beside(anchor, source, qualname))
    return _spaced(file, edits)


def _is_constant(source: str) -> bool:
    """An assignment on one line; a person sets no blank line between two of them."""
    return "\n" not in source and any(
        isinstance(node, ast.Assign | ast.AnnAssign) for node in ast.parse(source).body
    )


def _new_functions(pieces: Sequence[Piece]) -> Iterator[tuple[str, str, FunctionId]]:
    """Every new function once, with its anchor: before the piece that brought it, its own helpers first."""
    by_name = {piece.function.qualname: piece for piece in reversed(pieces)}
    done = {piece.function.qualname for piece in pieces if not piece.new}

    def emit(piece: Piece) -> Iterator[tuple[str, str, FunctionId]]:
        for helper in piece.written.helpers:
            if helper.qualname in done:
                continue
            done.add(helper.qualname)
            own = by_name.get(helper.qualname)
            if own is not None:
                yield from emit(own)
            yield helper.qualname, own.written.source if own else helper.source, piece.anchor

    for piece in pieces:
        yield from emit(piece)
        if piece.function.qualname not in done:
            done.add(piece.function.qualname)
            yield piece.function.qualname, piece.written.source, piece.anchor


def _spaced(file: File, edits: Sequence[Edit]) -> list[Edit]:
    """The first of several definitions above a statement gets the blank lines that are missing before it."""
    spaced, seen = list[Edit](), set[int]()
    for edit in edits:
        before = file.text[: edit.start]
        above = edit.start not in seen and (not before or before[-1] in "\r\n")
        seen.add(edit.start)
        breaks = re.search(r"(?:[ \t\f]*(?:\r\n|\r|\n))*$", before)
        blank = len(re.findall(r"\r\n|\r|\n", breaks[0])) - 1 if breaks else 0
        lacking = max(0, file.gap - blank) if above and before.strip("\ufeff \t\r\n\f") else 0
        spaced.append(replace(edit, new=file.newline * lacking + edit.new))
    return spaced


def _free(name: str, taken: Counter[str]) -> str:
    """The name itself, or with the first number that makes it new; counted as taken from now on."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    taken[free] += 1
    return free
