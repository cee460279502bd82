"""The children of a test server: forked, listened to, ended. Copied beside the tests.

Python 3.9 or newer, standard library and `clock` only. A child speaks through a pipe of its own; its last
word is how it ended. One that ends in any other way than "done" has said nothing.
"""

# ruff: noqa: PTH123, PTH208 - strings in, strings out

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import soa_clock as clock  # type: ignore[import-not-found]  # clock.py, under the name of its copy

_GRACE = 4.0  # seconds that the plugin has to interrupt a test before the child is killed
_STARTS = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "os.spawn"}
)
_MOST = 1 << 26  # bytes that one child may tell


class Pipes:
    """The two pipes to SoA."""

    def __init__(self, requests: int, results: int) -> None:
        self.requests, self.results = requests, results
        for number in (requests, results):
            os.set_inheritable(number, False)

    def tell(self, kind: str, **values: Any) -> None:
        """Write one line."""
        data = (json.dumps(dict(values, kind=kind)) + "\n").encode("utf-8", "replace")
        while data:
            data = data[os.write(self.results, data) :]

    def asked(self) -> Iterator[dict[str, Any]]:
        """Requests until there will be no more."""
        kept = b""
        while True:
            line, newline, rest = kept.partition(b"\n")
            if newline:
                kept = rest
                yield json.loads(line)
                continue
            data = os.read(self.requests, 1 << 20)
            if not data:
                return
            kept += data

    def close(self) -> None:
        """In a child: what it runs must not speak in the server's name."""
        os.close(self.requests)
        os.close(self.results)


def unsafe_to_fork() -> str:
    """Why no child may be forked from this process as it is; empty when it may."""
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:
        return "it starts threads while it is imported"
    with open("/proc/self/maps") as maps:
        if any(line.split(maxsplit=2)[1].startswith("rw-s") for line in maps):
            return "it shares memory with its children while it is imported"
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return ""
    return "it starts processes while it is imported"


def fork(pipes: Pipes) -> Child:
    """Fork; the child goes on with a `Child` that is its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    mine = pid == 0
    os.close(reading if mine else writing)
    child = Child(writing if mine else reading, pid)
    if mine:
        with child.ending():
            os.set_inheritable(writing, False)
            os.setsid()
            pipes.close()
    return child


class Child:
    """A forked process, seen from itself (`mine`, `pid` is 0) or from the server.

    `number` is its end of the pipe.
    """

    def __init__(self, number: int, pid: int) -> None:
        self.number, self.pid, self.mine = number, pid, pid == 0
        self.mounts = -1  # while they are held

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """In the child: whatever is raised here ends it, and the server hears why."""
        try:
            yield
        except BaseException as problem:
            refused = type(problem).__name__ == "Refused"
            why = str(problem) if refused else traceback.format_exc()[-2000:]
            last_word(self.number, "refused" if refused else "failed", why)

    def heard(self, seconds: float) -> tuple[list[str], str, str]:
        """In the server: the child's lines, how it ended, and why."""
        try:
            return _listen(self.number, self.pid, seconds + _GRACE, self._hold)
        finally:
            os.close(self.number)

    def _hold(self) -> None:
        """Keep what it has mounted until `release`.

        Taking that down waits for all processors; its end, and who waits for that, need not.
        """
        if self.mounts < 0:
            with contextlib.suppress(OSError):
                self.mounts = os.open(f"/proc/{self.pid}/ns/mnt", os.O_RDONLY)

    def release(self) -> None:
        """In the server, before the next child is forked: let go of what it had mounted."""
        if self.mounts >= 0:
            os.close(self.mounts)
            self.mounts = -1


def last_word(number: int, kind: str, why: str = "") -> NoReturn:
    """In the child: tell how it ended, and end."""
    try:
        _write(number, {"kind": kind, "why": why})
    finally:
        os._exit(0)
    raise AssertionError("unreachable")


def _write(number: int, values: dict[str, Any]) -> None:
    data = (json.dumps(values) + "\n").encode("utf-8", "replace")
    while data:
        data = data[os.write(number, data) :]


def _listen(reading: int, pid: int, seconds: float, begun: Callable[[], None]) -> tuple[list[str], str, str]:
    """The child's lines as far as its last word; it may also say nothing more, or end without one.

    `begun` is called as soon as it says something, and maybe again.
    """
    kept, size = b"", 0
    lines: list[str] = []
    end, waits = time.monotonic() + seconds, clock.Waits(seconds, pid)
    while size < _MOST:
        if not select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
            late = waits.late()
            if not late:
                return lines, "stuck", ""
            end = time.monotonic() + late
            continue
        data = os.read(reading, 1 << 16)
        if not data:
            return lines, "died", ""
        begun()
        size, kept = size + len(data), kept + data
        *whole, kept = kept.split(b"\n")
        for line in whole:
            text = line.decode("utf-8", "replace")
            last = _last_of(text)
            if last:
                return lines, last[0], last[1]
            lines.append(text)
            if text.startswith("{"):  # where a hanging test is does not say that it goes on
                end, waits = time.monotonic() + seconds, clock.Waits(seconds, pid)
    return lines, "flood", ""


def _last_of(text: str) -> tuple[str, str] | None:
    if not text.startswith('{"kind": "'):  # the plugin's own lines end with their kind
        return None
    told = json.loads(text)
    return told["kind"], told["why"]


def clear_up() -> None:
    """End whatever the last child has left, all that this jail holds beside us, and bury it."""
    with contextlib.suppress(ChildProcessError):
        while True:
            with contextlib.suppress(OSError):  # nobody is there any more
                os.kill(-1, signal.SIGKILL)
            os.waitpid(-1, 0)


def watch_for_processes(number: int) -> None:
    """From now on end this child as soon as it starts a process: such tests are for the cold run."""

    def look(event: str, arguments: object) -> None:
        if event in _STARTS:
            last_word(number, "process", event)

    sys.addaudithook(look)
