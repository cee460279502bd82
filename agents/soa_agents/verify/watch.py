"""How much a run uses, with all the processes it has started."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from soa_agents.verify.clock import waited
from soa_agents.verify.plan import COPIED

PROCESSES = 256  # alive at once; threads are not counted here
_UNSEEN = 512  # megabytes, beside twice the limit, that all shared memory may grow by
TooMuch = Literal["", "memory", "processes", "files"]


@dataclass(slots=True)
class Watch:
    """Looks at the tree of the process `pid` again and again.

    `memory_mb` bounds what all of it holds together, and what it writes below `scratch` where that is on a
    disk. `shared` and `free` are what the machine's shared memory and that disk were before, in bytes.
    `waited` are the seconds in which the tree's busiest process waited for a processor, as far as was looked.
    """

    pid: int
    memory_mb: int
    scratch: Path
    shared: int = 0
    free: int = -1
    since: int = 0
    waited: float = 0.0
    _waits: dict[int, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget what others have taken until now."""
        self.shared = _shared_memory()

    def look(self) -> TooMuch:
        """Which limit it has passed, if any."""
        family = descendants(self.pid)
        if len(family) > PROCESSES:
            return "processes"
        self._add_waits(family)
        limit = self.memory_mb << 20
        if sum(map(_resident, family)) > limit and sum(map(_proportional, family)) > limit:
            return "memory"
        # Pages that nobody has mapped any more belong to no process; that much nobody else takes meanwhile.
        if _shared_memory() - self.shared > 2 * limit + (_UNSEEN << 20):
            return "memory"
        return "files" if self._written() > limit else ""

    def _add_waits(self, family: list[int]) -> None:
        before, self._waits = self._waits, {pid: waited(pid) for pid in family}
        self.waited += max((now - before.get(pid, now) for pid, now in self._waits.items()), default=0.0)

    def _written(self) -> int:
        """The bytes on disk below the scratch since the tree was copied; counted when the disk says so."""
        sign = self.scratch / COPIED
        if not sign.exists():
            return 0
        state = os.statvfs(self.scratch)
        free = state.f_bavail * state.f_frsize
        if self.free < 0:
            self.free, self.since = free, sign.stat().st_ctime_ns
        if self.free - free <= self.memory_mb << 20:
            return 0
        return _changed_since(self.scratch, self.since)


def descendants(pid: int) -> list[int]:
    """`pid` and every process that descends from it; empty when it is gone."""
    if not Path(f"/proc/{pid}/task/{pid}/children").exists():
        return _descendants_elsewhere(pid)
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{each}/task"):  # noqa: PTH208 - ten times a second
                children = Path(f"/proc/{each}/task/{thread}/children").read_text(encoding="ascii")
                found += map(int, children.split())
        if len(found) > 2 * PROCESSES:
            break
    return found


def _descendants_elsewhere(pid: int) -> list[int]:
    import psutil  # only where /proc does not tell

    with contextlib.suppress(psutil.Error):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def _resident(pid: int) -> int:
    """An upper bound of what a process holds, in bytes: cheap, shared pages counted whole, swap too."""
    if sys.platform != "linux":
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(pid).memory_info().rss)
        return 0
    return _told(f"/proc/{pid}/status", ("VmRSS", "VmSwap"))


def _proportional(pid: int) -> int:
    """The same with shared pages counted once; the upper bound where that is not told."""
    return _told(f"/proc/{pid}/smaps_rollup", ("Pss", "SwapPss")) or _resident(pid)


def _shared_memory() -> int:
    return _told("/proc/meminfo", ("Shmem",))


def _told(path: str, names: tuple[str, ...]) -> int:
    """The sum of these lines of a file in /proc, in bytes."""
    try:
        lines = Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 0
    parts = (line.partition(":") for line in lines)
    return sum(int(value.split()[0]) << 10 for name, _, value in parts if name in names)


def _changed_since(folder: Path, since: int) -> int:
    """The bytes that files below `folder` take, of those changed after `since` (nanoseconds)."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                state = os.lstat(Path(where, name))
                total += state.st_blocks * 512 if state.st_ctime_ns >= since else 0
    return total
