"""Edits to files, with the hashes of what they replace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Group = Literal["target", "helper", "import", "stub", "tests"]


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the characters `start:end` of `path` by `new`.

    `function` is the qualified name the edit is about ("" for imports), `group` what kind of change it is.
    `replaced` is the sha256 of the text that stood there when the edit was made.
    """

    path: str
    start: int
    end: int
    new: str
    group: Group
    function: str = ""
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class Patch:
    """Edits in order of path and position, none overlapping. `created` are files that did not exist."""

    edits: tuple[Edit, ...] = ()
    created: tuple[str, ...] = ()

    def apply(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The new text of every file the patch names; raises `TargetChanged` when a hash differs."""
        raise NotImplementedError

    def inverse(self, texts: Mapping[str, str]) -> Patch:
        """The patch that undoes this one on the texts it produces."""
        raise NotImplementedError

    def rebase(self, old: Mapping[str, str], new: Mapping[str, str]) -> Patch:
        """The same change on `new`: targets are found again by name, other places by their neighbours.

        Raises `TargetChanged` when text the patch replaces (or the place it inserts at) was itself edited.
        """
        raise NotImplementedError

    def unified(self, texts: Mapping[str, str]) -> str:
        """A unified diff (`--- a/…`, `+++ b/…`), which `git apply` and `patch` take."""
        raise NotImplementedError
