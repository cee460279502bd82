"""The pytest plugin that tells SoA what happened. Copied beside the tests and loaded with `-p`.

Runs in the workspace's own interpreter: Python 3.9 or newer, pytest 7 or newer, nothing but the standard
library. It writes JSON lines to the pipe whose number is in SOA_RESULTS: `collect` (a file that cannot be
collected), `collected`, `started`, `test` (a finished test), `end`. Its settings are the JSON of
soa_request.json beside it:

    root      the folder; paths are told relative to it
    wanted    node ids or files to run, or null for all that pytest collects
    doctests  {file: [qualified names]} of docstring examples to run
    seconds   how long one test may take
    cap       how many characters of a message or of output are told

(PYTEST_DONT_REWRITE: there are no assertions here.)
"""

# os.path: strings in, strings out, for every item of a large collection:
# ruff: noqa: PTH110, PTH113, PTH118, PTH119, PTH120, PTH123, PTH206

from __future__ import annotations

import hashlib
import json
import linecache
import os
import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import soa_recorder  # type: ignore[import-not-found]  # recorder.py, under the name of its copy

MANY_FRAMES = 20
_TEAR_DOWN = 2.0  # seconds for the rest of a test that was interrupted
_RED = ("failed", "error", "timeout")
_RESET = {  # options of a project's addopts that would hide tests or reports from us
    "collectonly": False,
    "continue_on_collection_errors": True,
    "dist": "no",
    "distload": False,
    "failedfirst": False,
    "forked": False,
    "lf": False,
    "maxfail": 0,
    "newfirst": False,
    "no_cov": True,
    "numprocesses": 0,
    "setuponly": False,
    "setupplan": False,
    "stepwise": False,
    "tbstyle": "native",  # pytest's own quotes whole functions, which takes minutes for a thousand subtests
    "trace": False,
    "tx": [],
    "usepdb": False,
}
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DOCTEST_PROBLEMS = ("DocTestFailure", "MultipleDoctestFailures", "UnexpectedException")


class TooLong(BaseException):
    """A test ran past its time. Not an `Exception`, so that code under test does not swallow it."""


class Results:
    """The pipe to SoA. Processes forked by a test share it but stay silent."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.owner = os.getpid()
        os.set_inheritable(number, False)

    def tell(self, kind: str, **values: Any) -> None:
        """Write one line."""
        if os.getpid() != self.owner:
            return
        data = (json.dumps(dict(values, kind=kind)) + "\n").encode("utf-8", "replace")
        while data:
            data = data[os.write(self.number, data) :]


class Places:
    """Names of files and tests as SoA spells them: relative to the folder, with forward slashes."""

    def __init__(self, root: str) -> None:
        self.root = os.path.realpath(root)
        self._known: dict[str, str | None] = {}

    def relative(self, path: str) -> str | None:
        """The path below the folder, or None when it lies elsewhere or belongs to an installation."""
        if path not in self._known:
            self._known[path] = self._relative(os.path.realpath(path))
        return self._known[path]

    def _relative(self, path: str) -> str | None:
        if not path.startswith(self.root + os.sep):
            return None
        if any(part in ("site-packages", "dist-packages") for part in path.split(os.sep)):
            return None
        return self._below(path)

    def nodeid(self, node: Any) -> str:
        """pytest's node id, which is relative to its rootdir, made relative to the folder."""
        head, separator, rest = node.nodeid.partition("::")
        path = os.path.join(str(node.config.rootpath), head)
        if not os.path.exists(path) and getattr(node, "path", None) is not None:
            path = str(node.path)
        return f"{self._below(os.path.realpath(path))}{separator}{rest}"

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self.root).replace(os.sep, "/")


class Watch:
    """Interrupts a test that runs too long, where signals can; SoA's own clock is behind it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.works = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._before: Any = None

    def start(self, seconds: float | None = None) -> None:
        """Begin, for the usual time or for `seconds`; should it be swallowed, it comes again."""
        if self.works:
            before = signal.signal(signal.SIGALRM, self._too_long)
            self._before = self._before or before
            signal.setitimer(signal.ITIMER_REAL, seconds or self.seconds, 0.5)

    def stop(self) -> None:
        """Leave the test alone."""
        if self.works:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)
            self._before = None

    def _too_long(self, number: int, frame: Any) -> None:
        raise TooLong(f"did not finish within {self.seconds:g} s")


class Told:
    """Gathers the phases of one test into one result: any failed phase makes it fail."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.outcome = ""
        self.message = ""
        self.frames: list[Any] = []
        self.output = ""

    def add(self, outcome: str, message: str, frames: list[Any]) -> None:
        """Take what one phase says, unless an earlier one said more."""
        if outcome == "rerun":  # pytest-rerunfailures: what counts comes later
            self.outcome, self.message, self.frames = "", "", []
        elif outcome and self.outcome not in _RED and (outcome != "passed" or not self.outcome):
            self.outcome, self.message, self.frames = outcome, message, frames


class Plugin:
    """The hooks."""

    def __init__(self, results: Results, request: dict[str, Any], ran: str) -> None:
        self.results = results
        self.places = Places(request["root"])
        self.wanted = None if request["wanted"] is None else set(request["wanted"])
        self.doctests = {name: set(names) for name, names in request["doctests"].items()}
        self.cap = request["cap"]
        self.watch = Watch(request["seconds"])
        self.recorder = soa_recorder.Recorder(self.places.root, ran, os.getpid())
        self.fixtures: dict[int, tuple[Any, set[tuple[str, int]]]] = {}
        self.examples: dict[str, tuple[str, str] | None] = {}
        self.rootpath = self.places.root
        self.own_doctests = False
        self.told = Told()

    # --- what to run

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config: Any) -> None:
        """Before pytest-cov looks at its options: measuring is not what this run is for; recording is."""
        self.recorder.start()
        if hasattr(early_config.known_args_namespace, "no_cov"):
            early_config.known_args_namespace.no_cov = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_main(self, config: Any) -> Iterator[None]:
        """Before any plugin acts on its options."""
        for name, value in _RESET.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        if config.pluginmanager.hasplugin("timeout"):
            limit = config.option.timeout or config.getini("timeout")
            if limit and float(limit) >= self.watch.seconds:
                config.option.timeout = 0  # it would take our alarm clock away
        self.rootpath = str(config.rootpath)
        self.own_doctests = getattr(config.option, "doctestmodules", False)
        if self.wanted is None:
            config.args.extend(name for name in self.doctests if name not in config.args)
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collect_file(self, file_path: Any, parent: Any) -> Iterator[None]:
        """Have the docstring examples of the files asked for collected, whatever the project's own choice."""
        path = self.places.relative(str(file_path))
        if path is None or path not in self.doctests:
            yield
            return
        parent.config.option.doctestmodules = True
        outcome: Any = yield
        parent.config.option.doctestmodules = self.own_doctests
        if not self._may_hold_tests(path):  # named on the command line, it would count as a test module
            found = outcome.get_result() or []
            outcome.force_result([c for c in found if type(c).__name__.startswith("Doctest")])

    def _may_hold_tests(self, path: str) -> bool:
        if self.wanted is None:
            name = path.rpartition("/")[2]
            return name.startswith("test_") or name.endswith("_test.py")
        return any(path in soa_recorder.names_of(name) for name in self.wanted)

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be collected."""
        if report.failed:
            text = str(getattr(report.longrepr, "longrepr", report.longrepr))
            path = self.places.relative(os.path.join(self.rootpath, report.nodeid)) or report.nodeid
            self.results.tell("collect", nodeid=path, message=_tail(text, self.cap))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Keep what was asked for, and tell what the outcome will rest on."""
        # Files named on the command line are collected although --ignore or a conftest leaves them out.
        left_out = {path for path in {item.path for item in items} if _is_ignored(config, path)}
        kept = [item for item in items if item.path not in left_out and self._is_wanted(item)]
        if len(kept) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in kept])
            items[:] = kept
        files = {str(item.path) for item in kept}
        files |= {p.__file__ for p in config.pluginmanager.get_plugins() if _is_conftest(p)}
        files |= {str(config.inipath)} if config.inipath else set()
        imported = self.recorder.take()
        self.recorder.since |= imported  # a test server asks for them as well
        told = {"count": len(kept), "files": self._hashes(files), "imported": self._below(imported)}
        self.results.tell("collected", **told)

    def _is_wanted(self, item: Any) -> bool:
        example = self.examples[item.nodeid] = self._example(item)
        if example is not None and example[1] in self.doctests.get(example[0], ()):
            return True
        if self.wanted is None:
            return example is None or self.own_doctests
        nodeid = self.places.nodeid(item)
        if example is not None:
            return nodeid in self.wanted
        return any(name in self.wanted for name in soa_recorder.names_of(nodeid))

    def _example(self, item: Any) -> tuple[str, str] | None:
        """(file, qualified name) of the function whose docstring this is, for examples in modules."""
        test = getattr(item, "dtest", None)
        if test is None or not str(item.path).endswith(".py"):
            return None
        module = test.globs.get("__name__", "")
        qualname = test.name[len(module) + 1 :] if test.name.startswith(module + ".") else "<module>"
        path = self.places.relative(str(item.path))
        return None if path is None else (path, qualname)

    def _hashes(self, files: set[str]) -> dict[str, str]:
        """Hashes of the files that decide what is tested, for SoA to see that nobody changed them."""
        found = {}
        for file in files:
            path = self.places.relative(file)
            if path is not None and os.path.isfile(file):
                with open(file, "rb") as opened:
                    found[path] = hashlib.sha256(opened.read()).hexdigest()
        return found

    # --- what happens

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """What runs while a shared fixture is set up counts for every test that uses the fixture."""
        before = self.recorder.take()
        yield
        during = self.recorder.take()
        self.fixtures[id(fixturedef)] = (fixturedef, during)
        self.recorder.since |= before | during

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Around one test with its set-up and tear-down."""
        self.told = Told()
        self.recorder.take()
        self.results.tell("started", nodeid=self.places.nodeid(item))
        self.watch.start()
        outcome: Any = yield
        self.watch.stop()
        if outcome.excinfo is not None and issubclass(outcome.excinfo[0], TooLong):
            self.told.outcome = "timeout"  # between two phases, where pytest does not catch it
            outcome.force_result(True)
        self._tell(item)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, call: Any) -> Iterator[None]:
        """After one phase of a test."""
        too_long = call.excinfo is not None and isinstance(call.excinfo.value, TooLong)
        if too_long:
            self.watch.stop()
        outcome: Any = yield
        report = outcome.get_result()
        excinfo = call.excinfo  # only now: unittest's own is put there meanwhile
        message, frames = "", []
        if excinfo is not None:
            frames = self._frames(_traceback(excinfo))
            message = self._message(excinfo, report)
        if too_long:
            message = str(call.excinfo.value) + _hung_at(frames)
            self.watch.start(_TEAR_DOWN)
        self.told.add("timeout" if too_long else _outcome(report), message, frames)
        self.told.output = "\n".join(text for _, text in report.sections if text)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Reports that no phase made: subtests."""
        if report.failed and self.told.outcome not in _RED:
            self.told.add("failed", _capped(report.longreprtext, self.cap), [])

    def _tell(self, item: Any) -> None:
        ran = self.recorder.take()
        info = getattr(item, "_fixtureinfo", None)
        for definitions in (info.name2fixturedefs if info else {}).values():
            for definition in definitions:
                ran |= self.fixtures.get(id(definition), (None, set()))[1]
        self.results.tell(
            "test",
            nodeid=self.places.nodeid(item),
            outcome=self.told.outcome or "error",
            seconds=time.perf_counter() - self.told.start,
            message=self.told.message,
            frames=self.told.frames,
            output=_tail(self.told.output, self.cap),
            doctest=self.examples.get(item.nodeid),
            ran=self._below(ran),
        )

    def _below(self, ran: set[tuple[str, int]]) -> list[tuple[str, int]]:
        """Functions as (path, line), those of the folder alone."""
        below = ((self.places.relative(path), line) for path, line in ran)
        return sorted((path, line) for path, line in below if path)

    def _message(self, excinfo: Any, report: Any) -> str:
        if excinfo.typename in _DOCTEST_PROBLEMS:
            return _capped(report.longreprtext, self.cap)
        if excinfo.typename == "FixtureLookupError":
            return str(getattr(report.longrepr, "errorstring", excinfo.exconly())).splitlines()[0]
        lines = [excinfo.exconly(tryshort=True)]
        lines += [f"  {_only(problem)}" for problem in getattr(excinfo.value, "exceptions", ())]
        problem = excinfo.value
        for _ in range(3):
            problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
            if problem is None:
                break
            lines.append(f"caused by {_only(problem)}")
        # Addresses differ between runs that are otherwise the same.
        return _capped(_ADDRESS.sub("", "\n".join(lines)), self.cap)

    def _frames(self, tb: Any) -> list[Any]:
        """The workspace's frames, outermost first: path, line, name, source line, line of the definition."""
        frames = []
        while tb is not None:
            code = tb.tb_frame.f_code
            path = None if code.co_filename.startswith("<") else self.places.relative(code.co_filename)
            if path is not None:
                source = linecache.getline(code.co_filename, tb.tb_lineno).strip()[:200]
                name = getattr(code, "co_qualname", code.co_name)
                frames.append([path, tb.tb_lineno, name, source, code.co_firstlineno])
            tb = tb.tb_next
        if len(frames) > MANY_FRAMES:
            frames = frames[: MANY_FRAMES // 4] + frames[-(MANY_FRAMES - MANY_FRAMES // 4) :]
        return frames

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """pytest came to its own end."""
        self.results.tell("end", status=int(exitstatus))


def _outcome(report: Any) -> str:
    expected = hasattr(report, "wasxfail")
    if report.outcome == "rerun":
        return "rerun"
    if report.skipped:
        return "xfailed" if expected else "skipped"
    if report.failed:
        return "failed" if report.when == "call" else "error"
    if report.when != "call":
        return ""
    return "xpassed" if expected else "passed"


def _is_ignored(config: Any, path: Any) -> bool:
    return bool(config.hook.pytest_ignore_collect(collection_path=path, config=config))


def _is_conftest(plugin: Any) -> bool:
    return os.path.basename(getattr(plugin, "__file__", None) or "") == "conftest.py"


def _traceback(excinfo: Any) -> Any:
    """The traceback of what went wrong: for a docstring example that of the exception inside it."""
    for failure in getattr(excinfo.value, "failures", [excinfo.value]):
        inner = getattr(failure, "exc_info", None)
        if inner is not None:
            return inner[2]
    return excinfo.tb


def _only(problem: BaseException) -> str:
    return "".join(traceback.format_exception_only(type(problem), problem)).strip()


def _hung_at(frames: list[Any]) -> str:
    if not frames:
        return ""
    path, line, name = frames[-1][:3]
    return f"; it was at {path}:{line} in {name}"


def _capped(text: str, cap: int) -> str:
    return text if len(text) <= cap else text[: cap * 3 // 4] + "\n…\n" + text[-cap // 4 :]


def _tail(text: str, cap: int) -> str:
    return text if len(text) <= cap else "…\n" + text[-cap:]


def pytest_addoption(pluginmanager: Any) -> None:
    """The first hook of all: the others are registered here, where SoA asks."""
    number = os.environ.pop("SOA_RESULTS", "")
    if number:
        with open(os.path.join(os.path.dirname(__file__), "soa_request.json"), encoding="utf-8") as file:
            request = json.load(file)
        plugin = Plugin(Results(int(number)), request, os.environ.get("SOA_RAN", ""))
        pluginmanager.register(plugin, "soa")
        if "SOA_REQUESTS" in os.environ:
            import soa_test_server  # type: ignore[import-not-found]  # server.py, likewise

            kind = "HalfStarted" if "SOA_FRESH" in os.environ else "Collected"
            pluginmanager.register(getattr(soa_test_server, kind)(plugin), "soa-server")
