"""Records which functions of the workspace run. Copied beside the tests; Python 3.9 or newer, stdlib only.

In the process that runs pytest the plugin asks for the functions since the last question. In any other
process, started or forked by a test, each function is written to a shared file at once.
"""

# pathlib would slow down the start of every process that a test starts:
# ruff: noqa: PTH123, PTH202

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

try:
    import _lsprof  # what `cProfile` is made of
except ImportError:  # another Python than CPython
    _lsprof = None  # type: ignore[assignment]

SEPARATOR = "\t"
_INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def names_of(nodeid: str) -> Iterator[str]:
    """Every name by which a test may be asked for: itself, without parameters, its classes, file, folders."""
    yield nodeid
    bare = nodeid.partition("[")[0]
    yield bare
    while "::" in bare:
        bare = bare.rpartition("::")[0]
        yield bare
    while "/" in bare:
        bare = bare.rpartition("/")[0]
        yield bare
        yield bare + "/"
    yield "."


def loaded(root: str) -> list[str]:
    """The files below `root` that were imported in the usual way, relative to it."""
    found = []
    for module in list(sys.modules.values()):
        try:
            spec: Any = module.__spec__
            if type(spec.loader).__name__ == "SourceFileLoader" and spec.origin.startswith(root + os.sep):
                found.append(spec.origin[len(root) + 1 :].replace(os.sep, "/"))
        except Exception:  # noqa: S112 - whatever stands there for a module
            continue
    return found


early: Recorder | None = None  # the one that was started before anything else, in a test server


class Recorder:
    """Gathers (file name, first line) of functions below `root`; writes them to `shared` outside `owner`.

    Without `shared` nothing is recorded.
    """

    def __init__(self, root: str, shared: str, owner: int | None = None) -> None:
        self.root = root.rstrip(os.sep) + os.sep
        self.shared = shared
        self.owner = owner
        self.since: set[tuple[str, int]] = set()
        self.written: set[tuple[str, int]] = set()
        self._wanted: dict[str, str] = {}
        self._tools: list[int] = []
        self._seen: list[Any] = []  # the code behind `since`, which has fallen silent
        self._hooked = False
        self._counting: Any = None
        self._offset = 0

    def start(self) -> None:
        """Begin; with `sys.monitoring` where there is room, else with a profile hook.

        One tool meets all code, each piece once. Only the workspace's own is then met again, by the second:
        waking everything up for each test would cost more than many a test.
        Before there was `sys.monitoring` the hook of the process that is asked counts calls by code, without
        a line of Python for each: a quarter of what `_profile` costs.
        """
        if self is early or not self.shared:
            return
        monitoring: Any = getattr(sys, "monitoring", None)
        free = [] if monitoring is None else [n for n in (4, 3, 2, 1) if monitoring.get_tool(n) is None]
        if len(free) < 2:
            if monitoring is None and _lsprof is not None and self.owner == os.getpid():
                self._counting = _counting(self._profile)
                os.register_at_fork(after_in_child=self._listen)
            self._hooked = True
            threading.setprofile(self._profile)
            self._listen()
            return
        self._tools = free[:2]
        for tool, heard in zip(self._tools, (self._first, self._again)):  # noqa: B905 - Python 3.9
            monitoring.use_tool_id(tool, "soa")
            monitoring.register_callback(tool, monitoring.events.PY_START, heard)
        monitoring.set_events(self._tools[0], monitoring.events.PY_START)

    def rest(self) -> None:
        """Nothing is worth noting until `take` is called again."""
        if self._hooked:
            sys.setprofile(None)

    def take_over(self, wanted: bool) -> None:
        """This process, forked from the owner, is the one that is asked from now on, where that is wanted."""
        self.owner = os.getpid()
        if not wanted:
            self.shared, self._counting = "", None
            if self._hooked:
                threading.setprofile(None)
        self.rest()

    def _listen(self) -> None:
        """Put the hook in place: in a process that nobody asks, one that writes each function at once."""
        if self._counting is not None and self.owner == os.getpid():
            self._counting.clear()
            self._counting.enable()
        elif self.shared:
            sys.setprofile(self._profile)

    def take(self) -> set[tuple[str, int]]:
        """The functions that ran since the last call, and those that other processes have written."""
        if self._counting is not None:
            self._count()
        found, self.since = self.since, set()
        if self._tools:
            self._wake()
        elif self.shared and sys.getprofile() is None:  # a test took the hook away
            self._listen()
        return found | self._from_others()

    def _count(self) -> None:
        """Note what was called; what has not returned is counted when counting is disabled."""
        ours = sys.getprofile() is self._counting
        if ours:
            self._counting.disable()
        for entry in self._counting.getstats():
            self._saw(entry.code)
        self._counting.clear()
        if ours:
            self._counting.enable()

    def _from_others(self) -> set[tuple[str, int]]:
        try:
            if os.path.getsize(self.shared) == self._offset:
                return set()
            with open(self.shared, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return set()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        pairs = (line.rpartition(SEPARATOR) for line in whole.decode("utf-8", "replace").splitlines())
        return {(name, int(number)) for name, _, number in pairs if number.isdigit()}

    def _first(self, code: Any, offset: int) -> object:
        monitoring: Any = getattr(sys, "monitoring")  # noqa: B009 - not in the oldest Python that reads this
        if self._saw(code):
            monitoring.set_local_events(self._tools[1], code, monitoring.events.PY_START)
        return monitoring.DISABLE

    def _again(self, code: Any, offset: int) -> object:
        self._saw(code)
        self._seen.append(code)
        return getattr(sys, "monitoring").DISABLE  # noqa: B009 - likewise

    def _wake(self) -> None:
        """Have code that was disabled when it ran heard again."""
        seen, self._seen = self._seen, []
        monitoring: Any = getattr(sys, "monitoring")  # noqa: B009 - likewise
        for code in seen:
            monitoring.set_local_events(self._tools[1], code, 0)
            monitoring.set_local_events(self._tools[1], code, monitoring.events.PY_START)

    def _profile(self, frame: Any, event: str, argument: object) -> None:
        if event == "call":
            self._saw(frame.f_code)

    def _saw(self, code: Any) -> bool:
        """Note a function; whether it is the workspace's own."""
        name = code.co_filename
        path = self._wanted.get(name)
        if path is None:
            path = self._wanted[name] = self._inside(name)
        if not path or code.co_name.startswith("<"):
            return False
        pair = (path, code.co_firstlineno)
        if self.owner == os.getpid():
            self.since.add(pair)
        elif pair not in self.written:
            self.written.add(pair)
            self._write(pair)
        return True

    def _inside(self, name: str) -> str:
        """The real path when it is the workspace's own code, else an empty string."""
        if name.startswith("<"):
            return ""
        path = os.path.realpath(name)
        installed = any(part in path for part in _INSTALLED)
        return path if path.startswith(self.root) and not installed else ""

    def _write(self, pair: tuple[str, int]) -> None:
        line = f"{pair[0]}{SEPARATOR}{pair[1]}\n"
        try:
            place = os.open(self.shared, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return
        try:
            os.write(place, line.encode("utf-8", "surrogateescape"))
        finally:
            os.close(place)


def _counting(profile: Any) -> Any:
    """What counts calls by code in C. Where a test gives it back to `sys.setprofile`, it is `profile`."""

    class Counting(_lsprof.Profiler):
        def __call__(self, *event: Any) -> None:
            profile(*event)

    return Counting(subcalls=False, builtins=False)
