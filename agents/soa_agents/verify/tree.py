"""The private tree: the workspace's files with a candidate's laid over them, never the person's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

_LINKED = frozenset({".git", ".hg", "node_modules", ".tox", ".nox"})  # too big to copy, read but not written
_SKIPPED = frozenset({".mypy_cache", ".ruff_cache"})


def is_environment(path: Path) -> bool:
    """Whether a directory is a virtual environment."""
    installed = os.path.isfile(path / "pyvenv.cfg")  # noqa: PTH113 - Path's own raises in a closed folder
    return installed or os.path.isdir(path / "conda-meta")  # noqa: PTH112 - likewise


def linked(tree: Path) -> tuple[Path, ...]:
    """The entries of `tree` that a private copy only links to."""
    try:
        found = [e for e in tree.iterdir() if e.is_dir() and (e.name in _LINKED or is_environment(e))]
    except OSError:
        return ()
    return tuple(sorted(found))


def copy_tree(tree: Path, place: Path, bytecode: str = "") -> None:
    """Copy `tree` to `place`; unreadable files and special files are left out.

    From the folder `bytecode` comes what the tree has not itself.
    """
    links = set(linked(tree))

    def left_out(folder: str, names: list[str]) -> set[str]:
        here = Path(folder)
        return {n for n in names if n in _SKIPPED or here / n in links or not _copied(here / n)}

    shutil.copytree(tree, place, symlinks=True, ignore=left_out, dirs_exist_ok=True)
    for link in links:
        (place / link.name).symlink_to(link)
    for folder, _, names in os.walk(bytecode or os.devnull):
        for name in names:
            own = place / Path(folder, name).relative_to(bytecode)
            if own.parent.parent.is_dir() and not own.exists():
                own.parent.mkdir(exist_ok=True)
                shutil.copyfile(Path(folder, name), own)


def _copied(path: Path) -> bool:
    if path.is_symlink():
        return True
    if path.is_dir():
        return os.access(path, os.R_OK | os.X_OK)
    return path.is_file() and os.access(path, os.R_OK)


def lay_over(tree: Path, candidate: Path, files: Iterable[str]) -> None:
    """Put the candidate's files into the private tree, and take away the byte code of what they replace.

    Byte code is matched by size and whole seconds, so a candidate of the same size, written in the second
    in which the person saved, would otherwise not be run at all.
    """
    for name in files:
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.is_file() else 0o644
        if target.is_symlink() or target.exists():
            target.unlink()
        shutil.copyfile(candidate / name, target)
        target.chmod(mode)
        for stale in target.parent.joinpath("__pycache__").glob(f"{_escaped(target.stem)}.*.pyc"):
            stale.unlink()
        target.with_suffix(".pyc").unlink(missing_ok=True)


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
