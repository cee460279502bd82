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
        self._offset = 0

    def start(self) -> None:
        """Begin; with `sys.monitoring` where there is room, else with the slower profile hook.

        One tool meets all code, each piece once. Only the workspace's own is then met again, by the second:
        waking everything up for each test would cost more than many a test.
        """
        if self is early or not self.shared:
            return
        monitoring: Any = getattr(sys, "monitoring", None)
        free = [] if monitoring is None else [n for n in (4, 3, 2, 1) if monitoring.get_tool(n) is None]
        if len(free) < 2:
            threading.setprofile(self._profile)
            sys.setprofile(self._profile)
            return
        self._tools = free[:2]
        for tool, heard in zip(self._tools, (self._first, self._again)):  # noqa: B905 - Python 3.9
            monitoring.use_tool_id(tool, "soa")
            monitoring.register_callback(tool, monitoring.events.PY_START, heard)
        monitoring.set_events(self._tools[0], monitoring.events.PY_START)

    def take(self) -> set[tuple[str, int]]:
        """The functions that ran since the last call, and those that other processes have written."""
        found, self.since = self.since, set()
        if self._tools:
            self._wake()
        elif self.shared and sys.getprofile() is None:  # a test took the hook away
            sys.setprofile(self._profile)
        return found | self._from_others()

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
