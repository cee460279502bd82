"""Work that blocks, beside the event loop: cancelled, it is left behind and its processes are killed at once.

Its thread keeps nobody from ending, unlike those of asyncio's own pool, which are waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


class Abandoned(Exception):
    """Nobody waits for this work any more."""


@dataclass
class _Work:
    """What one thread has started. Both threads take the lock."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    abandoned: bool = False

    def abandon(self) -> None:
        with self.lock:
            self.abandoned = True
            for process in self.processes:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)


_current: ContextVar[_Work | None] = ContextVar("work", default=None)


async def aside(work: Callable[[], T]) -> T:
    """What `work` returns or raises. Cancelled, it waits for nothing."""
    loop, mine = asyncio.get_running_loop(), _Work()
    done: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)  # type: ignore[arg-type]  # a T where there is no error
        else:
            done.set_exception(error)

    def run() -> None:
        _current.set(mine)
        value, error = None, None
        try:
            value = work()
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=copy_context().run, args=(run,), daemon=True).start()
    try:
        return await done
    except asyncio.CancelledError:
        mine.abandon()
        raise


@contextlib.contextmanager
def abandonable(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """While the block runs, the process is killed, with its group, when its work is abandoned.

    Raises `Abandoned` when it was by then, or is at the end.
    """
    mine = _current.get()
    if mine is None:
        yield
        return
    with mine.lock:
        mine.processes.append(process)
    if mine.abandoned:
        mine.abandon()
    try:
        yield
    finally:
        with mine.lock:
            mine.processes.remove(process)
    if mine.abandoned:
        raise Abandoned
