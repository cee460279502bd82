"""Where the workspace is, and how functions, files and tests are named from the current folder."""

from __future__ import annotations

from pathlib import Path

from soa_agents.errors import UsageError
from soa_agents.swarm.job import FolderRef
from soa_agents.workspace.ids import FunctionId

MARKS = (".git", "pyproject.toml")


def workspace_folder(start: Path) -> Path:
    """The nearest folder at or above `start` that holds one of `MARKS`, else `start` itself."""
    start = start.resolve()
    for folder in (start, *start.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return folder
    return start


def folder_ref(root: Path) -> FolderRef:
    """The folder as jobs name it; there is only one on the command line."""
    return FolderRef(name=root.name or "workspace", root=str(root))


def relative(path: str, root: Path, here: Path) -> str:
    """`path`, written from `here`, as a POSIX path below `root`. Raises `UsageError` for one outside."""
    full = (here / path).resolve()
    if not full.is_relative_to(root):
        raise UsageError(f"{path} is not inside the workspace {root}. Change to its folder first.")
    return full.relative_to(root).as_posix()


def file_or_folder(path: str, root: Path, here: Path) -> str:
    """An existing file's or folder's path below `root`. Raises `UsageError` when there is none."""
    found = relative(path, root, here)
    if not (root / found).exists():
        raise UsageError(
            f"There is no file or folder {path}. Name one of this workspace, or none for all of it."
        )
    return found


def function_id(text: str, root: Path, here: Path) -> FunctionId:
    """The function that `PATH::NAME`, written from `here`, names. Raises `UsageError` without such a file."""
    given = FunctionId.parse(text)
    return FunctionId(python_file(given.path, root, here), given.qualname)


def python_file(path: str, root: Path, here: Path) -> str:
    """An existing file's path below `root`. Raises `UsageError` when there is none."""
    found = relative(path, root, here)
    if not (root / found).is_file():
        raise UsageError(
            f"There is no file {path}. Write functions as path/to/file.py::name, from this folder."
        )
    return found


def node_id(text: str, root: Path, here: Path) -> str:
    """pytest's id of a test, written from `here`, as it is from `root`."""
    path, separator, rest = text.partition("::")
    return python_file(path, root, here) + separator + rest
