"""The test server: collects once, then forks a child for each candidate. Copied beside the tests.

Python 3.9 or newer, pytest 7 or newer, nothing but the standard library and the modules copied along. It runs
in the workspace's interpreter, inside the jail from its first import, and speaks JSON lines over two pipes:

    -> {"id", "files": {path: bytes as latin-1}, "wanted": [...], "doctests": {...}}
    <- {"kind": "ready", "files": [what it rests on], "modules": [...]} or {"kind": "unfit", "why"}, once
    <- {"kind": "answer", "id", "lines": [the plugin's], "end": how it ended, "why"}

`Collected` serves inside pytest's own loop, after collecting (a swap); `serve_fresh` before pytest starts,
with what the tests import from outside the workspace already loaded (a fresh run). A child that ends in any
other way than "done" has said nothing: the candidate is then run in another way.
"""

# ruff: noqa: PTH100, PTH109, PTH118, PTH120 - strings in, strings out

from __future__ import annotations

import bisect
import contextlib
import gc
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

# The copies of kernel, layers, recorder, soundness and swapping lie beside this one:
import soa_layers as layers  # type: ignore[import-not-found]
import soa_recorder  # type: ignore[import-not-found]

_GRACE = 4.0  # seconds that the plugin has to interrupt a test before the child is killed
_STARTS = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.system", "os.spawn"}
)
_FIRST = {"tryfirst": True}
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
    if threading.active_count() > 1 or len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - as above
        return "it starts threads while it is imported"
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return ""
    return "it starts processes while it is imported"


def run_child(pipes: Pipes, work: Callable[[int], None], seconds: float) -> tuple[list[str], str, str]:
    """Fork, have the child do `work` with its end of a pipe: what it told, how it ended, and why."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _be_child(pipes, work, writing)
    os.close(writing)
    try:
        return _listen(reading, seconds)
    finally:
        os.close(reading)


def _be_child(pipes: Pipes, work: Callable[[int], None], writing: int) -> NoReturn:
    kind, why = "done", ""
    try:
        os.setsid()
        pipes.close()
        work(writing)
    except BaseException as problem:
        kind = "refused" if type(problem).__name__ == "Refused" else "failed"
        why = str(problem) if kind == "refused" else traceback.format_exc()[-2000:]
    finally:
        try:
            _write(writing, {"kind": kind, "why": why})
        finally:
            os._exit(0)
    raise AssertionError("unreachable")


def _write(number: int, values: dict[str, Any]) -> None:
    data = (json.dumps(values) + "\n").encode("utf-8", "replace")
    while data:
        data = data[os.write(number, data) :]


def _listen(reading: int, seconds: float) -> tuple[list[str], str, str]:
    """The child's lines as far as its last word; it may also say nothing more, or end without one."""
    kept, size = b"", 0
    lines: list[str] = []
    end = time.monotonic() + seconds + _GRACE
    while size < _MOST:
        if not select.select([reading], [], [], max(0.0, end - time.monotonic()))[0]:
            return lines, "stuck", ""
        data = os.read(reading, 1 << 16)
        if not data:
            return lines, "died", ""
        size, kept = size + len(data), kept + data
        end = time.monotonic() + seconds + _GRACE
        *whole, kept = kept.split(b"\n")
        for line in whole:
            text = line.decode("utf-8", "replace")
            last = _last_word(text)
            if last:
                return lines, last[0], last[1]
            lines.append(text)
    return lines, "flood", ""


def _last_word(text: str) -> tuple[str, str] | None:
    if not text.startswith('{"kind": "'):  # the plugin's own lines end with their kind
        return None
    told = json.loads(text)
    return told["kind"], told["why"]


def clear_up() -> None:
    """End whatever the last child has left, all that this jail holds beside us, and bury it."""
    patience = time.monotonic() + 5
    while time.monotonic() < patience:
        with contextlib.suppress(OSError):
            os.kill(-1, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.0005)


def watch_for_processes(number: int) -> None:
    """From now on end this child as soon as it starts a process: such tests are for the cold run."""

    def look(event: str, arguments: object) -> None:
        if event in _STARTS:
            _write(number, {"kind": "process", "why": event})
            os._exit(0)

    sys.addaudithook(look)


class Collected:
    """A pytest plugin: serves instead of running what was collected."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.pipes = Pipes(int(os.environ.pop("SOA_REQUESTS")), plugin.results.number)
        self.megabytes = int(os.environ.pop("SOA_MEGABYTES", "1024"))
        for name in os.environ.pop("SOA_QUIET", "").split():  # threads of numeric libraries
            os.environ.pop(name, None)
        self.recorder = soa_recorder.early
        plugin.recorder = self.recorder
        self.opened = _watch_opened(plugin.places.root)
        self.tree = os.getcwd()

    def pytest_runtestloop(self, session: Any) -> bool:
        """Take pytest's place at the head of its loop."""
        import soa_swapping  # type: ignore[import-not-found]  # late: it loads what a cold run might not

        opened = self.opened.copy()
        ran = self.recorder.take()
        self._name(session.items)
        gc.collect()
        examples = bool(self.plugin.own_doctests or self.plugin.doctests)
        self.known = soa_swapping.look_around(self.plugin.places.root, ran, examples)
        self.swapping = soa_swapping
        why = unsafe_to_fork() or self._canary(session)
        if why:
            self.pipes.tell("unfit", why=why)
            os._exit(0)
        gc.collect()
        gc.disable()
        gc.freeze()
        plugins = session.config.pluginmanager.get_plugins()
        self.pipes.tell("ready", files=rests_on(self.plugin.places.root, opened), modules=loaded(plugins))
        for request in self.pipes.asked():
            self._answer(session, request)
        os._exit(0)

    pytest_runtestloop.pytest_impl = _FIRST  # type: ignore[attr-defined]  # pytest is not imported here

    def _name(self, items: list[Any]) -> None:
        """Remember where each item is by its name; with ten thousands of them every string counts."""
        told = ((self.plugin.places.nodeid(item), item.nodeid) for item in items)
        names = [theirs if ours == theirs else ours for ours, theirs in told]
        self.places = sorted(range(len(names)), key=names.__getitem__)
        self.sorted = [names[place] for place in self.places]
        self.plugin.examples = {key: value for key, value in self.plugin.examples.items() if value}

    def _answer(self, session: Any, request: dict[str, Any]) -> None:
        root = self.plugin.places.root
        files = {path: data.encode("latin-1") for path, data in request["files"].items()}
        for path in files:
            self.swapping.learn(self.known, os.path.join(root, path))

        def work(number: int) -> None:
            layers.enter(root, files, self.megabytes)
            for path, data in files.items():
                if path.endswith(".py"):
                    self.swapping.swap(self.known, os.path.join(root, path), data)
            self._run(session, number, request)

        lines, end, why = run_child(self.pipes, work, self.plugin.watch.seconds)
        self.pipes.tell("answer", id=request["id"], lines=lines, end=end, why=why)
        clear_up()

    def _run(self, session: Any, number: int, request: dict[str, Any]) -> None:
        """In the child: run what is wanted as pytest would, and tell it through `number`."""
        items = [session.items[place] for place in self._places(request["wanted"])]
        self._take_over(session, number)
        if request["doctests"]:
            items += self._examples(session, request["doctests"])
        watch_for_processes(number)
        session.items, session.testscollected = items, len(items)
        status = 0
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                status = 2
                break
        self.plugin.results.tell("end", status=status)

    def _take_over(self, session: Any, number: int) -> None:
        """Make the plugin, and pytest's capturing, those of a process that has just started."""
        gc.enable()
        results = self.plugin.results
        results.number, results.owner = number, os.getpid()
        self.recorder.owner = os.getpid()
        self.recorder.take()
        capture = session.config.pluginmanager.getplugin("capturemanager")
        if capture is not None:
            capture.read_global_capture()
        base = getattr(getattr(session.config, "_tmp_path_factory", None), "_basetemp", None)
        if base is not None:
            os.makedirs(base, exist_ok=True)  # noqa: PTH103 - as above

    def _places(self, wanted: list[str]) -> list[int]:
        found: set[int] = set()
        for name in wanted:
            name = name.rstrip("/")
            at = bisect.bisect_left(self.sorted, name)
            while at < len(self.sorted) and self.sorted[at].startswith(name):
                if len(self.sorted[at]) == len(name) or self.sorted[at][len(name)] in "[:/":
                    found.add(self.places[at])
                at += 1
        return sorted(found)

    def _examples(self, session: Any, doctests: dict[str, list[str]]) -> list[Any]:
        """Collect the docstring examples asked for, from the module as it is now."""
        self.plugin.doctests = {name: set(names) for name, names in doctests.items()}
        self.plugin.wanted = set()
        found = session.perform_collect([f"./{name}" for name in doctests], genitems=True)
        return list(found)

    def _canary(self, session: Any) -> str:
        """Run a test that must fail, in a child; says why this project's tests prove nothing, if so."""
        pytest: Any = sys.modules["pytest"]
        modules = (item.getparent(pytest.Module) for item in session.items)
        module = next((m for m in modules if m is not None), None)
        if module is None:
            return ""

        def work(number: int) -> None:
            layers.enter(self.plugin.places.root, {}, self.megabytes)
            item = pytest.Function.from_parent(module, name="test_soa_canary", callobj=_must_fail)
            self._take_over(session, number)
            session.items = [item]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)

        lines, end, why = run_child(self.pipes, work, self.plugin.watch.seconds)
        clear_up()
        outcomes = [told["outcome"] for told in map(json.loads, lines) if told["kind"] == "test"]
        if end != "done":
            return f"no child can be forked safely: {end} {why}".strip()
        return "" if outcomes == ["failed"] else "a test that must fail does not fail"


def _must_fail() -> None:
    raise AssertionError("the canary")


def _watch_opened(root: str) -> set[str]:
    """Gathers the files of the workspace that are opened while collecting."""
    opened: set[str] = set()
    inside = root + os.sep

    def look(event: str, arguments: Any) -> None:
        if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(inside):
            opened.add(arguments[0])

    sys.addaudithook(look)
    return opened


def rests_on(root: str, opened: set[str]) -> list[str]:
    """The files and folders whose change makes what was collected out of date."""
    files = {path for path in opened if "__pycache__" not in path}
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(root + os.sep):
            files.add(file)
    folders = {os.path.dirname(path) for path in files} | {os.path.abspath(path or ".") for path in sys.path}
    return sorted(files | {folder for folder in folders if not folder.startswith(layers.OWN)})


def loaded(plugins: Any) -> list[str]:
    """What can be imported ahead of any candidate: nothing of the workspace, of pytest's plugins, of ours."""
    import importlib.metadata as metadata

    kept = {"pytest", "_pytest", "pluggy", "iniconfig"}
    never = {"__main__", "__mp_main__", "sitecustomize", "usercustomize"}
    for plugin in plugins:
        never.add(str(getattr(plugin, "__name__", type(plugin).__module__)).partition(".")[0])
    for each in metadata.distributions():
        if any(point.group == "pytest11" for point in each.entry_points):
            never |= {str(file).split("/")[0].partition(".")[0] for file in each.files or ()}
    never -= kept
    found = []
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        file = str(getattr(module, "__file__", "") or "")
        ours = top.startswith("soa_") or top in never
        outside = not file or "-packages" in file or file.startswith((sys.base_prefix, sys.prefix))
        if not ours and outside and getattr(module, "__spec__", None) is not None:
            found.append(name)
    return found


def serve_fresh() -> None:
    """Serve with third-party modules loaded and nothing of the workspace."""
    pipes = Pipes(int(os.environ.pop("SOA_REQUESTS")), int(os.environ.pop("SOA_RESULTS")))
    start = json.loads(os.environ.pop("SOA_FRESH"))
    quiet = os.environ.pop("SOA_QUIET", "").split()
    megabytes = int(os.environ.pop("SOA_MEGABYTES", "1024"))
    root = os.path.realpath(os.getcwd())
    sys.argv[1:] = start["arguments"]
    own = _import_ahead(start["modules"], root)
    for name in quiet:
        os.environ.pop(name, None)
    why = unsafe_to_fork() or (f"{own} imports the workspace's own modules" if own else "")
    if why:
        pipes.tell("unfit", why=why)
        return
    gc.collect()
    gc.freeze()
    pipes.tell("ready", files=rests_on(root, set()), modules=[])
    for request in pipes.asked():
        _answer_fresh(pipes, start, request, (root, megabytes))


def _import_ahead(modules: list[str], root: str) -> str:
    """Import what can be; the name of a module that brought the workspace's own along."""
    for name in modules:
        try:
            __import__(name)
        except BaseException:  # noqa: S112 - then the tests import it, or fail, by themselves
            continue
        for module in list(sys.modules.values()) if "." not in name else ():
            file = str(getattr(module, "__file__", "") or "")
            if file.startswith(root + os.sep) and "-packages" not in file:
                return name
    return ""


def _answer_fresh(pipes: Pipes, start: Any, request: dict[str, Any], place: tuple[str, int]) -> None:
    files = {path: data.encode("latin-1") for path, data in request["files"].items()}

    def work(number: int) -> None:
        layers.enter(place[0], files, place[1])
        asked = dict(start["request"], wanted=request["wanted"], doctests=request["doctests"])
        os.environ.update(SOA_RESULTS=str(number), SOA_REQUEST=json.dumps(asked))
        os.set_inheritable(number, False)
        watch_for_processes(number)
        _run_pytest([*start["arguments"], *(f"./{name}" for name in request["named"])])

    lines, end, why = run_child(pipes, work, start["request"]["seconds"])
    pipes.tell("answer", id=request["id"], lines=lines, end=end, why=why)
    clear_up()


def _run_pytest(arguments: list[str]) -> None:
    import importlib
    import runpy

    importlib.invalidate_caches()
    sys.argv[1:] = arguments
    try:
        runpy.run_module("pytest", run_name="__main__", alter_sys=True)
    except SystemExit:
        return


if __name__ == "__main__":
    serve_fresh()
