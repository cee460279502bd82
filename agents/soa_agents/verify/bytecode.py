"""Byte code for folders that have none: kept between runs, and never made by what runs.

A cold run names the modules it has loaded. Before the next run a process of the workspace's interpreter,
which imports none of them, compiles their sources as they lie on the disk (`compiler.py`); what it tells is
kept in the user's cache. Runs see it below the folder's own files; what they write is gone with them. So a
later run meets no byte code but that of the very sources it imports, whatever an earlier one named or wrote.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from soa_agents.verify.interpreter import Interpreter
from soa_agents.verify.plan import Layer
from soa_agents.verify.sandbox import Command, jailed

_UNUSED = 30 * 24 * 3600.0  # seconds after which what nobody asked for is dropped
_SECONDS = 3.0  # that a run waits for it; what is left is compiled before the next
_WORTH = 50_000  # bytes of sources that are worth a process of its own: they cost some 50 ms a run
_MOST = 4000  # modules of one folder
_COMPILER = Path(__file__).with_name("compiler.py")


@dataclass(slots=True)
class ByteCode:
    """The kept byte code of the folder `root`, as `interpreter` compiles it, in the folder `place`.

    A file beside `place` holds, for each source, its time and size when it was compiled, and the cached name.
    """

    root: Path
    interpreter: Interpreter
    level: Layer
    place: Path
    _wanted: dict[str, None] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(cls, root: Path, interpreter: Interpreter, level: Layer) -> ByteCode:
        """That of a folder and an interpreter, in the user's cache."""
        named = "\0".join((str(root), str(interpreter.path), interpreter.version))
        digest = hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:20]
        return cls(root, interpreter, level, _folder() / digest)

    def notice(self, loaded: Iterable[str]) -> None:
        """A run says that it has loaded these files; it may say anything."""
        if self.level != "scrubbed":
            self._wanted |= dict.fromkeys(loaded)

    async def ready(self) -> Path | None:
        """The folder to lay below the tree, with what was noticed; None when there is nothing in it."""
        if self.level == "scrubbed":
            return None  # who runs outside the sandbox could write there
        async with self._lock:
            kept = await asyncio.to_thread(self._true)
            wanted, self._wanted = self._wanted, {}
            todo, size = await asyncio.to_thread(self._lacking, wanted, kept)
            if size >= _WORTH and len(kept) < _MOST:
                with suppress(OSError):
                    await self._compile(todo, kept)
            return self.place if kept else None

    def _true(self) -> dict[str, list[object]]:
        """What is kept, without that of files which are no more: their folders would come back with it."""
        notes = self.place.with_suffix(".json")
        try:
            kept: dict[str, list[object]] = json.loads(notes.read_text(encoding="utf-8"))
            os.utime(notes)
        except (OSError, ValueError):
            return {}
        for name in [name for name in kept if not (self.root / name).is_file()]:
            cache = self.place / str(kept.pop(name)[2])
            with suppress(OSError):
                cache.unlink()
                for folder in cache.relative_to(self.place).parents:
                    (self.place / folder).rmdir()  # as far as they are empty
        return kept

    def _lacking(self, names: Iterable[str], kept: dict[str, list[object]]) -> tuple[list[str], int]:
        """Which of the files ought to be compiled, and how big they are together."""
        found = [name for name in names if self._lacks(name, kept)][:_MOST]
        return found, sum((self.root / name).stat().st_size for name in found)

    def _lacks(self, name: str, kept: dict[str, list[object]]) -> bool:
        """Whether a file of the folder has byte code neither beside it nor here."""
        inside = PurePosixPath(name)
        if inside.is_absolute() or ".." in inside.parts or inside.suffix != ".py":
            return False
        file = self.root / name
        try:
            if not file.resolve().is_relative_to(self.root) or not file.is_file():
                return False
            if kept.get(name, [])[:2] == _state(file):
                return False
            own = file.parent.joinpath("__pycache__").glob(f"{file.stem}.*.pyc")
            return not any(each.stat().st_mtime >= file.stat().st_mtime for each in own)
        except (OSError, ValueError):
            return False

    async def _compile(self, names: Sequence[str], kept: dict[str, list[object]]) -> None:
        states = {name: _state(self.root / name) for name in names}
        command = Command(
            interpreter=self.interpreter.path,
            arguments=("-I", "-S", "-c", _COMPILER.read_text(encoding="utf-8")),
            folder=self.root,
            request=json.dumps(names),
            seconds=_SECONDS,
        )
        _private_folder(self.place)
        left = dict.fromkeys(names)
        async with jailed(command, self.level) as running:
            async for line in running.results():
                with suppress(ValueError):  # it may be cut off
                    told = json.loads(line)
                    cache = PurePosixPath(told["path"]).parent / "__pycache__" / Path(told["cache"]).name
                    kept[told["path"]] = [*states[told["path"]], str(cache)]
                    left.pop(told["path"])
                    if data := base64.b64decode(told["data"]):
                        _write(self.place / cache, data)
        if left:  # it did not get beyond the first of them, which is not tried again
            first = next(iter(left))
            kept[first] = [*states[first], ""]
            left.pop(first)
            self._wanted |= left
        _write(self.place.with_suffix(".json"), json.dumps(kept).encode())
        _tidy()


def _state(file: Path) -> list[object]:
    found = file.stat()
    return [found.st_mtime_ns, found.st_size]


def _write(file: Path, data: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_bytes(data)
    part.replace(file)


def _folder() -> Path:
    return user_cache_path("soa-language-server", appauthor=False) / "bytecode"


def _private_folder(folder: Path) -> None:
    if not folder.is_dir():
        _private_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _tidy() -> None:
    """Drop what belongs to folders that nobody has run for long."""
    for notes in _folder().glob("*.json"):
        with suppress(OSError):
            if notes.stat().st_mtime < time.time() - _UNUSED:
                shutil.rmtree(notes.with_suffix(""), ignore_errors=True)
                notes.unlink()
