"""What several agents wrote, with one meaning for each name that they chose. Pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from soa_agents.swarm.assembly.renaming import Renaming, renamed
from soa_agents.swarm.code import Written
from soa_agents.swarm.imports import meanings, module_names
from soa_agents.swarm.source import words
from soa_agents.workspace.ids import FunctionId


@dataclass(frozen=True, slots=True)
class Piece:
    """One agent's function, with what it brought along.

    `anchor` is the workspace function beside which new definitions are placed; for a piece that replaces a
    workspace function it is that function. `new` functions do not stand in their file yet. A stub among the
    helpers is written as it is unless another piece is that function: that of an agent whose `mother` is this
    `agent`.
    """

    function: FunctionId
    anchor: FunctionId
    new: bool
    written: Written
    agent: str = ""
    mother: str = ""


def merge_names(pieces: Sequence[Piece], taken: frozenset[str] = frozenset()) -> tuple[Piece, ...]:
    """The pieces with one meaning for each new name; `taken` are names that may not be given.

    Mothers come before their Children. What two agents bring alike stays one; where they differ the later's
    becomes `_x_2`, and with it its uses in what that agent and those below it wrote. An import that binds a
    name to something else gets `as` another one.
    """
    settled = list(pieces)
    while (clash := _clash(settled)) is not None:
        settled = _with_new_name(settled, *clash, taken)
    return tuple(settled)


def _clash(pieces: Sequence[Piece]) -> tuple[str, tuple[int, ...]] | None:
    """A name that has several meanings in a file, and the pieces that bring it with the second of them."""
    covering = _covering(pieces)
    found: dict[tuple[str, str], dict[str, list[int]]] = {}
    for index, piece in enumerate(pieces):
        for name, source in _brought(piece.written).items():
            own = covering.get((index, name))
            meaning = source if own is None else pieces[own].written.source
            found.setdefault((piece.function.path, name), {}).setdefault(meaning, []).append(index)
    for (_, name), by in found.items():
        if len(by) > 1:
            return name, tuple(list(by.values())[1])
    return None


def _brought(written: Written) -> dict[str, str]:
    """The qualified names of what came with a function, each with its source or what it is imported from."""
    brought: dict[str, str] = {}
    for source in written.imports:
        brought |= _imported(source)
    for source in written.statements:
        brought |= dict.fromkeys(module_names(source), source)
    return brought | {helper.qualname: helper.source for helper in written.helpers}


def _covering(pieces: Sequence[Piece]) -> dict[tuple[int, str], int]:
    """Which piece is the function that another one brought as a stub: its Mother's, who stands before it."""
    found: dict[tuple[int, str], int] = {}
    for index, piece in enumerate(pieces):
        name = piece.function.qualname
        for before in reversed(range(index) if piece.new else range(0)):
            other = pieces[before]
            mother = other.agent == piece.mother and other.function.path == piece.function.path
            brings = any(each.qualname == name and each.is_stub for each in other.written.helpers)
            if mother and brings and (before, name) not in found:
                found[before, name] = index
                break
    return found


def _with_new_name(
    pieces: Sequence[Piece], name: str, bringing: Sequence[int], taken: frozenset[str]
) -> list[Piece]:
    """The pieces with another name for what some of them bring, wherever it is meant."""
    covering = _covering(pieces)
    used = words("\n".join([*taken, *(source for piece in pieces for source in _sources(piece.written))]))
    owner, _, old = name.rpartition(".")
    new = next(f"{old}_{n}" for n in range(2, len(used) + 3) if f"{old}_{n}" not in used)
    renaming = Renaming(old, new, owner.rpartition(".")[2])
    written_anew = {covering.get((index, name)) for index in bringing}
    changed = list(pieces)
    for each in _below(pieces, name, bringing):
        function, own = pieces[each].function, each in written_anew
        changed[each] = replace(
            pieces[each],
            function=replace(function, qualname=_called(name, new)) if own else function,
            written=_renamed_in(pieces[each].written, name, renaming, own),
        )
    return changed


def _below(pieces: Sequence[Piece], name: str, bringing: Sequence[int]) -> set[int]:
    """The pieces that bring the name, and those of the agents below them that do not bring it themselves."""
    below = {*bringing}
    for (mother, _), child in sorted(_covering(pieces).items(), key=lambda item: item[1]):
        if mother in below and name not in _brought(pieces[child].written):
            below.add(child)
    return below


def _sources(written: Written) -> tuple[str, ...]:
    helpers = (each.source for each in written.helpers)
    return (written.source, *written.imports, *written.statements, *helpers)


def _renamed_in(written: Written, name: str, renaming: Renaming, own: bool) -> Written:
    """All of an agent's code after a renaming; `own` says that its own function is the one renamed."""
    return replace(
        written,
        source=renamed(written.source, renaming, own),
        statements=tuple(renamed(each, renaming) for each in written.statements),
        imports=tuple(_imported_as(each, renaming) for each in written.imports),
        helpers=tuple(
            replace(
                each,
                qualname=_called(name, renaming.new) if each.qualname == name else each.qualname,
                source=renamed(each.source, renaming, each.qualname == name),
            )
            for each in written.helpers
        ),
    )


def _imported(source: str) -> dict[str, str]:
    """The name that a single import binds and what it means; none for `import a.b`, which binds `a`."""
    (name, meaning), *_ = meanings(ast.parse(source).body[0]).items()
    return {name: meaning} if name == meaning or re.search("[:=]", meaning) else {}


def _imported_as(source: str, renaming: Renaming) -> str:
    """A single import under the new name, if it is the name that it binds."""
    node = ast.parse(source).body[0]
    if renaming.owner or renaming.old not in _imported(source):
        return source
    if isinstance(node, ast.Import | ast.ImportFrom):
        node.names[0].asname = renaming.new
    return ast.unparse(node)


def _called(qualname: str, name: str) -> str:
    """The qualified name with another last part."""
    prefix, dot, _ = qualname.rpartition(".")
    return f"{prefix}{dot}{name}"
