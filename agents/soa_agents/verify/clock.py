"""Time as a process has it: what it waits for a processor is added to what it may take.

A test that hangs then ends in the same way on a busy machine as on a quiet one. Also copied beside the tests;
Python 3.9 or newer, standard library only. It looks at no clock: tests stop clocks.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
from typing import Any, Union

LEAST = 0.05  # seconds that are worth waiting on
_FRAMES = 100  # that are told of a stack
_IN_C = 1.0  # seconds of its own that code has to let itself be interrupted
_MOST = 9.0  # times what it may take is the most that is added: who starves himself is ended, too


def waited(pid: Union[int, str] = "self") -> float:  # noqa: UP007 - the oldest Python
    """Seconds that the first thread of a process has waited for a processor so far; 0 where nobody tells."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:  # noqa: PTH123 - imported for every test run
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class Waits:
    """What a process that may take `seconds` from now on has waited meanwhile."""

    def __init__(self, seconds: float, pid: Union[int, str] = "self") -> None:  # noqa: UP007 - likewise
        self.pid, self.left = pid, _MOST * seconds
        self.before = waited(pid)

    def late(self) -> float:
        """The seconds since the last question that it may go on for; 0 when they are not worth it."""
        now = waited(self.pid)
        late = min(self.left, now - self.before)
        if late < LEAST:
            return 0.0
        self.before, self.left = now, self.left - late
        return late


class TooLong(BaseException):
    """A test ran past its time. Not an `Exception`, so that code under test does not swallow it."""


class Watch:
    """Interrupts a test that runs too long, where signals can; SoA's own clock is behind it.

    What a test waits for a processor is added to its time. When time is up the stack is written to the pipe
    first, should the test not let itself be interrupted. Faulthandler writes it only where C code keeps
    Python from doing so: it looks at stacks that are just being changed, which ends one process in a hundred.
    """

    def __init__(self, seconds: float, results: Any) -> None:
        self.seconds, self.results = seconds, results
        self.works = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._before: Any = None
        self._waits: Any = None

    def start(self, seconds: float | None = None) -> None:
        """Begin, for the usual time or for `seconds`; should it be swallowed, it comes again."""
        if self.works:
            self._waits = Waits(seconds or self.seconds)
            self._begin(seconds or self.seconds, self._too_long)

    def look_at(self, seconds: float) -> None:
        """Only tell, after so many seconds, where the process is."""
        if self.works:
            self._begin(seconds, self._tell)

    def stop(self) -> None:
        """Leave the test alone."""
        if self.works:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(signal.SIGPROF)
            signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)
            self._before = None

    def _begin(self, seconds: float, then: Any) -> None:
        before = signal.signal(signal.SIGALRM, then)
        self._before = self._before or before
        faulthandler.register(signal.SIGPROF, self.results.number, all_threads=False)
        signal.setitimer(signal.ITIMER_PROF, seconds + _IN_C)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _too_long(self, number: int, frame: Any) -> None:
        late = self._waits.late()
        if late:
            signal.setitimer(signal.ITIMER_REAL, late)
            return
        self._tell(number, frame)
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)
        raise TooLong(f"did not finish within {self.seconds:g} s")

    def _tell(self, number: int, frame: Any) -> None:
        """Write the stack as faulthandler does."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        told = ["Current thread (most recent call first):"]
        while frame is not None and len(told) <= _FRAMES:
            code = frame.f_code
            name = getattr(code, "co_qualname", code.co_name)
            told.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {name}')
            frame = frame.f_back
        os.write(self.results.number, ("\n".join(told) + "\n").encode("utf-8", "replace"))
