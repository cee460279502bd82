"""Whole jobs: real texts, a real HTTP server that speaks the OpenAI protocol, real pytest in the sandbox."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from openai_server import Answer, OpenAIServer, Request, scripted
from soa_agents import wire
from soa_agents.jobs import explain, run_job
from soa_agents.settings import Limits, ModelSettings, Settings, TestSettings
from soa_agents.swarm.events import JobEnded, Replied
from soa_agents.swarm.job import AgentUpdate, FolderRef, JobKind, JobResult, StartJob
from soa_agents.swarm.ledger import Ledger, path_of

Replies = Mapping[str, Mapping[str, Sequence[str]]]


def block(source: str) -> str:
    return f"Here it is.\n\n```python\n{source}\n```\n"


SHOP = '''"""A shop."""


def total(items):
    """The sum of price times count."""
    raise NotImplementedError


def mean(items):
    """The total by the number of items."""
    return total(items) / len(items)
'''
TESTS = """from shop import mean, total


def test_two():
    assert total([(2, 4), (1, 1)]) == 9


def test_none():
    assert total([]) == 0


def test_mean():
    assert mean([(2, 4), (1, 2)]) == 5


def test_other():
    assert True
"""
RIGHT = block("def total(items):\n    return sum(p * n for p, n in items)")
WRONG = block("def total(items):\n    return sum(p + n for p, n in items)")


@dataclass
class Ran:
    """A job's result, what was heard of it, and what the server was asked."""

    result: JobResult
    heard: list[Any]
    requests: list[Request]
    root: Path

    @property
    def text(self) -> str:
        """The changed file, or nothing."""
        texts = self.result.patch.apply(self.result.texts or {})
        return next(iter(texts.values()), "")


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledger and caches of a test lie in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home / name))


def lay(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@dataclass(frozen=True)
class Job:
    """What is run, on what, with which replies."""

    replies: Replies = field(default_factory=dict)
    targets: tuple[str, ...] = ("shop.py::total",)
    kind: JobKind = "generate"
    files: Mapping[str, str] = field(default_factory=lambda: {"shop.py": SHOP, "tests/test_shop.py": TESTS})
    limits: Limits = field(default_factory=Limits)
    tests: TestSettings = field(default_factory=TestSettings)
    buffers: Mapping[str, str] = field(default_factory=dict)


async def run(job: Job, root: Path) -> Ran:
    lay(root, job.files)
    heard: list[Any] = []
    with OpenAIServer(scripted(job.replies)) as server:
        model = ModelSettings(name="m", base_url=server.base_url)
        start = StartJob(
            job_id=f"job-{root.name}",
            kind=job.kind,
            folders=(FolderRef(root.name, str(root)),),
            targets=job.targets,
            settings=Settings(model=model, limits=job.limits, tests=job.tests),
            buffers=dict(job.buffers),
        )
        result = await run_job(start, None, heard.append, asyncio.Event())
        return Ran(result, heard, list(server.requests), root)


async def test_red_then_green(tmp_path: Path) -> None:
    """The first reply fails, the report goes back, the second passes; the disk has not changed."""
    script = {"shop.py::total": {"skeleton": [WRONG], "feedback": ["Multiply."], "modify": [RIGHT]}}
    ran = await run(Job(script), tmp_path)
    assert (ran.result.update.state, ran.result.update.verdict, ran.result.offer) == (
        "done",
        "passed",
        "apply",
    )
    assert "p * n" in ran.text
    assert ran.result.update.message.startswith("total passes 3 of 3 tests (0 before).")
    assert (tmp_path / "shop.py").read_text() == SHOP
    assert [r.step for r in ran.requests] == ["skeleton", "feedback", "modify"]
    assert "test_two" in ran.requests[1].json["messages"][-1]["content"]


async def test_unsaved_buffers_are_what_counts(tmp_path: Path) -> None:
    """The tests as the buffer has them decide, not those on the disk."""
    stricter = TESTS.replace("== 9", "== 8")
    script = {"shop.py::total": {"skeleton": [WRONG]}}
    ran = await run(Job(script, buffers={"tests/test_shop.py": stricter.replace("== 5", "== 4.5")}), tmp_path)
    assert ran.result.update.verdict == "passed"
    assert "p + n" in ran.text


async def test_everything_is_in_the_ledger_and_no_key_is(tmp_path: Path) -> None:
    script = {"shop.py::total": {"skeleton": [RIGHT]}}
    ran = await run(Job(script), tmp_path)
    events = list(Ledger.of(tmp_path).events(f"job-{tmp_path.name}"))
    assert [e.text for e in events if isinstance(e, Replied)] == [RIGHT]
    assert isinstance(events[-1], JobEnded)
    assert events[-1].update == ran.result.update
    assert path_of(tmp_path).stat().st_mode & 0o077 == 0
    assert path_of(tmp_path).parent.stat().st_mode & 0o077 == 0


UNTESTED = {"shop.py": SHOP}
OWN_TESTS = block(
    "from shop import total\n\n\ndef test_total():\n    assert total([(1, 2)]) == 2\n\n\n"
    "def test_odd():\n    assert total([]) == 1"
)
FETCH = block(
    "def fetch(url):\n    import urllib.request\n\n    return urllib.request.urlopen(url, timeout=5).read()"
)
LABEL_STUB = '\n\ndef label(name):\n    """The name in capitals."""\n    ...\n'
NAMED_STUB = '\n\ndef named(x):\n    """Later."""\n    raise NotImplementedError\n'
LABEL = block("def label(name):\n    return name.upper()")
STOPS_BEFORE = "from shop import label, named\n\n\ndef test_label():\n    assert label(named(1)) == 'ONE'\n"
WRONG_ALREADY = SHOP.replace("raise NotImplementedError", "return sum(p + n for p, n in items)")
TWICE = block("def twice(f):\n    def wrapper():\n        return f() + f()\n    return wrapper")

ENDINGS: dict[str, tuple[Job, dict[str, Any]]] = {
    "no test runs it": (
        Job({"shop.py::total": {"skeleton": [RIGHT], "tests": [OWN_TESTS]}}, files=UNTESTED),
        {
            "state": "done",
            "verdict": "untested",
            "offer": "preview",
            "exit": 0,
            "says": "1 of 2 of SoA's own tests",
        },
    ),
    "a test stops before it": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT], "tests": [OWN_TESTS]}},
            files={"shop.py": SHOP + "\ndef broken(:\n", "tests/test_shop.py": TESTS},
        ),
        {
            "state": "done",
            "verdict": "untested",
            "offer": "preview",
            "exit": 0,
            "says": "exercises it. tests/test_shop.py stops before it: SyntaxError: invalid syntax. ",
        },
    ),
    "pytest's configuration names the tests otherwise": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}},
            files={
                "shop.py": SHOP,
                "checks/shop_checks.py": TESTS,
                "pytest.ini": "[pytest]\npython_files = *_checks.py\n",
            },
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "3 of 3 tests"},
    ),
    "what pytest's configuration calls a test is no target": (
        Job(
            targets=("checks/shop_checks.py::helper",),
            files={
                "checks/shop_checks.py": "def helper():\n    ...\n",
                "pytest.ini": "[pytest]\npython_files = *_checks.py\n",
            },
        ),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "never changes"},
    ),
    "its only test needs the network": (
        Job(
            {"web.py::fetch": {"skeleton": [FETCH], "tests": ["There is nothing to test."]}},
            targets=("web.py::fetch",),
            files={
                "web.py": 'def fetch(url):\n    """The page."""\n    ...\n',
                "test_web.py": "from web import fetch\n\n\ndef test_fetch():\n"
                '    assert b"a" in fetch("http://example.org/")\n',
            },
        ),
        {
            "state": "done",
            "verdict": "untested",
            "offer": "preview",
            "exit": 0,
            "says": "no test exercises it. test_fetch needs the network and did not count. Review it",
        },
    ),
    "a decorator": (
        Job(
            {"deco.py::twice": {"skeleton": [TWICE]}},
            targets=("deco.py::twice",),
            files={
                "deco.py": 'def twice(f):\n    """Call it two times, adding up."""\n    ...\n',
                "test_deco.py": "from deco import twice\n\n\n@twice\ndef one():\n    return 1\n\n\n"
                "def test_one():\n    assert one() == 2\n",
            },
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "1 of 1 tests (0"},
    ),
    "what runs only while modules are imported": (
        Job(
            {
                "table.py::squares": {
                    "skeleton": [block("def squares(n):\n    return [x * x for x in range(n)]")]
                }
            },
            targets=("table.py::squares",),
            files={
                "table.py": 'def squares(n):\n    """Squares below n."""\n    raise NotImplementedError\n\n\n'
                "TABLE = squares(4)\n",
                "test_table.py": "from table import TABLE\n\n\ndef test_table():\n    assert TABLE[3] == 9\n",
            },
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "1 of 1 tests (0"},
    ),
    "the model never gets it right": (
        Job(
            {"shop.py::total": {"skeleton": [WRONG], "feedback": ["Hm."], "modify": [WRONG]}},
            limits=Limits(rounds=1),
        ),
        {"state": "failed", "verdict": "failed", "offer": "keep", "exit": 1, "says": "Still failing: test_"},
    ),
    "prose only": (
        Job({"shop.py::total": {"skeleton": ["I would rather not."]}}),
        {"state": "failed", "verdict": "failed", "offer": "none", "exit": 1, "says": "no usable code"},
    ),
    "a call limit": (
        Job({"shop.py::total": {"skeleton": [WRONG], "feedback": ["Hm."]}}, limits=Limits(calls=2)),
        {"state": "failed", "verdict": "failed", "offer": "keep", "exit": 1, "says": "soa.limits.calls"},
    ),
    "a docstring example is an oracle": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}},
            files={"shop.py": SHOP.replace("count.", "count.\n\n    >>> total([(2, 4)])\n    8\n    ", 1)},
        ),
        {
            "state": "done",
            "verdict": "passed",
            "offer": "apply",
            "exit": 0,
            "says": "1 of 1 docstring examples",
        },
    ),
    "flagged": (
        Job(
            {
                "shop.py::total": {
                    "skeleton": [
                        block(
                            "def total(items):\n    import sys\n    frame = sys._getframe(1)\n"
                            "    return sum(p * n for p, n in items)"
                        )
                    ]
                }
            }
        ),
        {"state": "done", "verdict": "passed", "offer": "preview", "exit": 1, "says": "can fool them"},
    ),
    "no such function": (
        Job(targets=("shop.py::nothing",)),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "no function nothing"},
    ),
    "a test is no target": (
        Job(targets=("tests/test_shop.py::test_two",)),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "never changes"},
    ),
    "pytest collects nothing": (
        Job(files={"shop.py": SHOP, "tests/test_shop.py": "import nowhere\n\n\ndef test_it():\n    pass\n"}),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "nowhere"},
    ),
    "a test hangs before anything was changed": (
        Job(
            files={
                "shop.py": SHOP,
                "tests/test_shop.py": TESTS
                + "\n\ndef test_stuck():\n    while True:\n        pass\n    total([])\n",
            },
            tests=TestSettings(timeout_seconds=1.0),
        ),
        {
            "state": "refused",
            "verdict": None,
            "offer": "none",
            "exit": 1,
            "says": "did not finish within 1 s",
        },
    ),
    "what is to be mended kills the tests": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}},
            files={
                "shop.py": SHOP.replace("raise NotImplementedError", "import os\n    os._exit(3)"),
                "tests/test_shop.py": TESTS,
            },
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "3 of 3 tests (0"},
    ),
    "what is to be mended hangs where nothing can interrupt it": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}},
            files={
                "shop.py": SHOP.replace("raise NotImplementedError", "return sum(iter(int, 1))"),
                "tests/test_shop.py": TESTS,
            },
            tests=TestSettings(timeout_seconds=1.0),
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "3 of 3 tests (0"},
    ),
    "stubs from a docstring": (
        Job(
            {
                "plan.py::<module>": {
                    "stubs": [
                        block(
                            'def parse(text: str) -> list[str]:\n    """Split the text.\n\n'
                            '    >>> parse("a b")\n    [\'a\', \'b\']\n    """\n    ...'
                        )
                    ]
                }
            },
            targets=("plan.py::<module>",),
            kind="stubs",
            files={"plan.py": '"""Parsing: `parse` splits a text at blanks."""\n'},
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "1 stub written"},
    ),
    "all stubs of a file": (
        Job(
            {
                "shop.py::total": {"skeleton": [RIGHT]},
                "shop.py::more": {"skeleton": [block("def more(x):\n    return x + 1")]},
            },
            targets=("shop.py",),
            kind="implementFile",
            files={
                "shop.py": SHOP + '\n\ndef more(x):\n    """One more."""\n    ...\n',
                "tests/test_shop.py": TESTS
                + "\n\ndef test_more():\n    from shop import more\n\n    assert more(1) == 2\n",
            },
        ),
        {"state": "done", "verdict": "passed", "offer": "apply", "exit": 0, "says": "2 of 2 functions"},
    ),
    "the one stub of a file, which no test runs": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT], "tests": [OWN_TESTS]}},
            targets=("shop.py",),
            kind="implementFile",
            files=UNTESTED,
        ),
        {
            "state": "done",
            "verdict": "untested",
            "offer": "preview",
            "exit": 0,
            "says": "SoA wrote total but no test",
        },
    ),
    "a part of a file": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}, "shop.py::more": {"skeleton": ["No."]}},
            targets=("shop.py",),
            kind="implementFile",
            files={
                "shop.py": SHOP + '\n\ndef more(x):\n    """One more."""\n    ...\n',
                "tests/test_shop.py": TESTS
                + "\n\ndef test_more():\n    from shop import more\n\n    assert more(1) == 2\n",
            },
        ),
        {"state": "done", "verdict": "failed", "offer": "apply", "exit": 1, "says": "not in the edit: more."},
    ),
    "fix what fails": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}},
            targets=(),
            kind="fix",
            files={
                "shop.py": SHOP.replace("raise NotImplementedError", "return sum(p for p, n in items)"),
                "tests/test_shop.py": TESTS,
            },
        ),
        {
            "state": "done",
            "verdict": "passed",
            "offer": "apply",
            "exit": 0,
            "says": "passes 3 of 3 tests (1 before)",
        },
    ),
    "fix a test that is not there": (
        Job(targets=("tests/test_shop.py::test_gone",), kind="fix"),
        {
            "state": "refused",
            "verdict": None,
            "offer": "none",
            "exit": 1,
            "says": "no test tests/test_shop.py::",
        },
    ),
    "nothing to fix": (
        Job(targets=("tests/test_shop.py::test_other",), kind="fix"),
        {"state": "done", "verdict": "passed", "offer": "none", "exit": 0, "says": "The one test passes; "},
    ),
    "run a function's tests": (
        Job(kind="runTests"),
        {"state": "done", "verdict": None, "offer": "none", "exit": 0, "says": "total: 0 of 3 tests pass"},
    ),
    "a file that git leaves out": (
        Job(files={"shop.py": SHOP, ".gitignore": "shop.py\n", "tests/test_shop.py": TESTS}),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "git or soa.index.exclude"},
    ),
    "the function comes back as it stands": (
        Job(
            {"shop.py::total": {"skeleton": [WRONG], "feedback": ["It is right."], "modify": [WRONG]}},
            files={"shop.py": WRONG_ALREADY, "tests/test_shop.py": TESTS},
        ),
        {
            "state": "failed",
            "verdict": "failed",
            "offer": "none",
            "exit": 1,
            "says": "The model left it as it was. Try again, or another model.",
        },
    ),
    "of several functions one has no test": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}, "shop.py::label": {"skeleton": [LABEL]}},
            targets=("shop.py::total", "shop.py::label"),
            files={"shop.py": SHOP + LABEL_STUB, "tests/test_shop.py": TESTS},
        ),
        {
            "state": "done",
            "verdict": "failed",
            "offer": "apply",
            "exit": 1,
            "says": "1 of 2 functions pass 3 of 3 tests (0 before). Not proven, so not in the edit: label.",
        },
    ),
    "the test of one of several functions stops before it": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}, "shop.py::label": {"skeleton": [LABEL]}},
            targets=("shop.py::total", "shop.py::label"),
            files={
                "shop.py": SHOP + LABEL_STUB + NAMED_STUB,
                "tests/test_shop.py": TESTS,
                "tests/test_label.py": STOPS_BEFORE,
            },
        ),
        {
            "state": "done",
            "verdict": "failed",
            "offer": "apply",
            "exit": 1,
            "says": "1 of 2 functions pass 3 of 3 tests (0 before). Not proven, so not in the edit: label.",
        },
    ),
    "none of several functions has a test": (
        Job(
            {"shop.py::total": {"skeleton": [RIGHT]}, "shop.py::label": {"skeleton": [LABEL]}},
            targets=("shop.py::total", "shop.py::label"),
            files={"shop.py": SHOP + LABEL_STUB},
        ),
        {
            "state": "done",
            "verdict": "untested",
            "offer": "preview",
            "exit": 0,
            "says": "SoA wrote 2 functions but no test exercises them.",
        },
    ),
    "a workspace without Python files": (
        Job(targets=("shop.py::total",), files={"README": "Nothing here."}),
        {"state": "refused", "verdict": None, "offer": "none", "exit": 1, "says": "cannot be read"},
    ),
}


@pytest.mark.parametrize(("job", "wanted"), ENDINGS.values(), ids=ENDINGS.keys())
async def test_how_jobs_end(job: Job, wanted: dict[str, Any], tmp_path: Path) -> None:
    """State, verdict, what is offered, the exit code and the sentence of every ending in the table."""
    result = (await run(job, tmp_path)).result
    found = {
        "state": result.update.state,
        "verdict": result.update.verdict,
        "offer": result.offer,
        "exit": result.exit_code,
    }
    assert found == {key: value for key, value in wanted.items() if key != "says"}, result.update.message
    assert wanted["says"] in result.update.message
    assert "\n" not in result.update.message


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("def total(items=(), count):", "Mend it"),
        pytest.param(
            "def total[T](items: list[T]):",
            "Run SoA's server with Python 3.12 or newer.",
            marks=pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads it"),
        ),
    ],
    ids=["by no Python", "by a newer Python"],
)
async def test_a_signature_that_cannot_be_read_costs_no_call(header: str, says: str, tmp_path: Path) -> None:
    """Whatever came back could not be put under it, so nobody is asked."""
    files = {"shop.py": SHOP.replace("def total(items):", header), "tests/test_shop.py": TESTS}
    ran = await run(Job({"shop.py::total": {"skeleton": [RIGHT]}}, files=files), tmp_path)
    assert (ran.result.update.state, ran.result.exit_code, ran.requests) == ("refused", 1, [])
    assert says in ran.result.update.message and "shop.py::total" in ran.result.update.message


async def test_tests_that_fail_come_with_a_place_to_look(tmp_path: Path) -> None:
    """Diagnostics name the suspect, the test and the line of the failing assertion."""
    ran = await run(Job(kind="runTests"), tmp_path)
    assert {d.suspect for d in ran.result.failures} == {"shop.py::total"}
    two = next(d for d in ran.result.failures if d.nodeid.endswith("test_two"))
    assert (two.path, TESTS.splitlines()[two.line - 1].strip()) == (
        "tests/test_shop.py",
        "assert total([(2, 4), (1, 1)]) == 9",
    )


async def test_a_property_read_in_a_failing_assertion_is_the_first_suspect(tmp_path: Path) -> None:
    """Nothing is called there by name, and the constructor ran in the same tests; only the run knows more."""
    cart = (
        "class Cart:\n    def __init__(self):\n        self.lines = []\n\n"
        "    @property\n    def sum(self):\n        pass\n"
    )
    test = "from cart import Cart\n\n\ndef test_sum():\n    cart = Cart()\n    assert cart.sum == 0\n"
    ran = await run(
        Job(kind="runTests", targets=("cart.py",), files={"cart.py": cart, "test_cart.py": test}), tmp_path
    )
    assert [d.suspect for d in ran.result.failures] == ["cart.py::Cart.sum"]


async def test_nobody_answers(tmp_path: Path) -> None:
    """A server that is not there: exit code 3, and a sentence that names it."""
    lay(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": TESTS})
    settings = Settings(model=ModelSettings(name="m", base_url="http://127.0.0.1:9/v1"))
    start = StartJob("gone", "generate", (FolderRef("w", str(tmp_path)),), ("shop.py::total",), settings, {})
    result = await run_job(start, None, lambda update: None, asyncio.Event())
    assert (result.update.state, result.exit_code) == ("failed", 3)
    assert "127.0.0.1:9" in result.update.message


async def test_without_a_model_no_test_is_run(tmp_path: Path) -> None:
    """Nothing is named and no key is there: that is said at once, before pytest is started."""
    lay(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": "import time\n\ntime.sleep(3600)\n"})
    start = StartJob("n", "generate", (FolderRef("w", str(tmp_path)),), ("shop.py::total",), Settings(), {})
    result = await run_job(start, None, lambda update: None, asyncio.Event())
    assert (result.update.state, result.exit_code) == ("failed", 3)
    assert result.update.message.startswith("No model is configured.")


async def test_cancelling_closes_the_stream_and_keeps_nothing_running(tmp_path: Path) -> None:
    """The server sees the client go, no further request comes, and the ending says cancelled."""
    lay(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": TESTS})
    cancelled = asyncio.Event()

    def heard(update: object) -> None:
        if isinstance(update, AgentUpdate) and update.state == "asking":
            asyncio.get_running_loop().call_later(0.2, cancelled.set)

    with OpenAIServer(Answer(RIGHT, chunks=1000, chunk_delay=0.05)) as server:
        settings = Settings(model=ModelSettings(name="m", base_url=server.base_url))
        start = StartJob("c", "generate", (FolderRef("w", str(tmp_path)),), ("shop.py::total",), settings, {})
        result = await run_job(start, None, heard, cancelled)
        await asyncio.to_thread(server.wait, lambda: server.requests[0].disconnected)
        assert len(server.requests) == 1
    assert (result.update.state, result.exit_code) == ("cancelled", 130)
    assert result.update.message


async def test_explain_shows_what_would_be_sent(tmp_path: Path) -> None:
    """Sections with their sizes, without a model and without running anything."""
    lay(tmp_path, {"shop.py": SHOP, "tests/test_shop.py": TESTS})
    start = StartJob("x", "generate", (FolderRef("w", str(tmp_path)),), (), Settings(), {})
    rows = await explain(start, "shop.py::total", "skeleton")
    assert any("test_two" in row.text for row in rows)
    assert all(row.tokens > 0 for row in rows)
    assert (rows[0].section, "def total(items):" in rows[0].text) == ("instructions", False)


PLANTED = "sk-planted-where-no-view-may-look"
HIDDEN = {  # what lies beside the code and is none of it
    ".env": f"KEY={PLANTED}\n",
    ".env.py": f"KEY = '{PLANTED}'\n",
    "id_rsa": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{PLANTED}\n",
    "secrets.json": f'{{"key": "{PLANTED}"}}\n',
    "local.py": f"KEY = '{PLANTED}'\n\n\ndef total_of_items(items):\n    return '{PLANTED}'\n",
    "AGENTS.md": f"Our naming convention: {PLANTED}.\n",
    ".venv/pyvenv.cfg": "home = /usr\n",
    ".venv/lib/site.py": f"def total_of_items(items):\n    '{PLANTED}'\n",
}


@pytest.mark.parametrize("git", [True, False], ids=["in a repository", "without one"])
def test_no_view_shows_what_is_ignored_or_secret(tmp_path: Path, git: bool) -> None:
    """Settings that are imported, tests' data, notes and links to elsewhere included."""
    root = tmp_path / "w"
    root.mkdir()
    uses = "import os\n\nfrom local import KEY, total_of_items\nfrom linked import OTHER\n\n" + SHOP
    lay(root, {"shop.py": uses, "tests/test_shop.py": f"from local import KEY\n{TESTS}", **HIDDEN})
    (root / ".gitignore").write_text(".env\nlocal.py\nAGENTS.md\n.venv/\nid_rsa\nsecrets.json\n")
    (tmp_path / "elsewhere.py").write_text(f"OTHER = '{PLANTED}'\n")
    (root / "linked.py").symlink_to(tmp_path / "elsewhere.py")
    (root / "CLAUDE.md").symlink_to(tmp_path / "elsewhere.py")
    if git:
        subprocess.run(["git", "init", "-q", str(root)], check=True)
    start = StartJob("x", "generate", (FolderRef("w", str(root)),), (), Settings(), {})
    for step in ("skeleton", "code", "modify", "tests", "feedback"):
        rows = asyncio.run(explain(start, "shop.py::total", step))
        assert any("KEY" in row.text for row in rows)
        assert [row.section for row in rows if PLANTED in row.text] == []


async def test_a_result_survives_the_wire(tmp_path: Path) -> None:
    """What the engine process sends is what the server reads."""
    ran = await run(Job({"shop.py::total": {"skeleton": [RIGHT]}}), tmp_path)
    assert wire.job_result(wire.to_json(ran.result)) == ran.result
