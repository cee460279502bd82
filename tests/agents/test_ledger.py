"""Holds: the ledger is private, survives whoever writes it, is shared by processes, forgets after 30 days or
when told to, and says in a sentence what is wrong with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from killable import answer, lay, start
from openai_server import OpenAIServer
from soa_agents.errors import LedgerBroken, UsageError
from soa_agents.jobs import run_job
from soa_agents.models.port import Usage
from soa_agents.patch import Edit, Patch
from soa_agents.swarm.actions import Ask, Verify
from soa_agents.swarm.events import (
    ActionFailed,
    ActionStarted,
    Applied,
    BaselineMeasured,
    Event,
    JobEnded,
    JobRequested,
    Replied,
    Verified,
)
from soa_agents.swarm.job import AgentUpdate, JobUpdate
from soa_agents.swarm.ledger import KEEP_SECONDS, Ledger, holding, note_applied, path_of
from soa_agents.verify.report import Report, Selection, TestResult

ROOT = Path("/somewhere/shop")
ODD = "half a pair \ud83d, a null \0, a separator \u2028 and é"
ASK = Ask("k", "shop.py::total", "code", "shop.py::total")
CHILD = Ask("c", "shop.py::total/_line", "code", "shop.py::_line")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with closing(Ledger.of(ROOT)) as ledger:
        yield ledger


def begin(ledger: Ledger, job: str) -> None:
    ledger.append(job, JobRequested(start(ROOT, "http://127.0.0.1:9/v1", job), time.time()))


def ended(job: str) -> JobEnded:
    return JobEnded(JobUpdate(job, "generate", "shop.py::total", "done", "passed", usage=Usage(2, 20, 0, 10)))


EVENTS: dict[str, Event] = {
    "a baseline": BaselineMeasured(Report((TestResult("test_a", "failed", message=ODD),))),
    "a call": ActionStarted("k", ASK, 1, 0),
    "a test run": ActionStarted("v", Verify("v", (("shop.py", ODD),), Selection(("test_a",))), 1, 0),
    "a reply": Replied("k", ODD, "stop", Usage(1, 10, 0, 5, 0.25), "m"),
    "a report": Verified("v", Report(problem=ODD, fault="hang")),
    "a failure": ActionFailed("k", ODD),
    "an end": ended("job"),
    "an edit": Applied(Patch((Edit("a.py", 0, 1, ODD, "target"),), ("b.py",)), {"a.py": ODD}),
}


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_an_event_comes_back_as_it_was(ledger: Ledger, event: Event) -> None:
    begin(ledger, "job")
    ledger.append("job", event)
    assert list(ledger.events("job"))[1:] == [event]


def test_it_is_private_whatever_the_umask(ledger: Ledger) -> None:
    before = os.umask(0)
    try:
        with closing(Ledger.of(Path("/somewhere/else"))) as other:
            begin(other, "job")
            assert other.claim("job")
            folder = other.path.parent
            files = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert {name.rpartition(".")[2] for name in files} >= {"sqlite3", "sqlite3-wal", "sqlite3-shm", "lock"}
    assert set(files.values()) == {0o600}, files
    assert [p.stat().st_mode & 0o777 for p in (folder, folder.parent)] == [0o700, 0o700]


def test_a_workspace_has_one_wherever_it_is_seen_from(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shop")
    paths = [path_of(tmp_path / name) for name in ("shop", "link", "other")]
    assert paths[0] == paths[1] != paths[2]


def test_a_list_of_jobs_says_what_each_used_and_how_it_stands(ledger: Ledger) -> None:
    begin(ledger, "old")
    ledger.append("old", ended("old"))
    begin(ledger, "new")
    for event in (ActionStarted("k", ASK, 1, 0), ActionStarted("c", CHILD, 1, 0), EVENTS["a reply"]):
        ledger.append("new", event)
    new, old = ledger.entries()
    assert (new.id, new.ended, new.calls, new.agents) == ("new", False, 2, 2)
    assert (new.last.state, new.last.usage) == ("running", Usage(1, 10, 0, 5, 0.25))
    assert (old.id, old.ended, old.last) == ("old", True, ended("old").update)
    assert [entry.id for entry in ledger.interrupted()] == ["new"]


NAMES = {"ab12": "ab12", "ab1": "ab12", "c": "c", "cd": "cd"}
NO_NAMES = {"": "no job", "x": "no job", "a": "fits 2 jobs", "ab123": "no job"}


@pytest.mark.parametrize("name", [*NAMES, *NO_NAMES])
def test_a_job_is_found_by_the_beginning_of_its_id(ledger: Ledger, name: str) -> None:
    for job in ("ab12", "abab", "c", "cd"):
        begin(ledger, job)
    if name in NAMES:
        assert ledger.find(name).id == NAMES[name]
        return
    with pytest.raises(UsageError, match=NO_NAMES[name]):
        ledger.find(name)


def test_who_dies_gives_its_job_back(ledger: Ledger) -> None:
    begin(ledger, "job")
    code = (
        "import sys; from pathlib import Path; from soa_agents.swarm.ledger import Ledger\n"
        f"ledger = Ledger.of(Path({str(ROOT)!r})); print(ledger.claim('job'), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=subprocess.PIPE, text=True)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert (ledger.claim("job"), ledger.is_running("job"), ledger.interrupted()) == (False, True, ())
        assert ledger.clear() == 0
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert not ledger.is_running("job")
        assert [entry.id for entry in ledger.interrupted()] == ["job"]
        assert ledger.claim("job")
        assert ledger.claim("job"), "it is ours already"
    with closing(Ledger.of(ROOT)) as second:
        assert not second.claim("job"), "one process, two engines"


def test_processes_share_one_from_its_first_moment() -> None:
    code = (
        "from pathlib import Path; from soa_agents.swarm.ledger import Ledger\n"
        "from soa_agents.swarm.events import ActionFailed\n"
        f"ledger = Ledger.of(Path({str(ROOT)!r}))\n"
        "for number in range(60): ledger.append('job', ActionFailed(str(number), ''))"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [writer.wait(60) for writer in writers] == [0] * 4
    with closing(Ledger.of(ROOT)) as ledger:
        keys = [event.key for event in ledger.events("job") if isinstance(event, ActionFailed)]
    assert sorted(keys, key=int) == [str(n // 4) for n in range(240)]


def age(path: Path, job: str, seconds: float) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE job SET touched = touched - ? WHERE id = ?", (seconds, job))
        db.commit()


def test_jobs_are_forgotten_after_thirty_days_unless_they_run(ledger: Ledger) -> None:
    for job in ("young", "old", "running"):
        begin(ledger, job)
        ledger.append(job, EVENTS["a reply"])
    age(ledger.path, "young", KEEP_SECONDS - 60)
    age(ledger.path, "old", KEEP_SECONDS + 1)
    age(ledger.path, "running", KEEP_SECONDS + 1)
    assert ledger.claim("running")
    with closing(Ledger.of(ROOT)) as later:
        assert {entry.id for entry in later.entries()} == {"young", "running"}
        assert list(later.events("old")) == []


def test_clearing_leaves_nothing_in_the_file(ledger: Ledger) -> None:
    begin(ledger, "job")
    ledger.append("job", Replied("k", "a very particular reply", "stop", Usage(1), "m"))
    assert ledger.clear() == 1
    left = [path.read_bytes() for path in ledger.path.parent.iterdir()]
    assert not any(b"a very particular reply" in data for data in left)
    assert ledger.entries() == ()


def test_looking_makes_no_ledger() -> None:
    assert holding([ROOT], "job") is None
    note_applied([ROOT], "job", Patch(), {})
    assert not path_of(ROOT).parent.exists()


async def test_one_that_cannot_be_used_is_told_and_nobody_is_asked(tmp_path: Path) -> None:
    root = lay(tmp_path / "shop")
    path_of(root).parent.mkdir(parents=True)
    path_of(root).write_bytes(b"This is no database, whatever its name says." * 100)
    job = start(root, "http://127.0.0.1:9/v1", "job")
    result = await run_job(job, None, lambda update: None, asyncio.Event())
    assert result.update.state == "failed"
    assert str(path_of(root)) in result.update.message
    assert "move that file away" in result.update.message
    note_applied([root], "job", Patch(), {})  # what was applied stays applied


async def test_one_that_breaks_meanwhile_ends_the_job_before_the_next_call(tmp_path: Path) -> None:
    root = lay(tmp_path / "shop")

    def spoil(update: object) -> None:
        if isinstance(update, AgentUpdate) and update.state == "done":
            with closing(sqlite3.connect(path_of(root))) as db:
                db.execute("DROP TABLE event")

    with OpenAIServer(answer) as server:
        job = start(root, server.base_url, "job")
        result = await run_job(job, None, spoil, asyncio.Event())
        assert len(server.requests) == 1
    assert result.update.state == "failed"
    assert "no such table" in result.update.message


def test_what_another_version_wrote_is_told(ledger: Ledger) -> None:
    begin(ledger, "job")
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute('UPDATE event SET line = \'{"type": "JobDreamt"}\'')
        db.commit()
    with pytest.raises(LedgerBroken, match="another version of SoA"):
        list(ledger.events("job"))
    assert [entry.id for entry in ledger.entries()] == ["job"]
    with closing(sqlite3.connect(ledger.path)) as db:
        db.execute("UPDATE job SET last = '{}'")
        db.commit()
    with pytest.raises(LedgerBroken, match="soa history --clear"):
        ledger.entries()
    assert ledger.clear() == 1
