"""Holds: a job that is cancelled, whenever, asks nobody any more, tells its ledger and leaves no process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from killable import answer, lay, played, start
from openai_server import Answer, OpenAIServer
from soa_agents.jobs import run, run_job
from soa_agents.models.access import Access
from soa_agents.swarm.events import JobEnded
from soa_agents.swarm.ledger import Ledger
from soa_agents.verify.aside import Abandoned, abandonable, aside


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose tests are expressions."""
    monkeypatch.setattr(run, "open_laboratory", played)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    return lay(tmp_path / "shop")


def ending(root: Path, job: str) -> str:
    """What the ledger calls the end of a job; nothing where it does not know of it."""
    with closing(Ledger.of(root)) as ledger:
        log = list(ledger.events(job))
    return log[-1].update.state if log and isinstance(log[-1], JobEnded) else str(log[-1:] or "")


async def test_cancelled_after_whatever_was_heard_last(root: Path) -> None:
    """A job is cancelled after its first update, the next after its fifth, until one comes to its end."""
    access = Access()
    with OpenAIServer(lambda request: answer(request)) as server:
        for number in range(1, 200, 4):
            heard, cancelled = 0, asyncio.Event()

            def listen(update: object, number: int = number, cancelled: asyncio.Event = cancelled) -> None:
                nonlocal heard
                heard += 1
                if heard == number:
                    cancelled.set()

            job = f"job-{number}"
            result = await run_job(start(root, server.base_url, job), None, listen, cancelled, access)
            asked = len(server.requests)
            if result.update.state == "done":
                break
            assert (result.update.state, result.exit_code) == ("cancelled", 130)
            assert ending(root, job) in ("cancelled", "")
            settled = await asyncio.to_thread(server.wait, lambda: all(r.ended for r in server.requests))
            assert settled and len(server.requests) == asked, f"a request left after update {number}"
    assert result.update.state == "done" and number > 20


WAITING = {
    "for the first byte": Answer(hold=threading.Event()),
    "for the next token": Answer("def total", silent_after=1),
    "for the rate limit": Answer(status=429, headers={"retry-after": "60"}),
    "to ask again": Answer(status=503, headers={"retry-after": "60"}),
}


@pytest.mark.parametrize("waits", WAITING.values(), ids=WAITING)
async def test_cancelled_while_it_waits(root: Path, waits: Answer) -> None:
    cancelled = asyncio.Event()
    with OpenAIServer(waits) as server:
        job = asyncio.ensure_future(
            run_job(start(root, server.base_url, "job"), None, lambda update: None, cancelled)
        )
        assert await asyncio.to_thread(server.wait, lambda: len(server.requests) == 1)
        cancelled.set()
        result = await asyncio.wait_for(job, 5)
        assert await asyncio.to_thread(server.wait, lambda: server.requests[0].ended is not None)
        assert len(server.requests) == 1
    assert (result.update.state, ending(root, "job")) == ("cancelled", "cancelled")


async def test_reading_a_large_workspace_holds_no_cancel_up(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, read = threading.Event(), threading.Event()

    def open_slowly(*_: object) -> None:
        reading.set()
        read.wait(60)

    monkeypatch.setattr(run, "open_workplace", open_slowly)
    cancelled = asyncio.Event()
    job = asyncio.ensure_future(
        run_job(start(root, "http://127.0.0.1:9/v1", "job"), None, lambda update: None, cancelled)
    )
    assert await asyncio.to_thread(reading.wait, 10)
    cancelled.set()
    assert (await asyncio.wait_for(job, 5)).update.state == "cancelled"
    assert all(thread.daemon for thread in threading.enumerate() if "open_slowly" in repr(thread))
    read.set()


async def test_work_left_behind_has_its_processes_killed() -> None:
    started, ended = threading.Event(), threading.Event()
    processes = list[subprocess.Popen[bytes]]()

    def probe() -> None:
        try:
            command = [sys.executable, "-c", "input()"]
            with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
                processes.append(process)
                with pytest.raises(Abandoned), abandonable(process):
                    started.set()
                    process.wait(60)
        finally:
            ended.set()

    work = asyncio.ensure_future(aside(probe))
    assert await asyncio.to_thread(started.wait, 10)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert await asyncio.to_thread(ended.wait, 10)
    assert processes[0].returncode == -9
    assert await aside(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        await aside(lambda: 1 // 0)
