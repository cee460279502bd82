"""What several agents wrote, with one meaning for each name that they chose. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from soa_agents.swarm.code import Written
from soa_agents.swarm.imports import bindings
from soa_agents.swarm.source import renamed, words
from soa_agents.workspace.ids import FunctionId


@dataclass(frozen=True, slots=True)
class Piece:
    """One agent's function, with what it brought along.

    `anchor` is the workspace function beside which new definitions are placed; for a piece that replaces a
    workspace function it is that function. `new` functions do not stand in their file yet. A stub among the
    helpers is written as it is unless another piece is that function.
    """

    function: FunctionId
    anchor: FunctionId
    new: bool
    written: Written


def merge_names(pieces: Sequence[Piece], taken: frozenset[str] = frozenset()) -> tuple[Piece, ...]:
    """The pieces with one meaning for each new name; `taken` are names that may not be given.

    Mothers come before their Children. What two agents bring alike stays one; where they differ the later's
    becomes `_x_2`, and with it its uses in what that agent and those below it wrote.
    """
    settled = list(pieces)
    while (clash := _clash(settled)) is not None:
        settled = _with_new_name(settled, *clash, taken)
    return tuple(settled)


def _clash(pieces: Sequence[Piece]) -> tuple[int, str] | None:
    """The first piece that brings a name which an earlier one brought with another meaning."""
    covering = _covering(pieces)
    meanings: dict[tuple[str, str], object] = {}
    for index, piece in enumerate(pieces):
        brought: list[tuple[str, object]] = [
            (name, source)
            for source in piece.written.statements
            for name in bindings(source)
            if "." not in name
        ]
        for helper in piece.written.helpers:
            own = covering.get((index, helper.qualname))
            brought.append((helper.qualname, helper.source if own is None else pieces[own].written.source))
        for name, meaning in brought:
            if meanings.setdefault((piece.function.path, name), meaning) != meaning:
                return index, name
    return None


def _covering(pieces: Sequence[Piece]) -> dict[tuple[int, str], int]:
    """Which piece is the function that another one brought as a helper: the nearest one before it did."""
    found: dict[tuple[int, str], int] = {}
    for index, piece in enumerate(pieces):
        name = piece.function.qualname
        for before in reversed(range(index) if piece.new else range(0)):
            other = pieces[before]
            brings = any(each.qualname == name for each in other.written.helpers)
            if brings and other.function.path == piece.function.path and (before, name) not in found:
                found[before, name] = index
                break
    return found


def _with_new_name(pieces: Sequence[Piece], index: int, name: str, taken: frozenset[str]) -> list[Piece]:
    covering = _covering(pieces)
    below = {index}
    for (mother, _), child in sorted(covering.items(), key=lambda item: item[1]):
        below |= {child} if mother in below else set()
    used = frozenset[str]().union(
        *(words(source) for piece in pieces for source in _sources(piece.written)), taken
    )
    prefix, dot, old = name.rpartition(".")
    new = next(f"{old}_{n}" for n in range(2, len(used) + 3) if f"{old}_{n}" not in used)
    own = covering.get((index, name))
    changed = list(pieces)
    for each in below:
        function = pieces[each].function
        if each == own:
            function = replace(function, qualname=f"{prefix}{dot}{new}")
        written = _renamed_in(pieces[each].written, name, new)
        changed[each] = replace(pieces[each], function=function, written=written)
    return changed


def _sources(written: Written) -> tuple[str, ...]:
    return (written.source, *written.statements, *(each.source for each in written.helpers))


def _renamed_in(written: Written, name: str, new: str) -> Written:
    prefix, dot, old = name.rpartition(".")
    attribute = bool(dot)
    return replace(
        written,
        source=renamed(written.source, old, new, attribute),
        statements=tuple(renamed(each, old, new, attribute) for each in written.statements),
        helpers=tuple(
            replace(
                each,
                qualname=f"{prefix}{dot}{new}" if each.qualname == name else each.qualname,
                source=renamed(each.source, old, new, attribute),
            )
            for each in written.helpers
        ),
    )
