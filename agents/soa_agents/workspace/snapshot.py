"""The workspace as texts: the disk with the editor's open buffers over it. Nothing is executed.

Paths are those of `FunctionId`: relative, with `/`, behind the folder's name when there are several folders.
"""

from __future__ import annotations

import io
import os
import stat
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from soa_agents.errors import Refused, UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE = ".soaignore"  # patterns of what SoA leaves out, as in .gitignore, at the top of a folder
MAX_BYTES = 1_000_000  # longer files are generated tables, not code that people write
_FOREIGN = frozenset(
    {"node_modules", "site-packages", "__pycache__", "__pypackages__"}
    | {"_vendor", "vendor", "vendored", "_vendored", "third_party", "venv", "virtualenv"}
)
_BUILT = ("/build/", "/dist/", "*.egg-info/", "*.egg/")  # where no repository says what is ignored


class Folder(NamedTuple):
    """One folder of the workspace. Its name is unique among them."""

    name: str
    root: Path


class SourceFile(NamedTuple):
    """A Python file of the workspace, by what the disk says of it."""

    path: str
    disk: Path
    size: int  # bytes
    mtime_ns: int


class Listing(NamedTuple):
    """The Python files of a workspace in order of path, and how many were left out, by reason."""

    files: tuple[SourceFile, ...]
    skipped: Mapping[str, int]


def open_folders(roots: Iterable[Path]) -> tuple[Folder, ...]:
    """Folders with unique names: the last part of each root, `-2`, `-3` behind further ones."""
    seen: Counter[str] = Counter()
    folders = []
    for root in dict.fromkeys(Path(os.path.abspath(root)) for root in roots):  # noqa: PTH100 - keeps symlinks
        seen[root.name] += 1
        name = root.name or "root"
        folders.append(Folder(name if seen[root.name] == 1 else f"{name}-{seen[root.name]}", root))
    return tuple(folders)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the workspace says now.

    `buffers` (path -> text) win over the disk; `exclude` are patterns as in .gitignore.
    """

    folders: tuple[Folder, ...]
    buffers: Mapping[str, str] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()

    def text(self, path: str) -> str | None:
        """A file's text without byte order mark; None when it cannot be read as Python source."""
        return self.buffers[path] if path in self.buffers else read_text(self.disk(path))

    def texts(self, paths: Iterable[str]) -> dict[str, str]:
        """The texts of those of `paths` that can be read."""
        return {path: text for path in paths if (text := self.text(path)) is not None}

    def disk(self, path: str) -> Path:
        """Where a path lies on the disk; raises `UsageError` when it is in none of the folders."""
        parts = PurePosixPath(path).parts
        folder, inner = self._split(parts)
        if folder is None or not inner or ".." in parts or path.startswith("/"):
            raise UsageError(f"{path} is not in this workspace; write paths relative to its folder.")
        return folder.root.joinpath(*inner)

    def path(self, disk: Path) -> str | None:
        """The path of a file on the disk; None when it is in none of the folders."""
        holding = [f for f in self.folders if disk.is_relative_to(f.root) and disk != f.root]
        if not holding:
            return None
        folder = max(holding, key=lambda f: len(f.root.parts))
        return self.prefix(folder) + disk.relative_to(folder.root).as_posix()

    def prefix(self, folder: Folder) -> str:
        """What the folder's paths begin with: "" or, with several folders, its name and `/`."""
        return f"{folder.name}/" if len(self.folders) > 1 else ""

    def folder(self, path: str) -> Folder | None:
        """The folder that a path lies in."""
        return self._split(PurePosixPath(path).parts)[0]

    def python_files(self) -> Listing:
        """The workspace's own Python files: nothing ignored, hidden, vendored, generated or foreign."""
        skipped: Counter[str] = Counter()
        found: dict[str, SourceFile] = {}
        for folder in self.folders:
            own = (read_text(folder.root / IGNORE) or "").splitlines()
            patterns = [*self.exclude, *own]
            ignored = _patterns(patterns) if patterns else None
            prefix, alone = self.prefix(folder), len(self.folders) == 1
            for inner in _own_files(folder.root, skipped):
                path, disk = prefix + inner, folder.root / inner
                left_out = ignored is not None and ignored.match_file(inner)
                if (alone or self.path(disk) == path) and not left_out:
                    _examine(path, disk, found, skipped)
        for path, text in self.buffers.items():
            if path.endswith(".py") and path not in found and self._is_new(path):
                found[path] = SourceFile(path, self.disk(path), len(text), 0)
        return Listing(tuple(found[path] for path in sorted(found)), dict(skipped))

    def encode(self, path: str, text: str) -> bytes:
        """The bytes that would stand on the disk for `text`: in the encoding of the file there now."""
        return encode_like(self.disk(path), text)

    def _split(self, parts: tuple[str, ...]) -> tuple[Folder | None, tuple[str, ...]]:
        if len(self.folders) == 1:
            return self.folders[0], parts
        folder = next((f for f in self.folders if parts and f.name == parts[0]), None)
        return folder, parts[1:]

    def _is_new(self, path: str) -> bool:
        """Open in the editor under a name that the disk does not have yet."""
        return self.folder(path) is not None and not self.disk(path).exists()


def is_test_file(path: str) -> bool:
    """Is this a test module or something that only tests use?"""
    *folders, name = path.split("/")  # a path object would cost five times as much, and this is asked often
    by_name = name in ("conftest.py", "tests.py") or name.startswith("test_") or name.endswith("_test.py")
    return by_name or "tests" in folders or "test" in folders


def read_text(disk: Path) -> str | None:
    """A Python file's text, decoded as PEP 263 says, newlines as they are, without byte order mark.

    None when it is missing, unreadable, binary, longer than `MAX_BYTES` or no ordinary file.
    """
    try:
        data = _bytes(disk)
        return None if data is None or b"\0" in data else data.decode(_encoding(data))
    except (OSError, SyntaxError, UnicodeDecodeError, LookupError):
        return None


def encode_like(disk: Path, text: str) -> bytes:
    """`text` in the encoding of the file at `disk`, its byte order mark kept; UTF-8 for a new file.

    Raises `Refused` when that encoding has no sign for a character.
    """
    try:
        encoding = _encoding(_bytes(disk) or b"")
    except (OSError, SyntaxError):
        encoding = "utf-8"
    try:
        return text.removeprefix("\ufeff").encode(encoding)
    except UnicodeEncodeError as error:
        sign = text[error.start]
        raise Refused(
            f"{disk.name} is written in {encoding}, which has no {sign!r}; convert it to UTF-8."
        ) from error


def write_text(disk: Path, text: str) -> None:
    """Write a file's whole text, in its encoding and with its mode, in one step: never half of it."""
    import tempfile  # here, as few who read texts write any

    target = disk.resolve()
    data = encode_like(target, text)
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _bytes(disk: Path) -> bytes | None:
    """The bytes of an ordinary file of bearable length; a FIFO would block, so it is never opened."""
    found = disk.stat()
    return disk.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES else None


def _encoding(data: bytes) -> str:
    if b"coding" not in data[: data.find(b"\n", data.find(b"\n") + 1)] and not data.startswith(
        b"\xef\xbb\xbf"
    ):
        return "utf-8"  # what Python would find as well, later
    return tokenize.detect_encoding(io.BytesIO(data).readline)[0]


def _own_files(root: Path, skipped: Counter[str]) -> Iterator[str]:
    """The Python files below `root` that belong to it, relative to it."""
    from soa_agents.workspace import (
        repository,
    )  # here, as a server answers its client before it lists anything

    listed = repository.listed(root)
    if not listed:  # no repository, or the folder as a whole is ignored by the one around it
        yield from _walk(root, skipped)
        return
    top = str(root)
    foreign: dict[str, bool] = {"": False}

    def is_foreign(folder: str) -> bool:
        if folder not in foreign:
            above = folder.rpartition("/")[0]
            foreign[folder] = is_foreign(above) or _is_foreign(f"{top}/{folder}")
        return foreign[folder]

    for inner in listed:
        if inner.endswith(".py") and not is_foreign(inner.rpartition("/")[0]):
            yield inner


def _walk(root: Path, skipped: Counter[str]) -> Iterator[str]:
    """By plain rules, where no repository says what is ignored: the root's .gitignore and usual places."""
    rules = (read_text(root / ".gitignore") or "").splitlines()
    ignored = _patterns([*_BUILT, *rules])
    top = str(root)
    for here, folders, files in os.walk(top, onerror=lambda _: skipped.update(["unreadable"])):
        below = f"{here[len(top) :].strip(os.sep)}/".replace(os.sep, "/") if here != top else ""
        skipped.update("symlink" for name in folders if os.path.islink(f"{here}/{name}"))  # noqa: PTH114 - quick
        folders[:] = sorted(
            name
            for name in folders
            if not _is_foreign(f"{here}/{name}") and not ignored.match_file(f"{below}{name}/")
        )
        python = (f"{below}{name}" for name in sorted(files) if name.endswith(".py"))
        yield from (inner for inner in python if not ignored.match_file(inner))


def _patterns(lines: Iterable[str]) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # likewise

    return GitIgnoreSpec.from_lines(lines)


def _is_foreign(folder: str) -> bool:
    """Hidden, vendored, generated, or an environment of installed packages."""
    name = folder.rpartition("/")[2]
    if name.startswith(".") or name in _FOREIGN:
        return True
    installed = os.path.exists(f"{folder}/pyvenv.cfg")  # noqa: PTH110 - Path's own raises in a closed folder
    return installed or os.path.isdir(f"{folder}/conda-meta")  # noqa: PTH112 - likewise


def _examine(path: str, disk: Path, found: dict[str, SourceFile], skipped: Counter[str]) -> None:
    """Put the file into `found`, or the reason why not into `skipped`."""
    try:
        seen = disk.lstat()
    except OSError:
        skipped["unreadable"] += 1
        return
    if disk.name.startswith("."):
        skipped["hidden"] += 1
    elif stat.S_ISLNK(seen.st_mode):
        skipped["symlink"] += 1
    elif not stat.S_ISREG(seen.st_mode):
        skipped["not a file"] += 1
    elif seen.st_size > MAX_BYTES:
        skipped["too large"] += 1
    else:
        found[path] = SourceFile(path, disk, seen.st_size, seen.st_mtime_ns)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
