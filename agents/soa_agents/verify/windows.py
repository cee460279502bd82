"""Windows: the limits of a Job Object that would hold a test run together. Standard library only.

A job ends with its last handle and takes all its processes along; it bounds their number and their memory. It
keeps no file and no network closed, so it is no sandbox by itself, and SoA asks there to be run in WSL.
"""

from __future__ import annotations

import ctypes

_ACTIVE_PROCESS, _JOB_MEMORY, _DIE_ON_UNHANDLED, _KILL_ON_CLOSE = 0x8, 0x200, 0x400, 0x2000
EXTENDED_LIMITS, UI_RESTRICTIONS = 9, 4  # JOBOBJECTINFOCLASS
# Handles, both ways of the clipboard, system parameters, display settings, global atoms, desktop, leaving.
_NO_UI = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x80


class _Basic(ctypes.Structure):
    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
    )


class Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("basic", _Basic),
        ("counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


def limits(memory_mb: int, processes: int) -> Limits:
    """All processes together hold `memory_mb`; no more than `processes` are alive; none outlives the job."""
    found = Limits()
    found.basic.flags = _ACTIVE_PROCESS | _JOB_MEMORY | _DIE_ON_UNHANDLED | _KILL_ON_CLOSE
    found.basic.processes = processes
    found.job_memory = memory_mb << 20
    return found


def settings(memory_mb: int, processes: int) -> tuple[tuple[int, bytes], ...]:
    """What SetInformationJobObject is told: pairs of class and bytes, before a process is assigned."""
    return (
        (EXTENDED_LIMITS, bytes(limits(memory_mb, processes))),
        (UI_RESTRICTIONS, _NO_UI.to_bytes(4, "little")),
    )
