"""Edits to files, with the hashes of what they replace."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

from soa_agents.errors import TargetChanged

Group = Literal["target", "helper", "import", "stub", "tests"]
Locate = Callable[[str, str], Mapping[str, tuple[int, int]]]  # path, text -> spans by qualified name


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


def make_edit(text: str, edit: Edit) -> Edit:
    """`edit` with the hash of what it replaces in `text`, its file's text."""
    return replace(edit, replaced=_sha256(text[edit.start : edit.end]))


def make_patch(edits: Iterable[Edit], created: Iterable[str] = ()) -> Patch:
    """A patch of `edits`, which may come in any order. Raises `ValueError` when two overlap."""
    ordered = tuple(sorted(edits, key=lambda edit: (edit.path, edit.start, edit.end)))
    for one, two in pairwise(ordered):
        if one.path == two.path and two.start < one.end:
            raise ValueError(f"edits overlap in {one.path} at character {two.start}")
    return Patch(ordered, tuple(sorted(set(created))))


@dataclass(frozen=True, slots=True)
class Patch:
    """Edits in order of path and position, none overlapping.

    `created` are files that did not exist, `deleted` files that are to go (only the inverse of a patch that
    creates them deletes any); both count as empty texts where they are missing.
    """

    edits: tuple[Edit, ...] = ()
    created: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every file the patch names, sorted."""
        return tuple(sorted({edit.path for edit in self.edits} | set(self.created) | set(self.deleted)))

    def to_existing(self) -> Patch:
        """The part of the patch that changes files which are there; new files are left out."""
        return Patch(tuple(edit for edit in self.edits if edit.path not in self.created))

    def apply(self, texts: Mapping[str, str]) -> dict[str, str]:
        """The new text of every file the patch names; raises `TargetChanged` when a hash differs."""
        return {path: _splice(self._before(path, texts), self._edits_of(path)) for path in self.paths}

    def by_function(self) -> tuple[tuple[str, Patch], ...]:
        """The patch as it grows function by function: each FunctionId as text, with all edits up to it.

        A helper comes with the first function that names it, itself or by other helpers; imports and what
        nothing names with the first function of their file, new files with the last. One part with an empty
        name where no function is replaced.
        """
        targets = [edit for edit in self.edits if edit.group == "target"]
        if not targets:
            return (("", self),)
        step = {edit: self._step(edit, targets) for edit in self.edits}
        parts = []
        for number, target in enumerate(targets):
            edits = tuple(edit for edit in self.edits if step[edit] <= number)
            created = tuple(path for path in self.created if any(edit.path == path for edit in edits))
            parts.append((f"{target.path}::{target.function}", Patch(edits, created, self.deleted)))
        return tuple(parts)

    def _step(self, edit: Edit, targets: list[Edit]) -> int:
        """The number of the function that an edit comes with."""
        if edit.path in self.created:
            return len(targets) - 1
        if edit.group == "target":
            return targets.index(edit)
        near = [number for number, target in enumerate(targets) if target.path == edit.path] or [0]
        name = edit.function.rpartition(".")[2]
        naming = (number for number in near if name and name in self._names_used(targets[number]))
        return next(naming, near[0])

    def _names_used(self, target: Edit) -> set[str]:
        """The words of a new function and of the helpers of its file that it names, directly or not."""
        helpers = [edit for edit in self._edits_of(target.path) if edit.group == "helper"]
        used = set(re.findall(r"\w+", target.new))
        for _ in helpers:
            for helper in helpers:
                if helper.function.rpartition(".")[2] in used:
                    used |= set(re.findall(r"\w+", helper.new))
        return used

    def inverse(self, texts: Mapping[str, str]) -> Patch:
        """The patch that undoes this one on the texts it produces. `texts` are those before it."""
        edits: list[Edit] = []
        for path in self.paths:
            text, moved = self._before(path, texts), 0
            for edit in self._edits_of(path):
                start = edit.start + moved
                back = text[edit.start : edit.end]
                edits.append(
                    replace(
                        edit, start=start, end=start + len(edit.new), new=back, replaced=_sha256(edit.new)
                    )
                )
                moved += len(edit.new) - len(back)
        return Patch(tuple(edits), created=self.deleted, deleted=self.created)

    def rebase(self, old: Mapping[str, str], new: Mapping[str, str], locate: Locate) -> Patch:
        """The same change on `new`: targets are found again by name, other places by their neighbours.

        `locate` gives the spans of a text's functions by qualified name (`workspace.functions.spans`).
        Raises `TargetChanged` when text the patch replaces (or the place it inserts at) was itself edited.
        """
        edits: list[Edit] = []
        for path in self.paths:
            before, after = self._before(path, old), self._before(path, new)
            moving = _Moving(path, before, after, locate)
            edits += self._edits_of(path) if before == after else map(moving.move, self._edits_of(path))
        try:
            return replace(make_patch(edits, self.created), deleted=self.deleted)
        except ValueError as error:
            raise TargetChanged(
                f"{_names(self.edits)} moved while SoA worked on it; generate it again."
            ) from error

    def unified(self, texts: Mapping[str, str]) -> str:
        """A unified diff (`--- a/…`, `+++ b/…`), which `git apply` and `patch` take."""
        changed = self.apply(texts)
        return "".join(
            _diff(
                texts.get(path, ""),
                changed[path],
                "/dev/null" if path in self.created else f"a/{path}",
                "/dev/null" if path in self.deleted else f"b/{path}",
            )
            for path in self.paths
        )

    def _edits_of(self, path: str) -> tuple[Edit, ...]:
        return tuple(edit for edit in self.edits if edit.path == path)

    def _before(self, path: str, texts: Mapping[str, str]) -> str:
        """The file's text before the patch."""
        text = texts.get(path)
        if path in self.created:
            if text:
                raise TargetChanged(
                    f"{path} was created while SoA worked, so nothing was applied; generate again."
                )
            return ""
        if text is None:
            raise TargetChanged(f"{path} is no longer there, so nothing was applied; generate again.")
        return text


@dataclass(slots=True)
class _Moving:
    """Carries the places of one file from its old text to its new one."""

    path: str
    old: str
    new: str
    locate: Locate
    _equal: list[tuple[int, int, int]] | None = None

    def move(self, edit: Edit) -> Edit:
        start, end = self._target(edit) or self._region(edit)
        if _sha256(self.new[start:end]) != _sha256(self.old[edit.start : edit.end]):
            raise _changed(edit)
        return replace(edit, start=start, end=end)

    def _target(self, edit: Edit) -> tuple[int, int] | None:
        """The new place of the function that `edit` replaces as a whole; None for any other edit.

        The edit may go on behind the function: a stub's comments are replaced with it.
        """
        old = self.locate(self.path, self.old).get(edit.function)
        if old is None or edit.start != old[0] or edit.end < old[1]:
            return None
        found = self.locate(self.path, self.new).get(edit.function)
        if found is None:
            raise TargetChanged(
                f"{edit.function} is no longer in {self.path}, so nothing was applied; generate it again."
            )
        return found[0], found[1] + edit.end - old[1]

    def _region(self, edit: Edit) -> tuple[int, int]:
        start = self._place(edit.start)
        end = start if edit.end == edit.start or start is None else start + edit.end - edit.start
        if start is None or end is None:
            raise _changed(edit)
        return start, end

    def _place(self, offset: int) -> int | None:
        """Where a character went: with its line, else (at the start of a line) behind the line before it."""
        old, new = _starts(self.old), _starts(self.new)
        line = max(i for i, start in enumerate(old) if start <= offset)
        same = self._line(line)
        if same is not None:
            return new[same] + offset - old[line]
        previous = self._line(line - 1) if offset == old[line] and line > 0 else None
        return new[previous + 1] if previous is not None and previous + 1 < len(new) else None

    def _line(self, line: int) -> int | None:
        """The new number of an unchanged line."""
        if self._equal is None:
            self._equal = _equal_lines(_lines(self.old), _lines(self.new))
        for one, two, size in self._equal:
            if one <= line < one + size:
                return two + line - one
        return None


def _splice(text: str, edits: tuple[Edit, ...]) -> str:
    parts, done = [], 0
    for edit in edits:
        here = text[edit.start : edit.end]
        inside = done <= edit.start <= edit.end <= len(text)
        if not inside or (here and _sha256(here) != edit.replaced):
            raise _changed(edit)
        parts += [text[done : edit.start], edit.new]
        done = edit.end
    return "".join([*parts, text[done:]])


def _changed(edit: Edit) -> TargetChanged:
    what = edit.function or f"The place that SoA would edit in {edit.path}"
    return TargetChanged(f"{what} changed while SoA worked on it, so nothing was applied; generate it again.")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _names(edits: tuple[Edit, ...]) -> str:
    return next((edit.function for edit in edits if edit.group == "target"), "The function")


def _lines(text: str) -> list[str]:
    """Lines with their ends, cut at `\\n` alone, as `git` and `patch` do; the last may be empty."""
    cut = text.split("\n")
    return [line + "\n" for line in cut[:-1]] + [cut[-1]]


def _starts(text: str) -> list[int]:
    starts = [0]
    for line in _lines(text)[:-1]:
        starts.append(starts[-1] + len(line))
    return starts


def _equal_lines(old: list[str], new: list[str]) -> list[tuple[int, int, int]]:
    """Runs of unchanged lines: their numbers in both texts and their length."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    matcher = difflib.SequenceMatcher(
        None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False
    )
    middle = [(one + head, two + head, size) for one, two, size in matcher.get_matching_blocks()]
    return [(0, 0, head), *middle, (len(old) - tail, len(new) - tail, tail)]


def _common(one: list[str], two: list[str]) -> int:
    count = 0
    for a, b in zip(one, two, strict=False):
        if a != b:
            break
        count += 1
    return count


def _diff(old: str, new: str, source: str, target: str) -> str:
    before, after = ([line for line in _lines(text) if line] for text in (old, new))
    lines = list(difflib.unified_diff(before, after, n=3))[2:]
    if not lines:
        return ""
    marked = (line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
    return f"--- {_header(source)}\n+++ {_header(target)}\n" + "".join(marked)


def _header(path: str) -> str:
    """A path as diff headers write it: a tab ends names with blanks, quotes hold control characters."""
    if any(ord(c) < 32 or c in '"\\' for c in path):
        quoted = "".join(f"\\{ord(c):03o}" if ord(c) < 32 else f"\\{c}" if c in '"\\' else c for c in path)
        return f'"{quoted}"'
    return f"{path}\t" if " " in path else path
