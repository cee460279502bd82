"""Waiting for processes, watching over them and ending them: the launcher's. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from soa_agents.verify.plan import CROWDED, REFUSED

_told: list[int] = []  # both ends of a pipe that whoever becomes the command no longer has


def listen() -> None:
    """The launcher's first step: what `tell` says from now on decides how `leave` ends it."""
    _told[:] = os.pipe()
    os.set_blocking(_told[0], False)


def tell(status: int) -> NoReturn:
    """End this part of the launcher for a reason of its own: `REFUSED` or `CROWDED`."""
    os.write(_told[1], bytes([status]))
    os._exit(status)


def leave(status: int) -> NoReturn:
    """End the launcher as the command has ended; a command cannot pretend to be refused, or crowded."""
    with contextlib.suppress(BlockingIOError):
        os._exit(os.read(_told[0], 1)[0])
    os._exit(1 if status in (REFUSED, CROWDED) else status)


def ended(pid: int) -> int:
    """Wait for `pid`, burying others that come to us; its exit status."""
    while True:
        try:
            found, status = os.wait()
        except InterruptedError:
            continue
        if found == pid:
            return exit_code(status)


def exit_code(status: int) -> int:
    """An exit status out of what `wait` tells: a signal counts on from 128."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def end_all(group: int) -> None:
    """Kill every descendant: as subreaper we inherit those whose parents died. A guardian is asked first.

    Where the system does not tell who they are, the process group is all that can be reached.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begun = time.monotonic()
    while time.monotonic() < begun + 2.5:  # the engine waits for three
        with_what = signal.SIGKILL if time.monotonic() > begun + 0.2 else signal.SIGTERM
        for child in _children(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(child, with_what)
        if group:
            with contextlib.suppress(OSError):
                os.killpg(group, with_what)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.005)


def watch_over(child: int, most: int, look: float) -> NoReturn:
    """Leave with `child`, or as soon as there are more than `most` processes; nothing of it then stays.

    Only for those who can signal nobody else: all whom they can are killed. A thousand processes that fork
    leave the engine no time to look; whoever stands next to them sees them coming, every `look` seconds.
    """

    def sweep() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)

    def told_to(*_: object) -> NoReturn:
        sweep()
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, told_to)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    before = threads()
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, look)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                if found[0] == child:
                    sweep()
                    os._exit(exit_code(found[1]))
        if threads() > before + most and _crowded(most):
            sweep()
            tell(CROWDED)


def threads() -> int:
    """How many there are on the whole machine: one look, however many they are; 0 where that is not told."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _crowded(most: int) -> bool:
    """Whether more than `most` processes descend from us."""
    found = [os.getpid()]
    for pid in found:
        found += _children(pid)
        if len(found) > most:
            return True
    return False


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
