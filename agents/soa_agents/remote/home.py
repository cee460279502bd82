"""The private folder of a process on a node: gone with it, or cleared by the next when it was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Home:
    """A folder that nobody else reads. `lock` is held as long as the process lives, however it ends."""

    folder: Path
    lock: int

    @classmethod
    def new(cls) -> Home:
        """A new one; those of processes that ended without clearing up are removed first."""
        above = Path(tempfile.gettempdir()) / f"soa-nodes-{os.getuid()}"
        above.mkdir(mode=0o700, exist_ok=True)
        if above.is_symlink() or above.stat().st_uid != os.getuid():
            above = Path(tempfile.mkdtemp(prefix="soa-nodes-"))  # the name was taken by somebody else
        for left in above.iterdir():
            _remove_if_left(left)
        folder = Path(tempfile.mkdtemp(dir=above))
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cls(folder, lock)

    def take_over(self) -> None:
        """From now on whatever this process writes for a while lies here, the sandbox's scratch too."""
        tempfile.tempdir = str(self.folder)

    def remove(self) -> None:
        """Leave nothing."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self.lock)


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
