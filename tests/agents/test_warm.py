"""Test servers: what they say equals a cold run, no candidate leaves anything to the next, nothing stays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from soa_agents.settings import Limits
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.probe import probe
from soa_agents.verify.report import Report, Selection
from verify_place import asked, environment, outcomes, project, result, runner, written

pytestmark = pytest.mark.skipif(probe().level != "namespaces", reason="test servers need user namespaces")

CODE = "def f(value):\n    return value\n\n\ndef g():\n    return f(1)\n"
TESTS = "import code_\n\n\ndef test_f():\n    assert code_.g() == 1\n\n\ndef test_other():\n    pass\n"


@asynccontextmanager
async def ladder(root: Path, **more: object) -> AsyncIterator[Ladder]:
    made = Ladder(runner(root, **more))  # type: ignore[arg-type]  # as `runner`
    try:
        yield made
    finally:
        await asyncio.shield(made.close())
    assert not [p for p in psutil.Process().children() if "soa_agents" in " ".join(p.cmdline())]


def small(place: Path, **files: str) -> Path:
    return written(place, {"code_.py": CODE, "test_code.py": TESTS, **files})


def body(text: str) -> dict[str, str]:
    """A candidate: `f` with this body."""
    return {"code_.py": CODE.replace("    return value\n", "".join(f"    {x}\n" for x in text.split("\n")))}


SITE = f"lib/python3.{sys.version_info.minor}/site-packages"
F, OTHER = asked("test_code.py::test_f"), asked("test_code.py::test_other")
GOOD, BAD = body("x = value\nreturn x"), body("return value + 1")


async def test_a_warm_report_is_a_cold_one(tmp_path: Path) -> None:
    root = project("plain", tmp_path)
    text = (root / "shop/prices.py").read_text()
    candidates = {
        "a body": text.replace("return sum(prices)", "x = 1\n    y = 2\n    return sum(prices) + x"),
        "helpers": text.replace("return price * 0.9", "return _part(price)").replace(
            "def discount",
            "@functools.lru_cache(maxsize=None)\ndef _part(p):\n    return p * 0.8\n\n\ndef discount",
        ),
        "an import above all": text.replace("import asyncio\n", "import math\nimport asyncio\n").replace(
            "return value\n", "return math.floor(value)\n"
        ),
        "a method": text.replace(
            "return len(self.items)\n", "return self._n()\n\n    def _n(self):\n        return 1\n"
        ),
    }
    names = ("test_total", "TestBasket", "test_check", "test_later", "Old", "test_tear_down", "test_skipped")
    selection = asked(
        *(f"tests/test_prices.py::{name}" for name in names), "doctest:shop/prices.py::discount"
    )
    async with ladder(root) as warm:
        for kind, candidate in candidates.items():
            found = await warm.run({"shop/prices.py": candidate}, selection)
            assert found.rung == "swap", (kind, found.refused)
            assert _all(found) == _all(await warm.cold.run({"shop/prices.py": candidate}, selection)), kind
        blind = await warm.run({"shop/prices.py": candidate}, replace(selection, recorded=False))
    assert [r.outcome for r in blind.results] == [r.outcome for r in found.results]
    assert any(r.ran for r in blind.results) == warm.cold.interpreter.records_freely


KINDS = """import contextlib, functools, sys
from abc import ABC


class Box(ABC):
    def __iter__(self):
        yield 1

    def take(self):
        return sorted(self)


class Small(Box):
    def take(self):
        return super().take()


@contextlib.contextmanager
def held():
    yield 1


@functools.lru_cache
def names():
    return dir(sys.modules[__name__]), Box.__name__


def described(value):
    return "{value}".format(**locals())
"""
OF_KINDS = """import inspect

import code_


def test_box():
    assert code_.Box().take() == [1]
    assert code_.Small().take() == [1]


def test_held():
    with code_.held() as value:
        assert value == code_.described(1) == 1


def test_names():
    assert code_.names() == []


def test_source():
    assert inspect.getsource(code_.Box) == inspect.getsource(code_.held) == ""
"""


async def test_what_only_looks_unsafe_is_swapped(tmp_path: Path) -> None:
    candidates = {
        "a generator becomes a function": ("yield 1\n\n    def", "return iter([2, 3])\n\n    def"),
        "a decorated one too": ("    yield 1\n\n\n@functools", "    return iter([1])\n\n\n@functools"),
        "a private method": (
            "sorted(self)\n",
            "self.__part()\n\n    def __part(self):\n        return [2]\n",
        ),
        "a method that no longer asks its parent": ("return super().take()", "x = 2\n        return [x]"),
        "a helper where names are listed later": ("@functools", "def part():\n    pass\n\n\n@functools"),
    }
    async with ladder(written(tmp_path, {"code_.py": KINDS, "test_code.py": OF_KINDS})) as warm:
        for kind, (old, new) in candidates.items():
            assert KINDS.count(old) == 1
            candidate = {"code_.py": KINDS.replace(old, new)}
            found = await warm.run(candidate, asked("test_code.py"))
            assert found.rung == "swap", (kind, found.refused)
            assert _all(found) == _all(await warm.cold.run(candidate, asked("test_code.py"))), kind


def _all(report: Report) -> list[object]:
    return sorted((replace(r, seconds=0.0) for r in report.results), key=lambda r: r.nodeid)


REFUSED: dict[str, tuple[dict[str, str], dict[str, str]]] = {  # what is in the project, the candidate
    "it ran while importing": ({"code_.py": CODE + "\nONE = f(1)\n"}, {}),
    "its code was copied": ({"test_code.py": TESTS + "\nKEPT = code_.f.__code__\n"}, {}),
    "a new global": ({}, {"code_.py": CODE + "\nprint(end='')\n"}),
    "the module is listed": (
        {"test_code.py": TESTS + "\nNAMES = dir(code_)\n"},
        {"code_.py": CODE.replace("def g", "def h():\n    pass\n\n\ndef g")},
    ),
    "a class that its decorator knows": (
        {"code_.py": CODE + "\n\n@str\nclass Box:\n    def put(self):\n        pass\n"},
        {
            "code_.py": CODE
            + "\n\n@str\nclass Box:\n    def put(self):\n        pass\n\n    def more(self): pass\n"
        },
    ),
    "a star import": (
        {"test_code.py": "from code_ import *\n" + TESTS},
        {"code_.py": CODE.replace("def g", "def h():\n    pass\n\n\ndef g")},
    ),
}


async def test_a_workspace_may_lie_among_temporary_files_that_a_jail_empties() -> None:
    with tempfile.TemporaryDirectory(prefix="soa-test-", dir="/var/tmp") as place:
        async with ladder(small(Path(place))) as warm:
            for candidate, rung in ((GOOD, "swap"), (GOOD | {"test_more.py": ""}, "fresh")):
                found = await warm.run(candidate, F)
                assert (found.rung, outcomes(found)) == (rung, {"test_code.py::test_f": "passed"}), found


@pytest.mark.parametrize("name", REFUSED)
async def test_where_a_swap_would_not_be_sound_a_fresh_process_runs_it(name: str, tmp_path: Path) -> None:
    files, candidate = REFUSED[name]
    root = small(tmp_path, **files)
    change = candidate or {
        "code_.py": (root / "code_.py").read_text().replace("return value", "return value + 1")
    }
    async with ladder(root) as warm:
        found = await warm.run(change, F)
        assert found.rung == "fresh", found
        assert found.refused
        assert outcomes(found) == outcomes(await warm.cold.run(change, F))


async def test_a_fresh_process_finds_its_test_files_read(tmp_path: Path) -> None:
    """Before it begins; one that was changed meanwhile is read as it is now."""
    seen = "import pathlib\nSEEN = [p.name for p in pathlib.Path(__file__).parent.rglob('*-pytest-*')]\n"
    tests = (
        TESTS + "\n\ndef test_seen():\n    import conftest\n    assert 'test_code' in str(conftest.SEEN)\n"
    )
    root = small(tmp_path, **{"test_code.py": tests, "conftest.py": seen})
    (root / "code_.py").write_text(CODE + "\nONE = f(1)\n")
    candidate = {"code_.py": CODE.replace("return value", "return value + 1") + "\nONE = f(1)\n"}
    every = {"test_code.py::test_other": "passed", "test_code.py::test_seen": "passed"}
    async with ladder(root) as warm:
        for text, outcome in ((tests, "failed"), (tests.replace("g() == 1", "g() == 2"), "passed")):
            (root / "test_code.py").write_text(text)
            found = await warm.run(candidate, asked("test_code.py"))
            assert found.rung == "fresh", found
            assert outcomes(found) == {**every, "test_code.py::test_f": outcome}


HOSTILE = {
    "a file in the tree": "open('conftest.py', 'w').write('raise SystemExit')",
    "the tests": "open('test_code.py', 'w').write('')",
    "byte code": (
        "import glob, os, pathlib\nfor p in pathlib.Path('.').rglob('*.pyc'): p.write_bytes(b'')\n"
        "os.makedirs('__pycache__', exist_ok=True)"
    ),
    "a file in the temporary folder": "open('/tmp/left', 'w').write('x')",
    "the server's memory": "open(f'/proc/{__import__(\"os\").getppid()}/mem', 'r+b').close()",
    "the server": "__import__('os').kill(__import__('os').getppid(), 9)",
    "everything": "__import__('os').kill(-1, 9)",
    "shared state": "__import__('builtins').len = None",
    "its own end": "__import__('os')._exit(0)",
    "a thread that goes on": (
        "import threading\nthreading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()"
    ),
}


async def test_what_a_candidate_does_is_gone_with_it(tmp_path: Path) -> None:
    root = small(tmp_path)
    async with ladder(root, seconds=3) as warm:
        for name, text in HOSTILE.items():
            lines = ["try:", *(f"    {line}" for line in text.split("\n")), "except Exception: pass"]
            await warm.run(body("\n".join([*lines, "return value + 1"])), F)
            found = await warm.run(GOOD, F)
            assert (found.rung, outcomes(found)) == ("swap", {"test_code.py::test_f": "passed"}), name
    assert (root / "code_.py").read_text() == CODE
    assert (root / "test_code.py").read_text() == TESTS


async def test_when_an_answer_is_there_nothing_of_its_candidate_runs(tmp_path: Path) -> None:
    unseen = "import ctypes, time\nwhile not ctypes.CDLL(None).fork(): time.sleep(99)\nreturn value"
    async with ladder(small(tmp_path)) as warm:
        await warm.run(GOOD, F)
        before = psutil.Process().children(recursive=True)
        found = await warm.run(body(unseen), F)
        assert psutil.Process().children(recursive=True) == before
        assert (found.rung, outcomes(found)) == ("swap", {"test_code.py::test_f": "passed"})


async def test_a_server_that_was_killed_between_two_candidates_is_not_missed(tmp_path: Path) -> None:
    async with ladder(small(tmp_path)) as warm:
        assert (await warm.run(BAD, F)).rung == "swap"
        for process in psutil.Process().children(recursive=True):
            if "pytest" in " ".join(process.cmdline()):
                os.kill(process.pid, signal.SIGKILL)
        found = await warm.run(GOOD, F)
        assert (found.rung, outcomes(found)) == ("swap", {"test_code.py::test_f": "passed"})


CHANGES: dict[str, Callable[[Path], object]] = {
    "a test": lambda root: (root / "test_code.py").write_text(TESTS.replace("== 1", "== 2")),
    "another source": lambda root: (root / "other.py").write_text("ONE = 2\n"),
    "a conftest that is new": lambda root: (root / "conftest.py").write_text("import other\nother.ONE = 2\n"),
    "a file that becomes the configuration": lambda root: (root / "pyproject.toml").write_text(
        "[tool.pytest.ini_options]\npython_functions = 'none'\n"
    ),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_server_is_started_again_when_what_it_rests_on_has_changed(name: str, tmp_path: Path) -> None:
    tests = TESTS.replace("== 1", "== other.ONE").replace("import code_", "import code_, other")
    root = small(tmp_path, **{"test_code.py": tests, "other.py": "ONE = 1\n", "pyproject.toml": ""})
    async with ladder(root) as warm:
        assert outcomes(await warm.run(GOOD, F)) == {"test_code.py::test_f": "passed"}
        CHANGES[name](root)
        found, cold = await warm.run(GOOD, F), await warm.cold.run(GOOD, F)
        assert outcomes(found) == outcomes(cold) != {"test_code.py::test_f": "passed"}


async def test_a_server_is_started_again_when_something_is_installed(tmp_path: Path) -> None:
    env = environment(tmp_path / "env")
    written(env, {f"{SITE}/dep/__init__.py": "ONE = 1\n", f"{SITE}/dep-1.dist-info/METADATA": ""})
    tests = TESTS.replace("== 1", "== dep.ONE").replace("import code_", "import code_, dep")
    root = small(tmp_path / "project", **{"test_code.py": tests})
    async with ladder(root) as warm:
        warm.cold = replace(warm.cold, interpreter=replace(warm.cold.interpreter, path=env / "bin/python"))
        assert outcomes(await warm.run(GOOD, F)) == {"test_code.py::test_f": "passed"}
        written(env, {f"{SITE}/dep/__init__.py": "ONE = 2\n", f"{SITE}/dep-2.dist-info/METADATA": ""})
        found = await warm.run(GOOD, F)
        assert (found.rung, outcomes(found)) == ("swap", {"test_code.py::test_f": "failed"})


SLOWER: dict[str, tuple[dict[str, str], str, str]] = {  # what is in the project, the rung, a word of why
    "a test starts a process": (
        {"test_code.py": TESTS.replace("assert", "import os; os.system('true'); assert")},
        "cold",
        "os.system",
    ),
    "importing starts a thread": (
        {
            "conftest.py": "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()"
        },
        "fresh",
        "threads",
    ),
    "shared memory": ({"conftest.py": "import mmap\nKEPT = mmap.mmap(-1, 10)\n"}, "fresh", "shares memory"),
    "a plugin of the workspace": (
        {
            "conftest.py": "open('x', 'w')\nimport threading, time\n"
            "threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
            "pytest.ini": "[pytest]\naddopts = -p plugin_\n",
            "plugin_.py": "",
        },
        "cold",
        "loaded early",
    ),
    "tests that cannot fail": (
        {
            "conftest.py": "import pytest\n\n@pytest.hookimpl(hookwrapper=True, tryfirst=True)\n"
            "def pytest_pyfunc_call(pyfuncitem):\n    outcome = yield\n    outcome.force_result(True)\n"
        },
        "fresh",
        "must fail",
    ),
}


@pytest.mark.parametrize("name", SLOWER)
async def test_what_cannot_be_served_goes_the_slower_way(name: str, tmp_path: Path) -> None:
    files, rung, why = SLOWER[name]
    async with ladder(small(tmp_path, **files)) as warm:
        for again in (False, True):
            found = await warm.run(BAD, F)
            assert (found.rung, outcomes(found)) == (rung, outcomes(await warm.cold.run(BAD, F)))
            assert why in found.refused or again


async def test_what_pytest_reads_first_is_for_a_cold_run(tmp_path: Path) -> None:
    root = small(tmp_path, **{"pytest.ini": "[pytest]\n", "tests/tox.ini": "", "tests/test_more.py": TESTS})
    async with ladder(root) as warm:
        found = await warm.run({"pytest.ini": "[pytest]\npython_functions = none\n"}, F)
        assert (found.rung, found.refused) == ("cold", "it changes what pytest reads before anything else")
        assert outcomes(found) == {"test_code.py::test_f": "missing"}
        runs_at_import = {"code_.py": CODE + "\nONE = f(1)\n"}
        found = await warm.run(runs_at_import, asked("tests/test_more.py::test_f"))
        assert (found.rung, found.refused) == ("cold", "the tests have a configuration of their own")
        assert outcomes(found) == {"tests/test_more.py::test_f": "passed"}


async def test_what_is_asked_for_cold_and_what_has_no_candidate_runs_cold(tmp_path: Path) -> None:
    async with ladder(small(tmp_path)) as warm:
        assert (await warm.run(BAD, replace(F, cold=True))).rung == "cold"
        assert (await warm.run({}, F)).rung == "cold"
        assert (await warm.run(BAD, Selection(everything=True))).rung == "cold"


async def test_a_test_that_hangs_is_told_like_in_a_cold_run(tmp_path: Path) -> None:
    async with ladder(small(tmp_path), seconds=0.8) as warm:
        found = await warm.run(body("while value: pass"), asked("test_code.py"))
        assert result(found, "test_code.py::test_f").outcome == "timeout"
        assert "it was at code_.py:2 in f" in result(found, "test_code.py::test_f").message
        assert result(found, "test_code.py::test_other").outcome == "passed"
        assert found.rung == "swap"


async def test_a_test_case_that_hangs_did_not_finish_either(tmp_path: Path) -> None:
    """unittest catches whatever interrupts a test."""
    cases = (
        "import unittest, code_\n\n\nclass TestAll(unittest.TestCase):\n"
        "    def test_f(self):\n        code_.f(1)\n\n    def test_g(self):\n        pass\n"
    )
    async with ladder(small(tmp_path, **{"test_case.py": cases}), seconds=0.8) as warm:
        names = asked("test_case.py")
        for selection in (names, replace(names, cold=True)):
            found = await warm.run(body("while value: pass"), selection)
            assert [r.outcome for r in found.results] == ["timeout", "passed"]
            assert "it was at code_.py:2 in f" in found.results[0].message


async def test_a_test_that_cannot_be_interrupted_ends_all_the_same(tmp_path: Path) -> None:
    hang = "while True:\n    try: __import__('time').sleep(9)\n    except BaseException: pass"
    async with ladder(small(tmp_path), seconds=0.5) as warm:
        found = await warm.run(body(hang), F)
        assert (found.fault, found.rung) == ("hang", "cold")
        assert (await warm.run(GOOD, F)).rung == "swap"


STARVED = """import os, time

def f(value):
    os.sched_setaffinity(0, {0})
    end = time.process_time() + 0.25
    while time.process_time() < end:
        pass
    return value
"""


async def test_what_a_test_waits_for_a_processor_is_not_its_own_time(tmp_path: Path) -> None:
    """Four others on its processor: it takes five times as long, and does not count as hanging."""
    root = small(tmp_path)
    busy = "import os\nos.sched_setaffinity(0, {0})\nwhile True: pass"
    async with ladder(root, seconds=0.5) as warm:
        await warm.run(GOOD, F)
        start = asyncio.create_subprocess_exec
        others = [await start(sys.executable, "-c", busy) for _ in range(4)]
        try:
            for selection, rung in ((F, "swap"), (replace(F, cold=True), "cold")):
                candidate = {"code_.py": STARVED + CODE.partition("return value\n")[2]}
                found = await warm.run(candidate, selection)
                assert (found.rung, outcomes(found)) == (rung, {"test_code.py::test_f": "passed"})
        finally:
            for other in others:
                other.kill()
                await other.wait()


async def test_open_buffers_lie_under_every_candidate(tmp_path: Path) -> None:
    root = small(tmp_path)
    base = {
        "code_.py": CODE.replace("return f(1)", "return f(2)"),
        "test_code.py": TESTS.replace("== 1", "== 2"),
    }
    made = Ladder(runner(root), base)
    try:
        candidate = {"code_.py": base["code_.py"].replace("return value", "return value * 1")}
        found = await made.run(candidate, F)
        assert (found.rung, outcomes(found)) == ("swap", {"test_code.py::test_f": "passed"})
    finally:
        await asyncio.shield(made.close())


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    async with ladder(small(tmp_path), limits=Limits(seconds=60)) as warm:
        run = asyncio.ensure_future(warm.run(body("import time; time.sleep(60)"), F))
        await asyncio.sleep(0.5)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert outcomes(await warm.run(GOOD, F)) == {"test_code.py::test_f": "passed"}


async def test_two_candidates_run_at_once(tmp_path: Path) -> None:
    async with ladder(small(tmp_path)) as warm:
        runs = [warm.run(candidate, F) for candidate in (GOOD, BAD, GOOD, BAD)]
        found = [outcomes(report)["test_code.py::test_f"] for report in await asyncio.gather(*runs)]
        assert found == ["passed", "failed", "passed", "failed"]
