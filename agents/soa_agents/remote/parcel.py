"""The workspace as it travels to a node: the files that its tests may need, named by what is in them."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

from soa_agents.errors import Refused
from soa_agents.verify.tree import is_environment
from soa_agents.verify.visible import surroundings
from soa_agents.workspace import repository

MOST_MB = 512  # together; a workspace beyond it carries data that should lie elsewhere
_NEVER = GitIgnoreSpec.from_lines(
    (
        *(".git/", ".hg/", ".tox/", ".nox/", "node_modules/"),
        *("__pycache__/", "*.pyc", ".*_cache/", ".hypothesis/"),
        *(".env", ".env.*", "!.env.example", ".netrc", ".pypirc", ".git-credentials"),  # what holds secrets
    )
)


@dataclass(frozen=True, slots=True)
class Item:
    """One file, or a symbolic link to `link`. `path` is relative, with `/`."""

    path: str
    mode: int
    data: bytes = b""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """The files below one place; the workspace folder lies at `folder` in it ("" for the place itself)."""

    folder: str
    items: tuple[Item, ...]
    digest: str

    def unpack(self, place: Path) -> Path:
        """Write everything below `place`, readable by its owner alone. Returns the workspace folder."""
        place.mkdir(mode=0o700, parents=True)
        for item in self.items:
            target = place / item.path
            target.parent.mkdir(parents=True, exist_ok=True)
            if item.link:
                target.symlink_to(item.link)
            else:
                target.write_bytes(item.data)
                target.chmod(item.mode)
        root = place / self.folder
        root.mkdir(parents=True, exist_ok=True)
        return root


def pack(root: Path) -> Parcel:
    """The workspace folder `root`: what git tracks or does not ignore, and pytest's configuration above it.

    Environments, caches and files that are known to hold secrets stay. Raises `Refused` for too much.
    """
    above = [Path(name) for name in surroundings(root, Path.home())]
    files = [path for path in above if path.is_file() and path.name != ".git"]
    top = min((path.parent for path in files if root.is_relative_to(path.parent)), default=root)
    inside = root.relative_to(top)
    files = [path for path in files if path.is_relative_to(top)] + [root / name for name in _own(root)]
    items, size = [], 0
    for path in sorted(dict.fromkeys(files)):
        item = _item(top, path)
        if item is not None:
            items.append(item)
            size += len(item.data)
        if size > MOST_MB << 20:
            raise Refused(
                f"{root} holds more than {MOST_MB} MB that git does not ignore, too much to send to a "
                "cluster. Let git ignore what the tests do not need, or leave out --ray."
            )
    folder = "" if inside == Path() else inside.as_posix()
    return Parcel(folder, tuple(items), _digest(folder, items))


def _own(root: Path) -> Iterator[str]:
    """The files below `root` that travel, relative to it."""
    rules = [] if (listed := repository.listed(root)) else _lines(root / ".gitignore")
    ignored = GitIgnoreSpec.from_lines(rules)
    environments: dict[str, bool] = {"": False}

    def installed(folder: str) -> bool:
        if folder not in environments:
            above = folder.rpartition("/")[0]
            environments[folder] = installed(above) or is_environment(root / folder)
        return environments[folder]

    for name in listed or _walked(root):
        if not (_NEVER.match_file(name) or ignored.match_file(name) or installed(name.rpartition("/")[0])):
            yield name


def _walked(root: Path) -> Iterator[str]:
    """Every file below `root`, where no repository says which belong to it."""
    for here, folders, names in os.walk(root):
        place = PurePosixPath(Path(here).relative_to(root).as_posix())
        folders[:] = [
            name
            for name in folders
            if not _NEVER.match_file(f"{place / name}/") and not is_environment(Path(here) / name)
        ]
        yield from (str(place / name) for name in (*names, *folders) if _is_file_or_link(Path(here) / name))


def _is_file_or_link(path: Path) -> bool:
    return path.is_symlink() or path.is_file()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _item(top: Path, path: Path) -> Item | None:
    """A file or a link that stays inside; None for what cannot be read or is neither."""
    name = path.relative_to(top).as_posix()
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            link = os.readlink(path)  # noqa: PTH115 - as it is written
            goal = os.path.normpath(os.path.join(os.path.dirname(name), link))  # noqa: PTH118, PTH120 - a text
            return None if goal.startswith(("..", "/")) else Item(name, 0o777, link=link)
        if stat.S_ISREG(found.st_mode):
            return Item(name, 0o700 if found.st_mode & 0o100 else 0o600, path.read_bytes())
    except OSError:
        pass
    return None


def _digest(folder: str, items: Iterable[Item]) -> str:
    whole = hashlib.sha256(folder.encode())
    for item in items:
        told = f"\0{item.path}\0{item.mode}\0{item.link}\0{len(item.data)}\0"
        whole.update(told.encode("utf-8", "surrogateescape"))
        whole.update(item.data)
    return whole.hexdigest()
