"""The test server: collects once, then forks a child for each candidate. Copied beside the tests.

Python 3.9 or newer, pytest 7 or newer, nothing but the standard library and the modules copied along. It runs
in the workspace's interpreter, inside the jail from its first import, and speaks JSON lines over two pipes:

    -> {"id", "files": {path: bytes as latin-1}, "wanted": [...], "doctests": {...}, "recorded",
        "named": [...]}
    <- {"kind": "ready", "files": [what it rests on], "modules": [...]} or {"kind": "unfit", "why"}, once
    <- {"kind": "answer", "id", "lines": [the plugin's], "end": how it ended, "why"}

`Collected` serves inside pytest's own loop, after collecting (a swap); `HalfStarted` before pytest reads a
conftest, with its plugins loaded and what the tests import from outside the workspace (a fresh run). A child
that ends in any other way than "done" has said nothing: the candidate is then run in another way.
"""

# ruff: noqa: PTH118 - strings in, strings out

from __future__ import annotations

import bisect
import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

# The copies of children, ground, kernel, layers, recorder, soundness and swapping lie beside this one:
import soa_children as children  # type: ignore[import-not-found]
import soa_ground as ground  # type: ignore[import-not-found]
import soa_kernel as kernel  # type: ignore[import-not-found]
import soa_layers as layers  # type: ignore[import-not-found]
import soa_recorder  # type: ignore[import-not-found]

_FIRST, _LAST = {"tryfirst": True}, {"trylast": True}  # pytest is not imported here
_AROUND = {"tryfirst": True, "hookwrapper": True}


class _Server:
    """What both kinds have: SoA's plugin, the pipes, and what has been opened so far."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.root: str = plugin.places.root
        self.pipes = children.Pipes(int(os.environ.pop("SOA_REQUESTS")), plugin.results.number)
        self.megabytes = int(os.environ.pop("SOA_MEGABYTES", "1024"))
        self.quiet = os.environ.pop("SOA_QUIET", "").split()  # they keep numeric libraries from using threads
        hidden = {os.fsencode(name) for name in self.quiet}
        for name in hidden:  # the libraries see them, Python does not: no test meets them
            getattr(os.environ, "_data").pop(name, None)  # noqa: B009 - it is private
        self.opened = ground.watch_opened(self.root)
        self.mounted = layers.mount_points()
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)  # whom a child leaves behind is ours to wait for

    def unfit(self, why: str) -> None:
        """End, when there is a reason why nothing can be served."""
        if why:
            self.pipes.tell("unfit", why=why)
            os._exit(0)

    def become_child(self, number: int, files: dict[str, bytes], recorded: bool) -> None:
        """In a child: its jail with the candidate in it, and the plugin told whose it is now."""
        self.plugin.recorder.take_over(recorded)
        layers.enter(self.root, files, self.megabytes, self.mounted)
        for name in self.quiet:
            os.unsetenv(name)
        results = self.plugin.results
        results.number, results.owner = number, os.getpid()

    def answer(self, request: dict[str, Any], child: Any) -> None:
        """In the server: hear the child, clear up after it, and pass on what it told when nothing is left."""
        lines, end, why = child.heard(self.plugin.watch.seconds)
        children.clear_up()
        self.pipes.tell("answer", id=request["id"], lines=lines, end=end, why=why)
        child.release()


class Collected(_Server):
    """A pytest plugin: serves instead of running what was collected."""

    def __init__(self, plugin: Any) -> None:
        super().__init__(plugin)
        plugin.recorder = soa_recorder.early

    def pytest_collection(self) -> None:
        """Before anything is collected."""
        _make_requests_later(sys.modules["pytest"].Function)

    pytest_collection.pytest_impl = _FIRST  # type: ignore[attr-defined]

    def pytest_runtestloop(self, session: Any) -> bool:
        """Take pytest's place at the head of its loop."""
        import soa_swapping  # type: ignore[import-not-found]  # late: it loads what a cold run might not

        opened = self.opened.copy()
        ran = self.plugin.recorder.take()
        self.plugin.recorder.rest()
        self._name(session.items)
        gc.collect()
        examples = bool(self.plugin.own_doctests or self.plugin.doctests)
        self.known = soa_swapping.look_around(self.root, ran, examples)
        self.swapping = soa_swapping
        self.unfit(children.unsafe_to_fork() or self._canary(session))
        gc.collect()
        gc.disable()
        gc.freeze()
        plugins = session.config.pluginmanager.get_plugins()
        self.pipes.tell("ready", files=ground.rests_on(self.root, opened), modules=ground.loaded(plugins))
        for request in self.pipes.asked():
            self._answer(session, request)
        os._exit(0)

    pytest_runtestloop.pytest_impl = _FIRST  # type: ignore[attr-defined]

    def _name(self, items: list[Any]) -> None:
        """Remember where each item is by its name; with ten thousands of them every string counts."""
        told = ((self.plugin.places.nodeid(item), item.nodeid) for item in items)
        names = [theirs if ours == theirs else ours for ours, theirs in told]
        self.places = sorted(range(len(names)), key=names.__getitem__)
        self.sorted = [names[place] for place in self.places]
        self.plugin.examples = {key: value for key, value in self.plugin.examples.items() if value}

    def _answer(self, session: Any, request: dict[str, Any]) -> None:
        files = _files(request)
        for path in files:
            self.swapping.learn(self.known, os.path.join(self.root, path))
        child = children.fork(self.pipes)
        if child.mine:
            with child.ending():
                self.become_child(child.number, files, request["recorded"])
                for path, data in files.items():
                    if path.endswith(".py"):
                        self.swapping.swap(self.known, os.path.join(self.root, path), data)
                self._run(session, child.number, request)
            children.last_word(child.number, "done")
        self.answer(request, child)

    def _run(self, session: Any, number: int, request: dict[str, Any]) -> None:
        """In the child: run what is wanted as pytest would, and tell it through `number`."""
        items = [session.items[place] for place in self._places(request["wanted"])]
        self._take_over(session)
        if request["doctests"]:
            items += self._examples(session, request["doctests"])
        children.watch_for_processes(number)
        session.items, session.testscollected = items, len(items)
        status = 0
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                status = 2
                break
        self.plugin.finish(session, status)

    def _take_over(self, session: Any) -> None:
        """Make what pytest has open that of a process that has just started."""
        gc.enable()
        self.plugin.recorder.take()
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
        module = _module_of(session)
        if module is None:
            return ""

        child = children.fork(self.pipes)
        if child.mine:
            with child.ending():
                self.become_child(child.number, {}, False)
                item = pytest.Function.from_parent(module, name="test_soa_canary", callobj=_must_fail)
                self._take_over(session)
                session.items = [item]
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            children.last_word(child.number, "done")
        lines, end, why = child.heard(self.plugin.watch.seconds)
        children.clear_up()
        child.release()
        outcomes = [told["outcome"] for told in map(json.loads, lines) if told["kind"] == "test"]
        if end != "done":
            return f"no child can be forked safely: {end} {why}".strip()
        return "" if outcomes == ["failed"] else "a test that must fail does not fail"


class _Later:
    """An attribute of a test that `make` puts there when it is first asked for."""

    def __init__(self, name: str, make: Callable[[Any], None]) -> None:
        self.name, self.make = name, make

    def __get__(self, item: Any, owner: Any) -> Any:
        if item is None:
            return self
        self.make(item)
        return vars(item)[self.name]


def _make_requests_later(function: Any) -> None:
    """Have pytest make a test's `request` when somebody asks for it: of ten thousands few are ever run."""
    make = getattr(function, "_initrequest", None)
    if make is None:
        return
    names = ("funcargs", "_request")

    def begin(item: Any) -> None:
        for name in names:
            vars(item).pop(name, None)

    function._initrequest = begin
    for name in names:
        setattr(function, name, _Later(name, make))


def _module_of(session: Any) -> Any:
    """The first test module of what was collected; None where there are only examples."""
    pytest: Any = sys.modules["pytest"]
    modules = (item.getparent(pytest.Module) for item in session.items)
    return next((m for m in modules if m is not None), None)


def _must_fail() -> None:
    raise AssertionError("the canary")


class HalfStarted(_Server):
    """A pytest plugin: stops pytest before it reads a conftest; each child goes on from there."""

    def __init__(self, plugin: Any) -> None:
        super().__init__(plugin)
        self.modules: list[str] = json.loads(os.environ.pop("SOA_FRESH"))
        self.rewritten: set[str] = set()
        self.number = -1  # in a child its end of the pipe

    def pytest_load_initial_conftests(self, early_config: Any, args: list[str]) -> Iterator[None]:
        """In the server never left; a child leaves it and is then a pytest like any other."""
        own = ground.own_module(self.root) or ground.import_ahead(self.modules, self.root)
        self.unfit(
            children.unsafe_to_fork() or (own and f"{own} belongs to the workspace and is loaded early")
        )
        self.read = self.opened.copy()
        gc.collect()
        gc.freeze()
        self.pipes.tell("ready", files=ground.rests_on(self.root, self.read), modules=[])
        for request in self.pipes.asked():
            self._rewrite_ahead(early_config, request)
            child = children.fork(self.pipes)
            if child.mine:
                with child.ending():
                    self._go_on(child.number, request, early_config, args)
                yield
                return
            self.answer(request, child)
        os._exit(0)

    pytest_load_initial_conftests.pytest_impl = _AROUND  # type: ignore[attr-defined]

    def _rewrite_ahead(self, config: Any, request: dict[str, Any]) -> None:
        """Before forking: what every child with these files would do again, which takes most of its time."""
        names = set(request["named"]) - self.rewritten - set(request["files"])
        if names:
            ground.rewrite_ahead(config, self.root, names)
            self.rewritten |= names

    def _go_on(self, number: int, request: dict[str, Any], early_config: Any, args: list[str]) -> None:
        """In the child: be a pytest that was asked for this request's files from the start."""
        files = _files(request)
        if any(os.path.join(self.root, path) in self.read or ground.is_ini(path) for path in files):
            raise Refused("it changes what pytest reads before anything else")
        if any(ground.has_own_ini(self.root, name) for name in request["named"]):
            raise Refused("the tests have a configuration of their own")
        self.number = number
        self.become_child(number, files, request["recorded"])
        self.plugin.wanted = set(request["wanted"])
        self.plugin.doctests = {name: set(names) for name, names in request["doctests"].items()}
        named = [f"./{name}" for name in request["named"]]
        args += named
        sys.argv += named
        early_config.known_args_namespace.file_or_dir = list(named)
        parameters = early_config.invocation_params
        object.__setattr__(parameters, "args", (*parameters.args, *named))
        importlib.invalidate_caches()
        children.watch_for_processes(number)

    def pytest_sessionfinish(self) -> None:
        """In a child: all is told, and what pytest still does is for a terminal."""
        children.last_word(self.number, "done")

    pytest_sessionfinish.pytest_impl = _LAST  # type: ignore[attr-defined]


def _files(request: dict[str, Any]) -> dict[str, bytes]:
    return {path: data.encode("latin-1") for path, data in request["files"].items()}


class Refused(Exception):
    """The candidate has to be run in another way; the text says why."""
