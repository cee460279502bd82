"""Sections of text that shrink until they fit. Pure.

A section has levels, from its whole text down to nothing. Where the budget is too small the sections that
matter least are lowered first; the function is never cut, and its tests only when the two alone exceed it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from soa_agents.swarm.views.material import Piece

_HEADING = 12  # tokens around one section


def tokens(text: str) -> int:
    """About how many tokens a text takes: a third of its UTF-8 bytes, rather too many for code."""
    return -(-len(text.encode("utf-8", "replace")) // 3)


@dataclass(frozen=True, slots=True)
class Section:
    """A section's texts, ever shorter; the last one is what it may be lowered to."""

    name: str
    levels: tuple[str, ...]

    @property
    def text(self) -> str:
        """The longest level left."""
        return self.levels[0]


# The sections in the order in which they are lowered; those not named here stay as they are.
_LOWERED = (
    *("notes", "useful", "siblings", "callers", "imported", "tests_apart", "mother_before", "types"),
    *("owner", "header", "advice", "mother", "helpers", "mother_feedback", "report", "feedback", "tests"),
)


def fit(sections: Sequence[Section], budget: int) -> dict[str, str]:
    """The texts of the sections, lowered until they take at most `budget` tokens together, if they can."""
    kept = {s.name: s for s in sections if s.text}
    for name in _LOWERED:
        while _size(kept.values()) > budget and name in kept and len(kept[name].levels) > 1:
            kept[name] = Section(name, kept[name].levels[1:])
    return {name: section.text for name, section in kept.items() if section.text}


def _size(sections: Iterable[Section]) -> int:
    return sum(tokens(s.text) + _HEADING for s in sections if s.text)


def of_pieces(name: str, pieces: Sequence[Piece], limit: int) -> Section:
    """A section of the pieces that fit into `limit` characters; each level has half as many of them."""
    chosen: list[Piece] = []
    for piece in pieces:
        size = len(piece.text) + 2
        if size <= limit:
            limit -= size
            chosen.append(piece)
    levels = []
    while chosen:
        levels.append(_joined(sorted(chosen, key=lambda p: p.place)))
        chosen = chosen[: len(chosen) // 2]
    return Section(name, (*levels, ""))


def _joined(pieces: Iterable[Piece]) -> str:
    """The pieces as one text, a line that several have in common once above them."""
    text, before = "", None
    for piece in pieces:
        shared = before is not None and piece.under == before.under
        if before is not None:
            text += "\n" if piece.compact and before.compact and shared else "\n\n"
        text += piece.text if shared or not piece.under else f"{piece.under}\n{piece.text}"
        before = piece
    return text


def of_text(name: str, text: str, *limits: int) -> Section:
    """A section of one text that may be cut to so many characters, and then left out."""
    cut = (f"{text[:n].rstrip()}\n… (shortened)" if len(text) > n else text for n in limits)
    return Section(name, (*dict.fromkeys(cut), ""))
