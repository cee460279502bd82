"""How much a run uses, with all the processes it has started."""

from __future__ import annotations

from typing import Literal

import psutil

PROCESSES = 256  # alive at once; threads are not counted here


def too_much(pid: int, memory_mb: int) -> Literal["", "memory", "processes"]:
    """Which limit the process tree of `pid` has passed, if any. Shared pages are counted once."""
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return ""
    if len(processes) > PROCESSES:
        return "processes"
    limit = memory_mb << 20
    if sum(_resident(p) for p in processes) <= limit:  # an upper bound, and cheap
        return ""
    return "memory" if sum(_proportional(p) for p in processes) > limit else ""


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _proportional(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
    except psutil.Error:
        return _resident(process)
    return int(getattr(full, "pss", full.rss))
