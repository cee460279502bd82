"""Holds: what a crash cut off is offered again, by the server that lived on and by the next one; resumed, it
ends as it would have and buys nothing twice; discarded, nobody is asked about it again.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from killable import answer, lay
from lsp_client import VSCODE, Editor
from openai_server import Answer, OpenAIServer
from soa_agents.swarm.events import Applied
from soa_agents.swarm.ledger import Ledger

pytestmark = pytest.mark.timeout(300)  # whole jobs of the real engine

STUCK = 6  # the request that is in flight when the process dies
OFFER = f"SoA was interrupted at step {STUCK} of total; its replies are kept."


class Model:
    """Answers by the prompt, but keeps the sixth request waiting until it is told to let go."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.server = OpenAIServer(self.answer)

    def answer(self, request: dict[str, Any]) -> Answer:
        said = answer(request)
        if len(self.server.requests) == STUCK and not self.free.is_set():
            return Answer(said.text, hold=threading.Event())
        return said

    def stuck(self) -> bool:
        return self.server.wait(lambda: len(self.server.requests) == STUCK, 60)


@pytest.fixture
def model() -> Iterator[Model]:
    model = Model()
    with model.server:
        yield model


@pytest.fixture
def env(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "SOA_"))}
    named = {"OPENAI_BASE_URL": model.server.base_url, "SOA_MODEL": "m", "HOME": str(tmp_path)}
    return {**kept, **named}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay(tmp_path / "shop")


async def begun(editor: Editor, root: Path, model: Model) -> str:
    """A job whose sixth call is in flight."""
    await editor.open(root / "shop.py")
    job = await editor.act(root / "shop.py", "def total", "Generate with SoA")
    await editor.until(lambda: len([a for a in editor.agents if a.get("step") == "tests"]) > 0, 60)
    assert model.stuck()
    return job


def engine_of(editor: Editor) -> psutil.Process:
    (engine,) = [p for p in psutil.Process(editor.process.pid).children() if "soa_agents" in p.cmdline()]
    return engine


def last(root: Path, job: str) -> Any:
    with closing(Ledger.of(root)) as ledger:
        return ledger.find(job)


async def test_a_dead_engine_s_job_is_resumed_in_the_same_session(
    root: Path, model: Model, env: dict[str, str]
) -> None:
    async with Editor([root], env=env) as editor:
        job = await begun(editor, root, model)
        editor.manners.chooses = lambda message, titles: "Resume" if "Resume" in titles else None
        engine_of(editor).send_signal(signal.SIGKILL)
        model.free.set()
        ended = await editor.until(lambda: [j for j in editor.jobs if j["state"] == "done"], 60)
        assert [m["message"] for m in editor.messages if "interrupted" in m["message"]] == [OFFER]
        assert (ended[-1]["jobId"], ended[-1]["verdict"]) == (job, "passed")
        assert ended[-1]["usage"]["calls"] == 9, (
            "six replies were kept; what was in flight was sent, so it counts"
        )
        assert "amount // 100" in editor.buffer(root / "shop.py").text
    assert len(model.server.requests) == 9
    with closing(Ledger.of(root)) as ledger:
        assert isinstance(list(ledger.events(job))[-1], Applied)


async def test_the_next_server_offers_what_the_last_one_left(
    root: Path, model: Model, env: dict[str, str]
) -> None:
    first = Editor([root], env=env)
    await first.start()
    await first.initialize()
    job = await begun(first, root, model)
    engine = engine_of(first)
    engine.kill()
    first.process.kill()
    await first.stop()
    async with Editor([root], env=env) as editor:
        await editor.until(lambda: editor.messages)
        offer = editor.messages[0]
        assert (offer["message"], [a["title"] for a in offer["actions"]]) == (OFFER, ["Resume", "Discard"])
        await editor.open(root / "shop.py")
        model.free.set()
        assert await editor.run("soa.resume", {"jobId": job}) == job
        assert (await editor.end(job))["verdict"] == "passed"
    assert len(model.server.requests) == 9


async def test_a_changed_text_is_refused_and_discarding_ends_it(
    root: Path, model: Model, env: dict[str, str]
) -> None:
    async with Editor([root], env=env) as editor:
        job = await begun(editor, root, model)
        engine_of(editor).kill()
        await editor.end(job)
        shop = editor.buffer(root / "shop.py")
        editor.type(root / "shop.py", shop.text + "\nMORE = 1\n")
        before = len(editor.jobs)
        await editor.run("soa.resume", {"jobId": job})
        refused = await editor.until(lambda: [j for j in editor.jobs[before:] if j["state"] == "refused"])
        assert "shop.py changed since the job was interrupted" in refused[0]["message"]
    assert len(model.server.requests) == STUCK
    capabilities = {key: value for key, value in VSCODE.items() if key != "window"}
    async with Editor([root], env=env, capabilities=capabilities) as editor:
        await editor.until(lambda: editor.messages)
        assert editor.messages[0]["message"] == f"{OFFER} Go on with soa resume {job[:12]}."
    async with Editor([root], env=env) as editor:
        editor.manners.chooses = lambda message, titles: "Discard"
        assert (await editor.end(job))["state"] == "cancelled"
    assert last(root, job).last.state == "cancelled"


async def test_what_the_client_did_not_apply_is_remembered_so(
    root: Path, model: Model, env: dict[str, str]
) -> None:
    model.free.set()
    async with Editor([root], env=env) as editor:
        editor.manners.applies = False
        await editor.open(root / "shop.py")
        job = await editor.act(root / "shop.py", "def total", "Generate with SoA")
        end = await editor.end(job)
    assert (end["state"], last(root, job).last.message) == ("refused", end["message"])


async def test_an_unknown_job_is_refused_in_a_sentence(root: Path, env: dict[str, str]) -> None:
    async with Editor([root], env=env) as editor:
        assert await editor.run("soa.resume", {"jobId": "nobody"}) == "nobody"
        end = await editor.end("nobody")
        assert (end["state"], "no job nobody" in end["message"]) == ("refused", True)
