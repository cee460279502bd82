"""An advisory lock on a file: the system gives it back when its holder dies, however it dies.

Process ids would not do: they are used again, and mean something else in each container.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """One lock, held from `take` to `release` or its process's end. Two in one process exclude as well."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        """Whether it is ours now. Never waits; raises `OSError` when the file cannot be made."""
        file = os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        try:
            _take(file)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Give it back and take the file away; nothing when it is not ours."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # where open files cannot be removed, it stays, unlocked
                self._path.unlink(missing_ok=True)
            self.close()

    def close(self) -> None:
        """Give it back and leave the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def held(path: Path) -> bool:
    """Whether somebody alive holds the lock of that file."""
    lock = Lock(path)
    free = not path.exists() or lock.take()
    lock.close()
    return not free
