"""Tests and configurations that end, stop or fool a run: each is a plain sentence and leaves nothing behind.

A pytest that is missing is in test_interpreter.py, Ctrl-C in server/test_cli_jobs.py, a killed test server in
test_warm.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from soa_agents.errors import NoSandbox
from soa_agents.settings import Limits
from soa_agents.verify.brief import for_model
from soa_agents.workspace.ids import FunctionId
from verify_place import EVERYTHING, outcomes, result, runner, written


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a project; at the end no process and no file of its run is left."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    before = set(psutil.Process().children(recursive=True))
    yield tmp_path / "project"
    assert not set(psutil.Process().children(recursive=True)) - before
    assert not list(scratch.iterdir())


@dataclass(frozen=True)
class Case:
    """What lies in the project; the fault and words of the sentence; the outcomes by test."""

    files: dict[str, str]
    fault: str
    words: str
    outcomes: dict[str, str] = field(default_factory=dict)
    seconds: float = 20.0


ONE = {"test_a.py": "def test_x(): pass\n"}
CASES = {
    "a test that kills its process group": Case(
        {
            "test_a.py": "import os, signal\ndef test_w(): pass\n"
            "def test_x(): os.killpg(0, signal.SIGKILL)\ndef test_z(): pass\n"
        },
        "died",
        "The test process was killed by SIGKILL while test_a.py::test_x ran; the tests after it did not run.",
        {"test_w": "passed", "test_x": "error"},
    ),
    "a test that interrupts": Case(
        {
            "test_a.py": "import os, signal\ndef test_x(): os.kill(os.getpid(), signal.SIGINT)\n"
            "def test_z(): pass\n"
        },
        "died",
        "test_a.py::test_x interrupted the whole run; the tests after it did not run.",
        {"test_x": "error"},
    ),
    "a conftest that ends the process": Case(
        {"conftest.py": "import os\nos._exit(0)\n", **ONE},
        "refused",
        "ended by itself (exit status 0) while it read a conftest.py or a plugin.",
    ),
    "a module that ends the process": Case(
        {"mod.py": "import os\nos._exit(7)\n", "test_a.py": "import mod\ndef test_x(): pass\n"},
        "refused",
        "ended by itself (exit status 7) while it read test_a.py.",
    ),
    "collecting that takes too long": Case(
        {
            "mod.py": "import time\ndef wait():\n    time.sleep(60)\nwait()\n",
            "test_a.py": "import mod\ndef test_x(): pass\n",
        },
        "hang",
        "had not collected the tests in time and was stopped while it read test_a.py, at mod.py:3 in wait.",
        seconds=2.0,  # long enough to get there on a busy machine
    ),
    "a configuration above that wants a missing plugin": Case(
        {"../pytest.ini": "[pytest]\naddopts = --no-such-thing\n", "../.git/HEAD": "", **ONE},
        "refused",
        "unrecognized arguments: --no-such-thing (as {above}/pytest.ini wants it). Install the plugin in",
    ),
    "reports down the pipe": Case(
        {
            "test_a.py": "import os\n\ndef test_x():\n"
            '    line = b\'{"kind": "test", "nodeid": "test_a.py::test_x"}\\n\'\n'
            "    for number in range(3, 64):\n        try: os.write(number, line)\n"
            "        except OSError: pass\n    assert 0\n"
        },
        "tampered",
        "The run proves nothing: reports that pytest did not make.",
    ),
    "a pytest that notices no failure": Case(
        {
            "test_a.py": "from _pytest.reports import TestReport\n\ndef test_x():\n"
            "    TestReport.failed = property(lambda self: False)\n    assert 0\n"
        },
        "tampered",
        "The run proves nothing: a test that must fail passed.",
    ),
    "a test that rewrites itself": Case(
        {"test_a.py": "def test_x():\n    with open(__file__, 'a') as file: file.write('#')\n"},
        "tampered",
        "The run changed test_a.py, so it proves nothing.",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_a_run_that_goes_wrong_as_a_whole(case: Case, place: Path) -> None:
    report = await runner(written(place, case.files), seconds=case.seconds).run({}, EVERYTHING)
    assert (report.fault, "\n" in report.problem) == (case.fault, False)
    assert case.words.format(above=place.parent) in report.problem
    told = {nodeid.rpartition("::")[2]: outcome for nodeid, outcome in outcomes(report).items()}
    assert not case.outcomes or told == case.outcomes


WITHOUT = """
import socket, urllib.request, pytest

def test_far():
    urllib.request.urlopen("http://example.org/", timeout=5)

@pytest.fixture
def server():
    return socket.create_connection(("192.0.2.1", 9), 5)

def test_fixture(server): pass

def test_pretended():
    raise OSError(101, "Network is unreachable")

def test_near():
    with socket.create_server(("127.0.0.1", 0)) as own:
        socket.create_connection(own.getsockname(), 5).close()

def test_room(tmp_path):
    with open(tmp_path / "big", "wb") as file:
        for _ in range(200):
            file.write(b"x" * (1 << 20))
"""


async def test_what_a_run_does_not_have_is_named(place: Path) -> None:
    """The network is not there, which fails no test, and the disk is small, which does."""
    root = written(place, {"test_a.py": WITHOUT})
    report = await runner(root, limits=Limits(memory_mb=128)).run({}, EVERYTHING)
    assert {name.rpartition("_")[2]: outcome for name, outcome in outcomes(report).items()} == {
        "far": "skipped",
        "fixture": "skipped",
        "pretended": "failed",
        "near": "passed",
        "room": "failed",
    }
    assert [r.nodeid.rpartition("_")[2] for r in report.tests if r.offline] == ["far", "fixture"]
    assert "needs the network, which tests do not have here" in result(report, "test_a.py::test_far").message
    assert "soa.limits.memoryMb" in result(report, "test_a.py::test_room").message


SHOP = """
def line(price, count, note):
    total = price + count
    return check(total)


def check(total):
    assert total < 9, "too much"
    return total
"""
STUCK = """
import shop, time

def test_values():
    big = "x" * 5000
    print("asked for", 4)
    assert shop.line(4, 2, big) == 8

def test_raises():
    shop.line(9, 9, None)

def test_hangs():
    while True:
        try:
            time.sleep(9)
        except BaseException:
            pass
"""


async def test_a_report_tells_a_model_values_frames_and_where_it_hung(place: Path) -> None:
    root = written(place, {"shop.py": SHOP, "test_a.py": STUCK})
    report = await runner(root, seconds=0.5).run({}, EVERYTHING)
    text = for_model(report, FunctionId("shop.py", "line"), 4000)
    assert "FAILED: test_a.py::test_values\n  AssertionError: assert 6 == 8\n" in text
    assert "    with big = 'xxx" in text
    assert "it printed:\n    asked for 4" in text
    assert (
        "  at shop.py:4 in line: return check(total)  <- your function\n    with price = 9, count = 9, "
        in text
    )
    assert "  at shop.py:8 in check: assert total < 9" in text
    assert "    with total = 18" in text
    assert text.count("could not be interrupted, at test_a.py:15 in test_hangs;") == 1
    assert result(report, "test_a.py::test_hangs").frames[-1].function == "test_hangs"
    assert len(text) < 2500
    assert str(place) not in text


async def test_a_full_disk_is_one_sentence(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/dev/full")
    with pytest.raises(
        NoSandbox, match=r"SoA cannot write to /dev/full: .+\. Make room there, or set TMPDIR"
    ):
        await runner(written(place, ONE)).run({}, EVERYTHING)
    monkeypatch.setattr(tempfile, "tempdir", str(place.parent / "scratch"))
