"""Which tests ran which functions: what is remembered, how long it is believed, and what jobs make of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from soa_agents.jobs.relevant import left_out, refined
from soa_agents.verify.report import Outcome, Report, Selection, TestResult
from soa_agents.verify.testmap import Recalled, Seen, as_seen, digests, recall, remember
from soa_agents.workspace.ids import FunctionId
from soa_agents.workspace.reaching import Reaching

SHOP = """RATE = 2


def total(x):
    return part(x) * RATE


def part(x):
    def inner():
        return x
    return inner()


class Cart:
    size = 1

    def add(self):
        return total(1)
"""
TESTS = """from shop import Cart, total


def helper():
    return total(1)


def test_total():
    assert helper() == 2


class TestCart:
    def test_add(self):
        assert Cart().add() == 2


@pytest.mark.parametrize("n", [1, 2])
def test_many(n):
    assert total(n)
"""
FILES = {"shop.py": SHOP, "tests/test_shop.py": TESTS, "tests/conftest.py": "def fixture(): return 1\n"}
TOTAL, PART, ADD = (FunctionId("shop.py", name) for name in ("total", "part", "Cart.add"))
T_TOTAL, T_ADD = "tests/test_shop.py::test_total", "tests/test_shop.py::TestCart::test_add"
MANY = "tests/test_shop.py::test_many"


def of_test(name: str) -> FunctionId:
    return FunctionId("tests/test_shop.py", name)


def result(nodeid: str, *ran: FunctionId, outcome: Outcome = "passed", seconds: float = 0.1) -> TestResult:
    own = of_test(nodeid.partition("::")[2].partition("[")[0].replace("::", "."))
    return TestResult(nodeid, outcome, seconds, ran=ran, support=(own,))


RUN = Report(
    (
        result(T_TOTAL, TOTAL, PART, seconds=0.3),
        result(T_ADD, ADD, TOTAL, PART, outcome="failed"),
        result(f"{MANY}[1]", TOTAL, PART),
        result(f"{MANY}[2]", TOTAL),
        TestResult("tests/test_shop.py::test_skipped", "skipped"),
    ),
    imported=(PART,),
)
RUN_GREEN = replace(RUN, results=tuple(r for r in RUN.results if r.outcome == "passed"))
CHANGED = {**FILES, "shop.py": SHOP.replace("return part(x)", "return 2 * part(x)")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    remember(tmp_path / "map.sqlite3", FILES.get, RUN)
    return tmp_path / "map.sqlite3"


def names(found: Recalled) -> list[str]:
    return [seen.nodeid for seen in found.tests]


def test_what_ran_a_function_is_remembered_with_outcome_and_time(place: Path) -> None:
    found = recall(place, FILES.get, [ADD])
    assert found.tests == (Seen(T_ADD, "failed", 0.1, frozenset([ADD]), current=True),)
    assert names(recall(place, FILES.get, [PART])) == [T_ADD, f"{MANY}[1]", T_TOTAL]
    assert names(recall(place, FILES.get, [FunctionId("shop.py", "other")])) == []
    assert names(recall(place, FILES.get, [ADD], [MANY])) == [T_ADD, f"{MANY}[1]", f"{MANY}[2]"]
    assert (found.at_import, recall(place, FILES.get, [PART]).at_import) == (frozenset(), {PART})


def test_the_map_is_the_users_alone(place: Path) -> None:
    remember(place.parent / "deep/map.sqlite3", FILES.get, RUN)
    assert (place.parent / "deep").stat().st_mode & 0o777 == 0o700


CHANGES: dict[str, tuple[str, Callable[[str], str], list[str]]] = {
    "nothing": ("shop.py", lambda text: text, [T_TOTAL, T_ADD, f"{MANY}[1]", f"{MANY}[2]"]),
    "empty lines": (
        "shop.py",
        lambda text: text.replace("\n\ndef part", "\ndef part"),
        [T_TOTAL, T_ADD, f"{MANY}[1]", f"{MANY}[2]"],
    ),
    "a function that one ran": (
        "shop.py",
        lambda text: text.replace("return total(1)", "return total(2)"),
        [T_TOTAL, f"{MANY}[1]", f"{MANY}[2]"],
    ),
    "a nested function": ("shop.py", lambda text: text.replace("return x", "return 1"), [f"{MANY}[2]"]),
    "what stands outside functions": ("shop.py", lambda text: text.replace("RATE = 2", "RATE = 3"), []),
    "a test": (
        "tests/test_shop.py",
        lambda text: text.replace("helper() == 2", "helper() == 4"),
        [T_ADD, f"{MANY}[1]", f"{MANY}[2]"],
    ),
    "what helps a test": ("tests/test_shop.py", lambda text: text.replace("total(1)", "total(2)"), []),
    "parameters": ("tests/test_shop.py", lambda text: text.replace("[1, 2]", "[1, 3]"), [T_TOTAL, T_ADD]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_record_is_believed_while_nothing_that_ran_has_changed(place: Path, change: str) -> None:
    path, edit, believed = CHANGES[change]
    files = {**FILES, path: edit(FILES[path])}
    assert change == "nothing" or files != FILES
    found = recall(place, files.get, [TOTAL])
    assert {seen.nodeid for seen in found.tests if seen.current} == set(believed)
    assert {seen.nodeid.partition("[")[0] for seen in found.tests} == {T_TOTAL, T_ADD, MANY}, "still a hint"
    remember(place, files.get, RUN)
    assert all(seen.current for seen in recall(place, files.get, [TOTAL]).tests), "seen once more"


def test_tests_that_are_no_more_are_forgotten_and_changed_ones_asked_for_as_a_whole(place: Path) -> None:
    files = {**FILES, "tests/test_shop.py": TESTS.replace("def test_many(n)", "def test_many(n, o=1)")}
    assert names(recall(place, files.get, [TOTAL])) == [T_ADD, MANY, T_TOTAL]
    files["tests/test_shop.py"] = TESTS.replace("def test_many", "def test_renamed")
    assert names(recall(place, files.get, [TOTAL])) == [T_ADD, T_TOTAL]
    assert recall(place, {"shop.py": SHOP}.get, [TOTAL]).tests == ()


def test_a_true_record_is_added_to_and_an_untrue_one_replaced(place: Path) -> None:
    less = Report((result(T_TOTAL, TOTAL),))
    remember(place, FILES.get, less)
    assert T_TOTAL in names(recall(place, FILES.get, [PART])), "what it found in a cache it still depends on"
    files = {**FILES, "shop.py": SHOP.replace("return part(x) * RATE", "return x * RATE")}
    remember(place, files.get, less)
    assert T_TOTAL not in names(recall(place, files.get, [PART]))


def test_a_file_that_cannot_be_trusted_is_no_record(tmp_path: Path) -> None:
    remember(tmp_path / "map", {**FILES, "shop.py": None}.get, RUN)
    assert recall(tmp_path / "map", FILES.get, [TOTAL]) == Recalled()
    assert recall(tmp_path / "none", FILES.get, [TOTAL]) == Recalled()
    assert not (tmp_path / "none").exists()


def spoil_rows(place: Path) -> None:
    with sqlite3.connect(place) as store:
        store.execute("DELETE FROM versions")
        store.execute("UPDATE bodies SET digests = '{}'")
    store.close()


def age(place: Path) -> None:
    with sqlite3.connect(place) as store:
        store.execute("DROP TABLE tests")
        store.execute("CREATE TABLE tests (other)")
        store.execute("PRAGMA user_version = 99")
    store.close()


SPOILED: dict[str, Callable[[Path], object]] = {
    "garbage": lambda place: place.write_bytes(b"garbage" * 1000),
    "empty": lambda place: place.write_bytes(b""),
    "cut off": lambda place: place.write_bytes(place.read_bytes()[:5000]),
    "older": age,
    "rows": spoil_rows,
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_damaged_or_older_map_is_made_anew_without_a_word(place: Path, how: str) -> None:
    for end in ("-wal", "-shm"):
        place.with_name(place.name + end).unlink(missing_ok=True)
    SPOILED[how](place)
    assert [seen for seen in recall(place, FILES.get, [ADD]).tests if seen.current] == []
    remember(place, FILES.get, RUN)
    if how != "rows":
        assert names(recall(place, FILES.get, [ADD])) == [T_ADD]


WRITER = """
import sys
from pathlib import Path
from soa_agents.verify.report import Report, TestResult
from soa_agents.verify.testmap import remember
from soa_agents.workspace.ids import FunctionId
place, own = Path(sys.argv[1]), sys.argv[2]
texts = {"a.py": "def f(): ...\\ndef g(): ...\\n", "test_a.py": "def test(): ...\\n"}
print("ready", flush=True)
sys.stdin.readline()  # all begin at once, on a file that none has made yet
for n in range(20):
    ran = (FunctionId("a.py", "f"), FunctionId("test_a.py", "test"))
    remember(place, texts.get, Report((TestResult(f"test_a.py::test[{own}-{n}]", "passed", ran=ran),)))
"""


def test_several_processes_write_at_once(tmp_path: Path) -> None:
    place = tmp_path / "map.sqlite3"
    command = [sys.executable, "-c", WRITER, str(place)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with ExitStack() as stack:
        writers = [stack.enter_context(subprocess.Popen([*command, str(own)], **pipes)) for own in range(3)]
        assert [writer.stdout.readline() for writer in writers if writer.stdout] == [b"ready\n"] * 3
        for writer in writers:
            assert writer.stdin
            writer.stdin.close()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    texts = {"a.py": "def f(): ...\ndef g(): ...\n", "test_a.py": "def test(): ...\n"}
    assert len(recall(place, texts.get, [FunctionId("a.py", "f")]).tests) == 60


def test_of_a_test_file_helpers_belong_to_what_stands_outside() -> None:
    before, after = digests("shop.py", SHOP), digests("shop.py", SHOP.replace("total(1)", "total(2)"))
    assert {name for name in before if before[name] != after[name]} == {"Cart.add"}
    before, after = (
        digests("t/test_a.py", TESTS),
        digests("t/test_a.py", TESTS.replace("total(1)", "total(2)")),
    )
    assert {name for name in before if before[name] != after[name]} == {"helper", "<module>"}


def seen(
    name: str, *, runs: bool = True, passed: bool = True, current: bool = True, seconds: float = 0.1
) -> Seen:
    ran = frozenset([TOTAL] if runs else [])
    return Seen(name, "passed" if passed else "failed", seconds, ran, current)


BY_NAME = Reaching(direct=("t.py::named",), affected=("t.py::named", "t.py::reached"), files=("t.py",))
CHOICES: dict[str, tuple[list[Seen], set[str], set[str]]] = {
    "nothing was seen": ([], {"named"}, {"named", "reached"}),
    "seen, though no name leads to it": (
        [seen("t.py::found")],
        {"found", "named"},
        {"found", "named", "reached"},
    ),
    "seen not to run it": (
        [seen("t.py::named", runs=False, seconds=9), seen("t.py::reached", runs=False, seconds=10)],
        set(),
        set(),
    ),
    "seen not to run it, but quick": (
        [seen("t.py::named", runs=False), seen("t.py::reached", runs=False)],
        set(),
        {"named", "reached"},
    ),
    "seen not to run it, but changed since": (
        [seen("t.py::named", runs=False, current=False, seconds=99)],
        {"named"},
        {"named", "reached"},
    ),
    "seen to fail before it came so far": (
        [seen("t.py::reached", runs=False, passed=False)],
        {"named"},
        {"named", "reached"},
    ),
    "the quickest first, and what fails": (
        [
            seen("t.py::slow", seconds=3),
            seen("t.py::red", seconds=60, passed=False),
            seen("t.py::quick", seconds=0.9),
            seen("t.py::old", seconds=0.2, current=False),
        ],
        {"red", "old", "named"},  # the one that names it was never seen
        {"slow", "red", "quick", "old", "named", "reached"},
    ),
    "some parameters run it": (
        [
            seen("t.py::named[1]"),
            seen("t.py::named[2]", runs=False, seconds=9),
            seen("t.py::named[3]", seconds=9),
        ],
        {"named[1]"},
        {"named[1]", "named[3]", "reached"},
    ),
    "what names it before what only reaches it": (
        [seen("t.py::named", seconds=0.5), seen("t.py::quick", seconds=0.1)],
        {"named"},
        {"named", "quick", "reached"},
    ),
    "very many tests": (
        [seen(f"t.py::a{n:02}", seconds=0.001) for n in range(50)],
        {"named", *(f"a{n:02}" for n in range(30))},
        {"named", "reached", *(f"a{n:02}" for n in range(50))},
    ),
    "very many parameters": (
        [seen(f"t.py::named[{n}]", seconds=0.01) for n in range(50)],
        {"named"},
        {"named", "reached"},
    ),
}


@pytest.mark.parametrize("case", CHOICES)
def test_what_was_seen_puts_right_what_names_tell(case: str) -> None:
    known, first, affected = CHOICES[case]
    found = refined(BY_NAME, TOTAL, Recalled(tuple(known)))
    assert {name.removeprefix("t.py::") for name in found.direct} == first
    assert {name.removeprefix("t.py::") for name in found.affected} == affected
    assert found.files == BY_NAME.files


def test_what_runs_at_import_affects_the_files_that_import_it() -> None:
    assert "t.py" in refined(BY_NAME, TOTAL, Recalled(at_import=frozenset([TOTAL]))).affected


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (Selection(everything=True), []),
        (Selection(("t.py",)), ["u.py"]),
        (Selection(("t.py::a[1]", "u.py")), ["t.py::a", "t.py::C::b"]),
        (Selection(("t.py::a", "t.py::C")), ["u.py"]),
    ],
)
def test_what_a_run_left_out(asked: Selection, left: list[str]) -> None:
    assert left_out(["t.py::a[1]", "t.py::a", "t.py::C::b", "u.py"], asked) == left


AGENT = {"function": str(TOTAL), "role": "child", "children": [], "tests": [], "status": "untested"}
SHOWN: dict[str, tuple[dict[str, object], Report, dict[str, str], list[str], str]] = {
    "only passing tests ran it": (AGENT, RUN_GREEN, FILES, [MANY, T_TOTAL], "passing"),
    "its name is in a test": ({**AGENT, "tests": ["t.py::n"]}, RUN_GREEN, FILES, ["t.py::n"], "passing"),
    "a failing test ran it": (AGENT, RUN, FILES, [T_ADD, MANY, T_TOTAL], "unknown"),
    "it was changed": (AGENT, RUN_GREEN, CHANGED, [MANY, T_TOTAL], "unknown"),
    "no test ran it": (AGENT, Report(), FILES, [], "untested"),
    "a stub": ({**AGENT, "status": "stub"}, RUN_GREEN, FILES, [], "stub"),
}


@pytest.mark.parametrize("case", SHOWN)
def test_agents_are_shown_as_their_tests_were_seen(tmp_path: Path, case: str) -> None:
    agent, run, files, tests, status = SHOWN[case]
    remember(tmp_path / "map", FILES.get, run)
    (found,) = as_seen([agent], tmp_path / "map", files.get)
    assert (found["tests"], found["status"]) == (tests, status)
