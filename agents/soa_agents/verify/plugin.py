"""The pytest plugin that tells SoA what happened. Copied beside the tests and loaded with `-p`.

Runs in the workspace's own interpreter: Python 3.9 or newer, pytest 7 or newer, nothing but the standard
library. It writes JSON lines to the pipe whose number is in SOA_RESULTS: `collect` (an error while collecting),
`started`, `test` (one finished test) and `end`. Its settings are the JSON in SOA_REQUEST:

    root      the folder (the working directory is meant by `.`); paths are told relative to it
    wanted    node ids or files to run, or null for all that pytest collects
    doctests  {file: [qualified names]} of docstring examples to run
    seconds   how long one test may take
    cap       how many characters of a message or of output are told

(PYTEST_DONT_REWRITE: there are no assertions here.)
"""

import faulthandler
import hashlib
import json
import linecache
import os
import signal
import threading
import time
import traceback

import pytest
import soa_recorder  # type: ignore[import-not-found]  # recorder.py, under the name of its copy

MANY_FRAMES = 20
_RESET = {  # options of a project's addopts that would hide tests or reports from us
    "maxfail": 0, "numprocesses": 0, "dist": "no", "tx": [], "distload": False, "usepdb": False, "trace": False,
    "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False, "forked": False, "no_cov": True,
    "collectonly": False, "continue_on_collection_errors": True, "setuponly": False, "setupshow": False, "setupplan": False,
}  # fmt: skip


_DOCTEST_PROBLEMS = ("DocTestFailure", "MultipleDoctestFailures", "UnexpectedException")


class TooLong(BaseException):
    """A test ran past its time. Not an `Exception`, so that code under test does not swallow it."""


class Results:
    """The pipe to SoA. Processes forked by a test share it but stay silent."""

    def __init__(self, number):
        self.number = number
        self.owner = os.getpid()
        os.set_inheritable(number, False)

    def tell(self, kind, **values):
        if os.getpid() != self.owner:
            return
        data = (json.dumps(dict(values, kind=kind)) + "\n").encode("utf-8", "replace")
        while data:
            data = data[os.write(self.number, data) :]


class Places:
    """Names of files and tests as SoA spells them: relative to the folder, with forward slashes."""

    def __init__(self, root):
        self.root = os.path.realpath(root)

    def relative(self, path):
        """The path below the folder, or None when it lies elsewhere or belongs to an installation."""
        path = os.path.realpath(path)
        if not path.startswith(self.root + os.sep):
            return None
        if any(part in ("site-packages", "dist-packages") for part in path.split(os.sep)):
            return None
        return os.path.relpath(path, self.root).replace(os.sep, "/")

    def nodeid(self, node):
        """pytest's node id, which is relative to its rootdir, made relative to the folder."""
        head, separator, rest = node.nodeid.partition("::")
        base = str(node.config.rootpath)
        path = os.path.normpath(os.path.join(base, head))
        if not os.path.exists(path) and getattr(node, "path", None) is not None:
            path = str(node.path)
        return os.path.relpath(os.path.realpath(path), self.root).replace(os.sep, "/") + separator + rest


class Watch:
    """Interrupts a test that runs too long, where signals can; SoA's own clock is behind it."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.works = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        self._before = None

    def start(self, seconds=None):
        if self.works:
            self._before = signal.signal(signal.SIGALRM, self._too_long)
            signal.setitimer(
                signal.ITIMER_REAL, seconds or self.seconds, 0.5
            )  # again, should it be swallowed

    def stop(self):
        if self.works:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before or signal.SIG_DFL)

    def _too_long(self, number, frame):
        raise TooLong("did not finish within {:g} s".format(self.seconds))


class Told:
    """Gathers the phases of one test into one result: any failed phase makes it fail."""

    def __init__(self):
        self.outcome = ""
        self.message = ""
        self.frames = []
        self.output = []
        self.start = time.perf_counter()

    def add(self, report, message, frames, too_long):
        outcome = _outcome(report)
        if too_long:
            outcome = "timeout"
        if outcome == "rerun":  # pytest-rerunfailures: what counts comes later
            self.outcome, self.message, self.frames = "", "", []
            return
        if self.outcome in ("failed", "error", "timeout"):
            return
        if outcome in ("failed", "error", "timeout", "skipped", "xfailed", "xpassed") or (
            outcome == "passed" and not self.outcome
        ):
            self.outcome, self.message, self.frames = outcome, message, frames


def _outcome(report):
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


class Plugin:
    """The hooks."""

    def __init__(self, results, request, ran):
        self.results = results
        self.places = Places(request["root"])
        self.wanted = None if request["wanted"] is None else set(request["wanted"])
        self.doctests = {name: set(names) for name, names in request["doctests"].items()}
        self.cap = request["cap"]
        self.watch = Watch(request["seconds"])
        self.recorder = soa_recorder.Recorder(self.places.root, ran, os.getpid())
        self.fixtures = {}
        self.examples = {}
        self.rootpath = self.places.root
        self.own_doctests = False
        self.told = Told()

    @pytest.hookimpl(tryfirst=True)
    def pytest_load_initial_conftests(self, early_config):
        if hasattr(early_config.known_args_namespace, "no_cov"):
            early_config.known_args_namespace.no_cov = True

    @pytest.hookimpl(hookwrapper=True)
    def pytest_cmdline_main(self, config):
        for name, value in _RESET.items():
            if hasattr(config.option, name):
                setattr(config.option, name, value)
        self.rootpath = str(config.rootpath)
        self.own_doctests = getattr(config.option, "doctestmodules", False)
        if self.wanted is None:
            config.args.extend(name for name in self.doctests if name not in config.args)
        self.recorder.start()
        yield

    @pytest.hookimpl(hookwrapper=True)
    def pytest_collect_file(self, file_path, parent):
        option = parent.config.option
        path = self.places.relative(str(file_path))
        if path not in self.doctests:
            yield
            return
        before, option.doctestmodules = self.own_doctests, True
        outcome = yield
        option.doctestmodules = before
        if not self._may_hold_tests(path):  # named on the command line, it would count as a test module
            found = [c for c in outcome.get_result() or [] if type(c).__name__.startswith("Doctest")]
            outcome.force_result(found)

    def _may_hold_tests(self, path):
        if self.wanted is None:
            name = path.rpartition("/")[2]
            return name.startswith("test_") or name.endswith("_test.py")
        return any(path in _prefixes_of(name) for name in self.wanted)

    def pytest_collectreport(self, report):
        if report.failed:
            text = getattr(report.longrepr, "longrepr", report.longrepr)
            path = os.path.join(self.rootpath, report.nodeid)
            self.results.tell(
                "collect",
                nodeid=self.places.relative(path) or report.nodeid,
                message=_tail(str(text), self.cap),
            )

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        kept, dropped = [], []
        for item in items:
            (kept if self._is_wanted(item) else dropped).append(item)
        if dropped:
            items[:] = kept
            config.hook.pytest_deselected(items=dropped)
        files = {str(item.path) for item in kept if getattr(item, "path", None)}
        files |= {
            str(plugin.__file__) for plugin in config.pluginmanager.get_plugins() if _is_conftest(plugin)
        }
        files |= {str(config.inipath)} if config.inipath else set()
        self.results.tell("collected", count=len(kept), files=self._hashes(files))

    def _hashes(self, files):
        """Hashes of the files that decide what is tested, for SoA to see that nobody changed them."""
        found = {}
        for file in files:
            path = self.places.relative(file)
            if path is not None and os.path.isfile(file):
                with open(file, "rb") as opened:
                    found[path] = hashlib.sha256(opened.read()).hexdigest()
        return found

    def _is_wanted(self, item):
        example = self.examples[item.nodeid] = self._example(item)
        if example is not None and example[1] in self.doctests.get(example[0], ()):
            return True
        if self.wanted is None:
            return example is None or self.own_doctests
        nodeid = self.places.nodeid(item)
        if example is not None:
            return nodeid in self.wanted
        return any(name in self.wanted for name in _prefixes_of(nodeid))

    def _example(self, item):
        """(file, qualified name) of the function whose docstring this is, for examples in modules."""
        test = getattr(item, "dtest", None)
        if test is None or not str(item.path).endswith(".py"):
            return None
        module = test.globs.get("__name__", "")
        qualname = test.name[len(module) + 1 :] if test.name.startswith(module + ".") else "<module>"
        path = self.places.relative(str(item.path))
        return None if path is None else (path, qualname)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef, request):
        """What runs while a shared fixture is set up counts for every test that uses the fixture."""
        before = self.recorder.take()
        yield
        during = self.recorder.take()
        self.fixtures[id(fixturedef)] = (fixturedef, during)
        self.recorder.since |= before | during

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        self.told = Told()
        self.recorder.take()
        self.results.tell("started", nodeid=self.places.nodeid(item))
        self.watch.start()
        outcome = yield
        self.watch.stop()
        if outcome.excinfo is not None and issubclass(outcome.excinfo[0], TooLong):
            self.told.outcome = "timeout"  # between two phases, where pytest does not catch it
            outcome.force_result(True)
        self._tell(item)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        too_long = call.excinfo is not None and isinstance(call.excinfo.value, TooLong)
        if too_long:
            self.watch.stop()
        outcome = yield
        report = outcome.get_result()
        excinfo = call.excinfo  # only now: unittest's own is put there meanwhile
        message, frames = "", []
        if excinfo is not None:
            frames = self._frames(_traceback(excinfo))
            message = self._message(excinfo, report)
            if too_long:
                message = str(excinfo.value) + _hung_at(frames)
                self.watch.start(2)  # for what is left of this test, its tear-down
        self.told.add(report, message, frames, too_long)
        self.told.output = [text for _, text in report.sections if text]

    def pytest_runtest_logreport(self, report):
        """Reports that no phase made: subtests."""
        if report.failed and self.told.outcome not in ("failed", "error", "timeout"):
            self.told.outcome = "failed"
            self.told.message = self.told.message or _tail(report.longreprtext, self.cap)

    def _tell(self, item):
        ran = self.recorder.take()
        info = getattr(item, "_fixtureinfo", None)
        for definitions in (info.name2fixturedefs if info else {}).values():
            for definition in definitions:
                ran |= self.fixtures.get(id(definition), (None, set()))[1]
        told = [(self.places.relative(path), line) for path, line in ran]
        self.results.tell(
            "test",
            nodeid=self.places.nodeid(item),
            outcome=self.told.outcome or "error",
            seconds=time.perf_counter() - self.told.start,
            message=self.told.message,
            frames=self.told.frames,
            output=_tail("\n".join(self.told.output), self.cap),
            doctest=self.examples.get(item.nodeid),
            ran=sorted(pair for pair in told if pair[0]),
        )

    def _message(self, excinfo, report):
        if excinfo.typename in _DOCTEST_PROBLEMS:
            return _capped(report.longreprtext, self.cap)
        if excinfo.typename == "FixtureLookupError":
            return getattr(report.longrepr, "errorstring", excinfo.exconly())
        lines = [excinfo.exconly(tryshort=True)]
        for problem in getattr(excinfo.value, "exceptions", ()):
            lines.append("  " + "".join(traceback.format_exception_only(type(problem), problem)).strip())
        cause, known = excinfo.value, set()
        while id(cause) not in known and len(known) < 3:
            known.add(id(cause))
            above = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
            if above is None:
                break
            only = "".join(traceback.format_exception_only(type(above), above)).strip()
            lines.append("caused by " + only)
            cause = above
        return _capped("\n".join(lines), self.cap)

    def _frames(self, tb):
        frames = []
        while tb is not None:
            code = tb.tb_frame.f_code
            path = None if code.co_filename.startswith("<") else self.places.relative(code.co_filename)
            if path is not None:
                source = linecache.getline(code.co_filename, tb.tb_lineno).strip()
                name = getattr(code, "co_qualname", code.co_name)
                frames.append([path, tb.tb_lineno, name, source[:200], code.co_firstlineno])
            tb = tb.tb_next
        if len(frames) > MANY_FRAMES:
            frames = frames[: MANY_FRAMES // 4] + frames[-(MANY_FRAMES - MANY_FRAMES // 4) :]
        return frames

    def pytest_sessionfinish(self, exitstatus):
        self.results.tell("end", status=int(exitstatus))


def _is_conftest(plugin):
    return os.path.basename(getattr(plugin, "__file__", None) or "") == "conftest.py"


def _prefixes_of(nodeid):
    """Every name by which a test may be asked for: itself, without parameters, its classes, file, folders."""
    yield nodeid
    bare, bracket, _ = nodeid.partition("[")
    if bracket:
        yield bare
    while "::" in bare:
        bare = bare.rpartition("::")[0]
        yield bare
    while "/" in bare:
        bare = bare.rpartition("/")[0]
        yield bare
        yield bare + "/"
    yield "."


def _traceback(excinfo):
    """The traceback of what went wrong: for a docstring example that of the exception inside it."""
    problem = excinfo.value
    for failure in getattr(problem, "failures", [problem]):
        inner = getattr(failure, "exc_info", None)
        if inner is not None:
            return inner[2]
    return excinfo.tb


def _hung_at(frames):
    if not frames:
        return ""
    path, line, name = frames[-1][:3]
    return "; it was at {}:{} in {}".format(path, line, name)


def _capped(text, cap):
    return text if len(text) <= cap else text[: cap * 3 // 4] + "\n…\n" + text[-cap // 4 :]


def _tail(text, cap):
    return text if len(text) <= cap else "…\n" + text[-cap:]


def _install():
    results = os.environ.pop("SOA_RESULTS", "")
    request = os.environ.pop("SOA_REQUEST", "")
    if not results:
        return None
    faulthandler.disable()
    return Plugin(Results(int(results)), json.loads(request), os.environ.get("SOA_RAN", ""))


_PLUGIN = _install()


def pytest_addoption(pluginmanager):
    """The first hook of all: the others are registered here, where SoA asks."""
    if _PLUGIN is not None:
        pluginmanager.register(_PLUGIN, "soa")
