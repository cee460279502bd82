"""Records which functions of the workspace run. Copied beside the tests; Python 3.9 or newer, stdlib only.

In the process that runs pytest the plugin asks for the functions since the last question. In any other
process, started or forked by a test, each function is written to a shared file at once.
"""

import os
import sys
import threading

SEPARATOR = "\t"
_INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


class Recorder:
    """Gathers (file name, first line) of functions below `root`; writes them to `shared` outside `owner`."""

    def __init__(self, root, shared, owner=None):
        self.root = root.rstrip(os.sep) + os.sep
        self.shared = shared
        self.owner = owner
        self.since = set()
        self.written = set()
        self._wanted = {}
        self._tool = None
        self._offset = 0

    def start(self):
        """Begin; with `sys.monitoring` where there is a free place, else with the slower profile hook."""
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            for tool in (4, 3, 2, 1):
                if monitoring.get_tool(tool) is None:
                    break
            else:
                monitoring = None
        if monitoring is None:
            threading.setprofile(self._profile)
            sys.setprofile(self._profile)
            return
        self._tool = tool
        monitoring.use_tool_id(tool, "soa")
        monitoring.register_callback(tool, monitoring.events.PY_START, self._started)
        monitoring.set_events(tool, monitoring.events.PY_START)

    def take(self):
        """The functions that ran since the last call, and those that other processes have written."""
        found, self.since = self.since, set()
        if self._tool is not None:
            sys.monitoring.restart_events()
        elif sys.getprofile() is None:  # a test took the hook away
            sys.setprofile(self._profile)
        return found | self._from_others()

    def _from_others(self):
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

    def _started(self, code, offset):
        self._saw(code)
        return sys.monitoring.DISABLE

    def _profile(self, frame, event, argument):
        if event == "call":
            self._saw(frame.f_code)

    def _saw(self, code):
        name = code.co_filename
        path = self._wanted.get(name)
        if path is None:
            path = self._wanted[name] = self._inside(name)
        if not path or code.co_name.startswith("<"):
            return
        pair = (path, code.co_firstlineno)
        if self.owner == os.getpid():
            self.since.add(pair)
        elif pair not in self.written:
            self.written.add(pair)
            self._write(pair)

    def _inside(self, name):
        """The real path when it is the workspace's own code, else an empty string."""
        if name.startswith("<"):
            return ""
        path = os.path.realpath(name)
        installed = any(part in path for part in _INSTALLED)
        return path if path.startswith(self.root) and not installed else ""

    def _write(self, pair):
        line = "{}{}{}\n".format(pair[0], SEPARATOR, pair[1])
        try:
            place = os.open(self.shared, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return
        try:
            os.write(place, line.encode("utf-8", "surrogateescape"))
        finally:
            os.close(place)
