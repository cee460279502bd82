"""A cold run gives what `python -m pytest` in the folder gives, with the candidate on the disk."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from soa_agents.settings import Limits
from soa_agents.verify.report import Report, Selection
from verify_place import EVERYTHING, asked, outcomes, project, ran, result, runner, written

TESTS = "tests/test_prices.py"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project("plain", tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def whole(plain: Path) -> Report:
    return asyncio.run(runner(plain).run({}, EVERYTHING))


def test_every_kind_of_outcome_is_told(whole: Report) -> None:
    assert outcomes(whole) == {
        "shop/tests/test_beside.py::test_countdown": "passed",
        f"{TESTS}::test_total[given0-3]": "passed",
        f"{TESTS}::test_total[given1-0]": "passed",
        f"{TESTS}::test_total[given2-2]": "failed",
        f"{TESTS}::TestBasket::test_count": "passed",
        f"{TESTS}::TestBasket::test_first": "passed",
        f"{TESTS}::Old::test_discount": "failed",
        f"{TESTS}::Old::test_parts": "failed",
        f"{TESTS}::test_later": "passed",
        f"{TESTS}::test_check": "failed",
        f"{TESTS}::test_program": "passed",
        f"{TESTS}::test_fork": "passed",
        f"{TESTS}::test_expected_to_fail": "xfailed",
        f"{TESTS}::test_skipped": "skipped",
        f"{TESTS}::test_without_fixture": "error",
        f"{TESTS}::test_tear_down": "error",
    }
    assert whole.problem == ""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("test_total[given2-2]", ("assert 1 == 2", "where 1 =")),
        ("Old::test_discount", ("9.0 != 8",)),
        ("Old::test_parts", ("2 != 1",)),
        ("test_check", ("ValueError: negative", "caused by KeyError: 'value'")),
        ("test_without_fixture", ("fixture 'nowhere' not found",)),
        ("test_tear_down", ("RuntimeError: left open",)),
        ("test_skipped", ("not here",)),
    ],
)
def test_a_message_holds_both_values_or_the_reason(whole: Report, name: str, words: tuple[str, ...]) -> None:
    message = result(whole, f"{TESTS}::{name}").message
    assert all(word in message for word in words), message


def test_frames_are_the_workspaces_outermost_first(whole: Report) -> None:
    frames = result(whole, f"{TESTS}::test_check").frames
    assert [(f.path, f.function, f.source) for f in frames] == [
        (TESTS, "test_check", "prices.check(-1)"),
        ("shop/prices.py", "check", 'raise ValueError("negative") from KeyError("value")'),
    ]
    assert result(whole, f"{TESTS}::Old::test_discount").frames[-1].function == "Old.test_discount"


def test_captured_output_is_kept(whole: Report) -> None:
    assert "adding [1]" in result(whole, f"{TESTS}::test_total[given2-2]").output


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        ("test_total[given0-3]", {"total", "cached.<locals>.wrapper"}),
        ("TestBasket::test_count", {"Basket.count", "Basket.add", "Basket.__init__"}),
        ("TestBasket::test_first", {"Basket.add", "Basket.__init__"}),  # in a fixture set up for another test
        ("test_later", {"later"}),
        ("test_program", {"cached", "cached.<locals>.wrapper", "total"}),  # in a process that it starts
        ("test_fork", {"countdown"}),
        ("test_skipped", set()),
    ],
)
def test_functions_that_ran_are_seen(whole: Report, name: str, functions: set[str]) -> None:
    assert ran(result(whole, f"{TESTS}::{name}")) == functions


def test_only_what_was_asked_for_runs_and_what_is_not_there_is_missing(plain: Path) -> None:
    names = (
        f"{TESTS}::test_total",
        f"{TESTS}::TestBasket",
        f"{TESTS}::test_nothing",
        "tests/test_gone.py::test_x",
    )
    report = asyncio.run(runner(plain).run({}, asked(*names)))
    assert outcomes(report) == {
        f"{TESTS}::test_total[given0-3]": "passed",
        f"{TESTS}::test_total[given1-0]": "passed",
        f"{TESTS}::test_total[given2-2]": "failed",
        f"{TESTS}::TestBasket::test_count": "passed",
        f"{TESTS}::TestBasket::test_first": "passed",
        f"{TESTS}::test_nothing": "missing",
        "tests/test_gone.py::test_x": "missing",
    }


def test_docstring_examples_run_when_asked_for(plain: Path) -> None:
    selection = asked("doctest:shop/prices.py::total", "doctest:shop/prices.py::discount")
    text = (plain / "shop/prices.py").read_text().replace("price * 0.9", "price * 0.8")
    report = asyncio.run(runner(plain).run({"shop/prices.py": text}, selection))
    told = {str(r.doctest): r for r in report.doctests}
    assert {name: r.outcome for name, r in told.items()} == {
        "shop/prices.py::total": "passed",
        "shop/prices.py::discount": "failed",
    }
    assert "8.0" in told["shop/prices.py::discount"].message
    assert "9.0" in told["shop/prices.py::discount"].message
    assert not report.tests


def test_the_candidate_is_a_real_file_for_processes_too(plain: Path) -> None:
    before = (plain / "shop/prices.py").read_bytes()
    changed = before.decode().replace("sum(prices)", "sum(prices) + new.ONE")
    overlay = {"shop/prices.py": f"from shop import new\n{changed}", "shop/new.py": "ONE = 1\n"}
    names = (f"{TESTS}::test_program", f"{TESTS}::test_total")
    report = asyncio.run(runner(plain).run(overlay, asked(*names)))
    assert outcomes(report) == {
        f"{TESTS}::test_program": "failed",
        f"{TESTS}::test_total[given0-3]": "failed",
        f"{TESTS}::test_total[given1-0]": "failed",
        f"{TESTS}::test_total[given2-2]": "passed",
    }
    assert (plain / "shop/prices.py").read_bytes() == before
    assert not (plain / "shop/new.py").exists()


def test_stale_byte_code_never_hides_a_candidate(tmp_path: Path) -> None:
    root = written(
        tmp_path,
        {
            "one.py": "def f():\n    return 1\n",
            "test_one.py": "import one\ndef test(): assert one.f() == 2\n",
        },
    )
    saved = int(time.time())
    os.utime(root / "one.py", (saved, saved))
    compileall = psutil.Popen([sys.executable, "-m", "compileall", "-q", str(root)])
    assert compileall.wait(20) == 0
    overlay = {"one.py": "def f():\n    return 2\n"}
    reports = [
        asyncio.run(runner(root).run(overlay, EVERYTHING)),
        asyncio.run(runner(root).run({}, EVERYTHING)),
    ]
    assert [outcomes(r)["test_one.py::test"] for r in reports] == ["passed", "failed"]


def test_the_projects_own_options_hide_nothing(tmp_path: Path) -> None:
    root = project("options", tmp_path)
    report = asyncio.run(runner(root).run({}, EVERYTHING))
    assert outcomes(report) == {
        "tests/test_tool.py::test_wrong": "failed",
        "tests/test_tool.py::test_right": "passed",
        "tests/test_tool.py::test_wrong_again": "failed",
        "tool.py::tool.double": "passed",
        "tool.py::tool.TestSubject.shout": "passed",
    }
    assert {str(r.doctest) for r in report.doctests} == {"tool.py::double", "tool.py::TestSubject.shout"}


def test_examples_of_a_module_that_looks_like_tests_do_not_warn(tmp_path: Path) -> None:
    root = project("options", tmp_path)
    report = asyncio.run(runner(root).run({}, asked("doctest:tool.py::TestSubject.shout")))
    assert outcomes(report) == {"tool.py::tool.TestSubject.shout": "passed"}
    assert report.problem == ""


def test_a_folder_of_several_has_its_prefix_in_every_path(plain: Path) -> None:
    tests = asked(f"app/{TESTS}::test_check", "doctest:app/shop/prices.py::total")
    report = asyncio.run(replace(runner(plain), prefix="app/").run({"other/x.py": "1"}, tests))
    failed = result(report, f"app/{TESTS}::test_check")
    assert failed.frames[-1].path == "app/shop/prices.py"
    assert str(failed.ran[0]) == "app/shop/prices.py::check"
    assert str(report.doctests[0].doctest) == "app/shop/prices.py::total"


HANGS = {
    "a loop": ("while True: pass", "did not finish within 0.6 s"),
    "one that catches everything": (
        "while 1:\n        try: time.sleep(9)\n        except BaseException: pass",
        "did not finish within 0.6 s and could not be interrupted, at test_h.py:",
    ),
    "one in C": (
        "sum(__import__('itertools').repeat(1))",
        "did not finish within 0.6 s and could not be interrupted, at test_h.py:4 in test_hang",
    ),
}


@pytest.mark.parametrize("body, words", HANGS.values(), ids=HANGS)
def test_a_hanging_test_is_a_result(tmp_path: Path, body: str, words: str) -> None:
    text = f"import time\ndef test_a(): pass\ndef test_hang():\n    {body}\ndef test_z(): pass\n"
    report = asyncio.run(runner(written(tmp_path, {"test_h.py": text}), seconds=0.6).run({}, EVERYTHING))
    assert result(report, "test_h.py::test_a").outcome == "passed"
    hung = result(report, "test_h.py::test_hang")
    assert hung.outcome == "timeout"
    assert words in hung.message
    assert report.problem == "" or report.fault == "hang"


OFTEN = """
from soa_agents.verify.clock import TooLong, Watch

class Results:
    number = 1

class Value:
    def __getitem__(self, key): return Value()
    def __iter__(self): return iter((1, 2, 3))

def busy():
    while True:
        any(Value()[each] is None for each in Value())

watch = Watch(0.001, Results)
for _ in range(1500):
    try:
        watch.start()
        busy()
    except TooLong:
        watch.stop()
"""


def test_looking_where_a_test_is_does_not_end_the_process() -> None:
    ended = subprocess.run([sys.executable, "-c", OFTEN], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    stacks = ended.stdout.split("(most recent call first):\n")[1:]
    assert len(stacks) >= 1500
    assert sum(" in busy\n" in stack for stack in stacks) > 0.9 * len(stacks)


ENDINGS = {
    "died": ("import os\ndef test_x(): os._exit(3)\n", "exit status 3) while test_e.py::test_x ran"),
    "memory": (
        "def test_x():\n    kept = [bytearray(b'x') * (1 << 24) for _ in range(60)]\n",
        "more than 256 MB",
    ),
    "time": (
        "import time\ndef test_x(): time.sleep(30)\n",
        "within 6 s and were stopped while test_e.py::test_x",
    ),
}


@pytest.mark.parametrize("fault", ENDINGS)
def test_a_run_that_ends_badly_says_why(tmp_path: Path, fault: str) -> None:
    text, words = ENDINGS[fault]
    limits = Limits(memory_mb=256, seconds=6 if fault == "time" else 60)
    report = asyncio.run(runner(written(tmp_path, {"test_e.py": text}), limits=limits).run({}, EVERYTHING))
    assert (report.fault, words in report.problem) == (fault, True), report.problem
    assert "\n" not in report.problem
    assert outcomes(report)["test_e.py::test_x"] in ("error", "timeout")


PROBLEMS = {
    "no_tests": ({"a.py": "x = 1\n"}, (), "This workspace has no tests."),
    "nothing_collected": (
        {"tests/test_a.py": "import nowhere_to_be_found\n"},
        (),
        "although tests/ exists: \"ModuleNotFoundError: No module named 'nowhere_to_be_found'\"",
    ),
    "refused": (
        {"test_a.py": "def test(): pass\n"},
        ("--no-such-option",),
        "unrecognized arguments: --no-such-option",
    ),
    "refused by conftest": (
        {"conftest.py": "1 / 0\n", "test_a.py": ""},
        (),
        "ZeroDivisionError: division by zero",
    ),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_run_that_cannot_start_says_why(tmp_path: Path, case: str) -> None:
    files, args, words = PROBLEMS[case]
    report = asyncio.run(runner(written(tmp_path, files), args=args).run({}, EVERYTHING))
    assert report.fault == case.partition(" ")[0]
    assert words in report.problem, report.problem
    assert not report.tests or report.tests[0].outcome == "error"


def test_a_broken_file_is_a_result_and_the_others_still_run(tmp_path: Path) -> None:
    root = written(tmp_path, {"test_a.py": "def test(): pass\n", "test_b.py": "import nothing_here\n"})
    report = asyncio.run(runner(root).run({}, EVERYTHING))
    assert outcomes(report) == {"test_a.py::test": "passed", "test_b.py": "error"}
    assert "nothing_here" in result(report, "test_b.py").message
    assert report.problem == ""


def test_a_program_that_rewrites_its_tests_proves_nothing(tmp_path: Path) -> None:
    program = "import pathlib\npathlib.Path('test_a.py').write_text('def test(): pass')\n"
    root = written(
        tmp_path, {"conftest.py": "import prog\n", "prog.py": "", "test_a.py": "def test(): assert 0\n"}
    )
    report = asyncio.run(runner(root).run({"prog.py": program}, EVERYTHING))
    assert report.fault == "tampered"
    assert (root / "test_a.py").read_text() == "def test(): assert 0\n"


async def test_cancelling_ends_every_process_within_a_second(tmp_path: Path) -> None:
    marker = f"soa-cancel-{os.getpid()}"
    text = (
        "import subprocess, sys, time\ndef test_x():\n"
        f"    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', '{marker}'])\n"
        "    open('started', 'w').close(); time.sleep(60)\n"
    )
    before = set(psutil.pids())
    task = asyncio.create_task(runner(written(tmp_path, {"test_c.py": text})).run({}, EVERYTHING))
    while not _with(marker):
        await asyncio.wait({task}, timeout=0.02)
        assert not task.done()
    start = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - start < 1
    assert not _with(marker)
    children = {p.pid for p in psutil.Process().children(recursive=True)}
    assert not children - before


def _with(marker: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


@pytest.mark.parametrize("moments", [0, 1, 3, 10, 100, 500])
def test_cancelled_again_and_again_it_still_ends_what_it_started(tmp_path: Path, moments: int) -> None:
    """`moments` is how often the loop turns before the first time: also while the run is being started."""
    root = written(tmp_path, {"test_x.py": "import time\ndef test_x():\n    time.sleep(60)\n"})

    async def cancelled() -> None:
        run = asyncio.ensure_future(runner(root, seconds=60).run({}, EVERYTHING))
        for _ in range(moments):
            await asyncio.sleep(0.001)
        while not run.done():
            run.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cancelled())
    assert not psutil.Process().children()
    gc.collect()  # a pipe or a process that nobody closed says so now, which fails the test


async def test_runs_side_by_side_do_not_meet(plain: Path) -> None:
    text = (plain / "shop/prices.py").read_text()
    overlays = [{"shop/prices.py": text.replace("sum(prices)", f"sum(prices) + {n}")} for n in range(3)]
    one = runner(plain)
    reports = await asyncio.gather(*(one.run(o, asked(f"{TESTS}::test_total[given1-0]")) for o in overlays))
    assert [[r.outcome for r in report.results] for report in reports] == [["passed"], ["failed"], ["failed"]]


async def test_nothing_asked_for_is_nothing_run(plain: Path) -> None:
    assert (await runner(plain).run({}, Selection())).results == ()
