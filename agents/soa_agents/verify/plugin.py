"""The pytest plugin that tells SoA what happened. Copied beside the tests and loaded with `-p`.

Runs in the workspace's own interpreter: Python 3.9 or newer, pytest 7 or newer, nothing but the standard
library. It writes JSON lines to the pipe whose number is in SOA_RESULTS: `root`, `collecting` (a file),
`collect` (a file that cannot be collected), `collected`, `started`, `test` (a finished test), `end`; between
them stands what faulthandler says of a test that hangs. Its settings are the JSON of soa_request.json beside
it:

    root      the folder; paths are told relative to it
    wanted    node ids or files to run, or null for all that pytest collects
    without   node ids that are not run in any case
    doctests  {file: [qualified names]} of docstring examples to run
    seconds   how long one test may take
    cap       how many characters of a message or of output are told
    loaded    whether to tell at the end which files of the folder were imported

(PYTEST_DONT_REWRITE: there are no assertions here.)
"""

# os.path: strings in, strings out, for every item of a large collection:
# ruff: noqa: PTH110, PTH113, PTH118, PTH119, PTH120, PTH123, PTH206

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
import soa_clock as clock  # type: ignore[import-not-found]  # clock.py, under the name of its copy
import soa_failures as failures  # type: ignore[import-not-found]  # failures.py, likewise
import soa_recorder  # type: ignore[import-not-found]  # recorder.py, likewise

COLLECTING = 4  # times as long as one test is what collecting all of them may take
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
        self._named: dict[tuple[str, Any], str] = {}

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
        key = (head, getattr(node, "path", None))
        if key not in self._named:
            path = os.path.join(str(node.config.rootpath), head)
            if not os.path.exists(path) and key[1] is not None:
                path = str(key[1])
            self._named[key] = self._below(os.path.realpath(path))
        return f"{self._named[key]}{separator}{rest}"

    def _below(self, path: str) -> str:
        return os.path.relpath(path, self.root).replace(os.sep, "/")


class Told:
    """Gathers the phases of one test into one result: any failed phase makes it fail."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.outcome = ""
        self.message = ""
        self.frames: list[Any] = []
        self.output = ""
        self.offline = False

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
        self.without = set(request["without"])
        self.doctests = {name: set(names) for name, names in request["doctests"].items()}
        self.cap = request["cap"]
        self.loaded = request["loaded"]
        self.watch = clock.Watch(request["seconds"], results)
        self.recorder = soa_recorder.Recorder(self.places.root, ran, os.getpid())
        self.fixtures: dict[int, tuple[Any, set[tuple[str, int]]]] = {}
        self.examples: dict[str, tuple[str, str] | None] = {}
        self.rootpath = self.places.root
        self.own_doctests = False
        self.told = Told()
        self.decisive: set[str] = set()  # files that the outcome rests on
        results.tell("root", root=self.places.root)
        self.watch.look_at(COLLECTING * self.watch.seconds)

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

    def pytest_collectstart(self, collector: Any) -> None:
        """Before a file is read."""
        if isinstance(collector, pytest.Module):
            self.results.tell("collecting", path=self.places.relative(str(collector.path)))

    def pytest_collectreport(self, report: Any) -> None:
        """A file that cannot be collected."""
        if report.failed:
            text = str(getattr(report.longrepr, "longrepr", report.longrepr))
            path = self.places.relative(os.path.join(self.rootpath, report.nodeid)) or report.nodeid
            self.results.tell("collect", nodeid=path, message=failures.tail(text, self.cap))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        """Keep what was asked for, and tell what the outcome will rest on."""
        # Files named on the command line are collected although --ignore or a conftest leaves them out.
        left_out = {path for path in {item.path for item in items} if _is_ignored(config, path)}
        kept = [item for item in items if item.path not in left_out and self._is_wanted(item)]
        if len(kept) < len(items):
            config.hook.pytest_deselected(items=[item for item in items if item not in kept])
            items[:] = kept
        self.watch.stop()
        self.decisive = {p.__file__ for p in config.pluginmanager.get_plugins() if _is_conftest(p)}
        self.decisive |= {str(config.inipath)} if config.inipath else set()
        files = self.decisive | {str(item.path) for item in kept}
        imported = self.recorder.take()
        self.recorder.since |= imported  # a test server asks for them as well
        told = {"count": len(kept), "files": self._hashes(files), "imported": self._below(imported)}
        self.results.tell("collected", **told)

    def _is_wanted(self, item: Any) -> bool:
        example = self.examples[item.nodeid] = self._example(item)
        if self.without and self.places.nodeid(item) in self.without:
            return False
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
        self.decisive.add(str(item.path))
        self.recorder.take()
        self.results.tell("started", nodeid=self.places.nodeid(item))
        self.watch.start()
        outcome: Any = yield
        self.watch.stop()
        if outcome.excinfo is not None and issubclass(outcome.excinfo[0], clock.TooLong):
            self.told.outcome = "timeout"  # between two phases, where pytest does not catch it
            outcome.force_result(True)
        elif outcome.excinfo is not None and not self.told.message:
            self.told.message = f"{outcome.excinfo[0].__name__}: {outcome.excinfo[1]}".rstrip(": ")
        self._tell(item)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Iterator[None]:
        """After one phase of a test."""
        caught = [call.excinfo, *(getattr(item, "_excinfo", None) or ())]  # unittest keeps its own there
        too_long = any(each is not None and isinstance(each.value, clock.TooLong) for each in caught)
        if too_long:
            self.watch.stop()
        outcome: Any = yield
        report = outcome.get_result()
        excinfo = call.excinfo  # only now: unittest's own is put there meanwhile
        message, frames, kind = "", [], _outcome(report)
        if excinfo is not None:
            frames = failures.frames(failures.traceback_of(excinfo), self.places.relative)
            message = failures.message(excinfo, report, self.cap)
            if kind in _RED and (without := failures.offline(excinfo.value)):
                kind, message, self.told.offline = "skipped", without, True
        if too_long:
            kind, message = "timeout", str(call.excinfo.value) + failures.hung_at(frames)
            self.watch.start(_TEAR_DOWN)
        self.told.add(kind, message, frames)
        self.told.output = "\n".join(text for _, text in report.sections if text)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Reports that no phase made: subtests."""
        if report.failed and self.told.outcome not in _RED and not self.told.offline:
            self.told.add("failed", failures.capped(report.longreprtext, self.cap), [])

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
            output=failures.tail(self.told.output, self.cap),
            offline=self.told.offline and self.told.outcome == "skipped",
            doctest=self.examples.get(item.nodeid),
            ran=self._below(ran),
        )

    def _below(self, ran: set[tuple[str, int]]) -> list[tuple[str, int]]:
        """Functions as (path, line), those of the folder alone."""
        below = ((self.places.relative(path), line) for path, line in ran)
        return sorted((path, line) for path, line in below if path)

    def pytest_sessionfinish(self, session: Any, exitstatus: int) -> None:
        """pytest came to its own end."""
        self.finish(session, int(exitstatus))

    def finish(self, session: Any, status: int) -> None:
        """Tell the end, whether pytest still notices a failure, and what the files are by now."""
        fails = True
        if self.results.owner == os.getpid():
            with contextlib.suppress(Exception):
                fails = _canary_fails(session)
        told = {"status": status, "fails": fails, "files": self._hashes(self.decisive)}
        self.results.tell("end", **told, loaded=soa_recorder.loaded(self.places.root) if self.loaded else [])


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


def _canary_fails(session: Any) -> bool:
    """Whether something that must fail does, after all that the tests have run; its test is not set up."""
    modules = (item.getparent(pytest.Module) for item in session.items)
    module = next((m for m in modules if m is not None), None)
    if module is None:
        return True
    item = pytest.Function.from_parent(module, name="test_soa_canary", callobj=_must_fail)
    call = pytest.CallInfo.from_call(_must_fail, when="call")
    report = item.ihook.pytest_runtest_makereport(item=item, call=call)
    return bool(report.failed and not report.passed and report.outcome == "failed")


def _must_fail() -> None:
    raise AssertionError("the canary")


def _is_ignored(config: Any, path: Any) -> bool:
    return bool(config.hook.pytest_ignore_collect(collection_path=path, config=config))


def _is_conftest(plugin: Any) -> bool:
    return os.path.basename(getattr(plugin, "__file__", None) or "") == "conftest.py"


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
