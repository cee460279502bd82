"""Kept: what was found of a state stays true until an event is about one of the targets it was found from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from soa_agents.swarm.state import State

_Found = TypeVar("_Found")


class Kept:
    """Values by name. It changes how fast a protocol answers, never what it says."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[dict[str, object], object, Any]] = {}

    def found(
        self, name: Hashable, state: State, roots: Iterable[str], by: object, find: Callable[[], _Found]
    ) -> _Found:
        """What `find` says, asked again only when a target of `roots` has another mark or `by` is another."""
        marks = {root: state.marks.get(root) for root in roots}
        known = self._known.get(name)
        if known is None or None in marks.values() or known[0] != marks or known[1] != by:
            known = self._known[name] = (marks, by, find())
        found: _Found = known[2]
        return found
