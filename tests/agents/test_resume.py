"""Holds: a job that was killed, at whatever event, ends with the same patch, and no reply is bought twice;
what was proven before is proven again; a job that must not be resumed is refused with the reason.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from agents.playground import PATH, Expressions, Plain, play
from hypothesis import given, settings
from hypothesis import strategies as st
from killable import CHECKS, KEY, SCRIPT, SHOP, TESTS, Mill, answer, bought_twice, events, lay, start
from openai_server import Answer, OpenAIServer, asked
from soa_agents import protocols
from soa_agents.jobs import run_job
from soa_agents.models.port import Prompt, Reply, Usage
from soa_agents.protocols.together import accepted_pieces
from soa_agents.swarm.actions import Ask, Stop
from soa_agents.swarm.assembly.assemble import Piece
from soa_agents.swarm.engine import Engine, Ports
from soa_agents.swarm.events import ActionStarted, Event, JobEnded, JobRequested, Replied, Verified
from soa_agents.swarm.fold import replay, without_lost_starts
from soa_agents.swarm.job import AgentUpdate, JobKind, JobResult, StartJob
from soa_agents.swarm.ledger import Ledger, path_of
from soa_agents.swarm.state import State

pytestmark = pytest.mark.timeout(400)  # whole jobs, and two processes for each of two dozen events


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledger and caches of a test lie in a folder of its own."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home / name))


@pytest.fixture
def model() -> Iterator[OpenAIServer]:
    with OpenAIServer(answer) as server:
        yield server


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay(tmp_path / "shop")


def in_flight(log: list[Event]) -> int:
    """How many calls were begun and have no reply."""
    kept = without_lost_starts(log)
    asks = [e for e in log if isinstance(e, ActionStarted) and isinstance(e.action, Ask)]
    return len([e for e in asks if e not in kept])


def test_killed_at_every_event_a_job_ends_the_same_and_buys_nothing_twice(
    root: Path, model: OpenAIServer
) -> None:
    with Mill(real=False) as mill:
        whole = mill.run(start(root, model.base_url, "whole"))
        assert whole is not None
        assert whole.update.verdict == "passed"
        log, calls = events(root, "whole"), len(model.requests)
        for number in range(1, len(log)):
            job, before = f"killed-{number}", len(model.requests)
            assert mill.run(start(root, model.base_url, job), events=number) is None
            lost = in_flight(events(root, job))
            result = mill.run(start(root, model.base_url, job, resume=True))
            assert result is not None
            assert (result.patch, result.update.verdict) == (whole.patch, "passed"), log[number - 1]
            assert result.update.usage is not None and whole.update.usage is not None
            assert result.update.usage.calls == whole.update.usage.calls + lost, "what was sent is paid"
            assert len(model.requests) - before <= calls + lost
            after = events(root, job)
            assert bought_twice(after) == []
            assert isinstance(after[-1], JobEnded)
            ran = [e for e in after[number:] if isinstance(e, Verified)]
            assert ran, "the result was tested after the interruption"
    assert KEY.encode() not in path_of(root).read_bytes()


def reply(name: str, step: str) -> str:
    text = SCRIPT[name][step]
    return text if step == "feedback" else f"```python\n{text}\n```"


REPLIES = {name: {step: [reply(name, step)] for step in steps} for name, steps in SCRIPT.items()}


@dataclass
class ByLog:
    """A model whose answer depends on what is in the log and on nothing else."""

    log: list[Event]
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    async def ask(self, prompt: Prompt) -> Reply:
        for _ in range(self.chance.randrange(20)):
            await asyncio.sleep(0)
        return Reply(reply(prompt.target.rpartition("::")[2], prompt.step), usage=Usage(1, 100, 0, 50))


async def go_on(log: list[Event], seed: int) -> tuple[Stop, tuple[Piece, ...], State]:
    """The rest of a job whose log broke off, with replies arriving in another order."""
    runner = Expressions(PATH, SHOP, CHECKS)
    ports = Ports(ByLog(log, random.Random(seed)), runner, Plain(), log.append, lambda state, event: None)
    engine = Engine(protocols.choose("mother_child"), ports, replay(without_lost_starts(log)))
    stop = await engine.run()
    return stop, accepted_pieces(engine.state, stop.accepted), engine.state


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(0, 2**16), st.integers(0, 2**16))
def test_a_log_that_breaks_off_anywhere_leads_to_the_same_end(
    data: st.DataObject, seed: int, other: int
) -> None:
    played = asyncio.run(
        play(protocols.choose("mother_child"), SHOP, CHECKS, REPLIES, shuffle=random.Random(seed))
    )
    whole = accepted_pieces(played.state, played.stop.accepted)
    assert played.stop.verdict == "passed"
    log = played.events[: data.draw(st.integers(2, len(played.events)))]
    stop, pieces, state = asyncio.run(go_on(log, other))
    assert (stop, pieces) == (played.stop, whole)
    # A start that was lost took time, and is in the log for good; who went on had forgotten it.
    assert replace(state, seconds=0.0) == replace(replay(log), seconds=0.0), (
        "what was written down is what was"
    )
    assert bought_twice(log) == []


def resumed(job: StartJob) -> JobResult:
    return asyncio.run(run_job(job, None, lambda update: None, asyncio.Event()))


def test_what_was_green_and_fails_now_is_not_offered(root: Path, model: OpenAIServer) -> None:
    """Killed after its last test run, the job has nothing left to do but to prove its result again."""
    with Mill() as mill:
        assert mill.run(start(root, model.base_url, "whole")) is not None
        log = events(root, "whole")
        assert isinstance(log[-2], Verified)
        assert mill.run(start(root, model.base_url, "job"), events=len(log) - 1) is None
        (root / "tests/test_shop.py").write_text(TESTS.replace("198", "200"))
        result = mill.run(start(root, model.base_url, "job", resume=True))
    assert result is not None
    assert (result.update.state, result.offer) == ("refused", "keep")
    assert "test_much passed before the interruption and fails now" in result.update.message


def test_a_changed_file_is_refused_until_its_text_is_back(root: Path, model: OpenAIServer) -> None:
    shop = root / "shop.py"
    with Mill(real=False) as mill:
        assert mill.run(start(root, model.base_url, "job"), events=8) is None
        before = len(model.requests)
        shop.write_text(SHOP + "\nMORE = 1\n")
        refused = resumed(start(root, model.base_url, "job", resume=True))
        assert (refused.update.state, refused.refusal) == ("refused", "TargetChanged")
        assert "shop.py changed since the job was interrupted" in refused.update.message
        assert len(model.requests) == before
        shop.write_text(SHOP)
        result = mill.run(start(root, model.base_url, "job", resume=True))
    assert result is not None
    assert result.update.verdict == "passed"


def test_who_must_not_go_on_is_told_why(root: Path, model: OpenAIServer) -> None:
    with Mill(real=False) as mill:
        mill.run(start(root, model.base_url, "ended"))
        mill.run(start(root, model.base_url, "running"), events=6)
    before = len(model.requests)
    with closing(Ledger.of(root)) as ledger:
        assert ledger.claim("running")
        told = {
            job: resumed(start(root, model.base_url, job, resume=True)).update
            for job in ("ended", "running", "nobody")
        }
        assert [entry.id for entry in ledger.entries() if not entry.ended] == ["running"]
    assert {update.state for update in told.values()} == {"refused"}
    assert "has ended (done)" in told["ended"].message
    assert "is running already" in told["running"].message
    assert "There is no job nobody" in told["nobody"].message
    assert len(model.requests) == before


def test_a_job_that_nobody_answered_goes_on_when_somebody_does(root: Path, model: OpenAIServer) -> None:
    """The key is refused in the middle; the replies before are kept, and the key that is echoed is not."""
    refused = Answer(status=401, error=f"Incorrect API key provided: {KEY}")
    model.answer = lambda request: refused if len(model.requests) > 5 else answer(request)
    with Mill(real=False) as mill:
        failed = mill.run(start(root, model.base_url, "job"))
        assert failed is not None
        assert (failed.update.state, failed.update.verdict, failed.exit_code) == ("failed", None, 3)
        assert mill.run(start(root, model.base_url, "other"), events=3) is None
        model.answer = answer
        result = mill.run(start(root, model.base_url, "job", resume=True))
    assert result is not None
    assert result.update.verdict == "passed"
    assert bought_twice(events(root, "job")) == []
    with closing(Ledger.of(root)) as ledger:
        job = ledger.find("job")
        assert (job.ended, job.last) == (True, result.update)
        assert [entry.id for entry in ledger.interrupted()] == ["other"]
        first = next(iter(ledger.events("job")))
    assert isinstance(first, JobRequested)
    assert first.start.settings.model.base_url == "", "an address may hold a password"
    assert KEY.encode() not in path_of(root).read_bytes()


STOCK = '"""A stock: `take_in` adds a number of pieces to what is there, `sell` takes them out."""\n'
PAIR = '''def one(x):
    """One more."""
    ...


def two(x):
    """Two more."""
    ...
'''
WRONG_PAIR = PAIR.replace("...", "return x")
TEST_ONE = "from pair import one\n\n\ndef test_one():\n    assert one(1) == 2\n"
TEST_TWO = "from pair import two\n\n\ndef test_two():\n    assert two(1) == 3\n"
ONE, TWO = "def one(x):\n    return x + 1", "def two(x):\n    return x + 2"
SELL = 'def sell(number: int) -> None:\n    """Take pieces out."""\n    ...'
KINDS: dict[str, tuple[JobKind, str, dict[str, str], dict[str, str], int]] = {
    "all stubs": (
        "implementFile",
        "pair.py",
        {"pair.py": PAIR, "tests/test_one.py": TEST_ONE, "tests/test_two.py": TEST_TWO},
        {"one": ONE, "two": TWO},
        6,
    ),
    "what fails": (
        "fix",
        "tests/test_one.py",
        {"pair.py": WRONG_PAIR, "tests/test_one.py": TEST_ONE},
        {"one": ONE},
        5,
    ),
    "stubs": ("stubs", "stock.py::<module>", {"stock.py": STOCK}, {"<module>": SELL}, 5),
}


@pytest.mark.parametrize(("kind", "target", "files", "replies", "number"), KINDS.values(), ids=KINDS)
def test_every_kind_of_job_goes_on(
    kind: JobKind, target: str, files: dict[str, str], replies: dict[str, str], number: int, tmp_path: Path
) -> None:
    def reply_of(request: dict[str, Any]) -> Answer:
        return Answer(f"```python\n{replies[asked(request)[0].rpartition('::')[2]]}\n```")

    root = tmp_path / "work"
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with OpenAIServer(reply_of) as server, Mill() as mill:
        job = replace(start(root, server.base_url, "job"), kind=kind, targets=(target,))
        assert mill.run(job, events=number) is None
        log = events(root, "job")
        assert isinstance(log[-1], Replied)
        result = mill.run(replace(job, resume=True))
        assert result is not None
        assert (result.update.state, result.update.verdict) == ("done", "passed"), result.update
        assert len(server.requests) <= len(replies) + in_flight(log)
    assert bought_twice(events(root, "job")) == []


def test_a_resumed_job_tells_what_its_agents_did_before(root: Path, model: OpenAIServer) -> None:
    heard: list[AgentUpdate] = []
    with Mill(real=False) as mill:
        mill.run(start(root, model.base_url, "job"), events=9)
    log = events(root, "job")
    begun = {event.key for event in log if isinstance(event, ActionStarted)}
    replied = {event.key for event in log if isinstance(event, Replied)}
    cancelled = asyncio.Event()

    def listen(update: object) -> None:
        if isinstance(update, AgentUpdate):
            heard.append(update)
        if len(heard) == 3:
            cancelled.set()

    asyncio.run(run_job(start(root, model.base_url, "job", resume=True), None, listen, cancelled))
    first = {update.agent_id: (update.state, update.step) for update in heard[:3]}
    steps = {"": "skeleton", "/_line": "code", "/_less": "code"}
    writes = {f"shop.py::total{agent}": f"shop.py::total{agent}:write0" for agent in steps}
    assert first == {
        agent: ("done" if key in replied else "waiting", step if key in begun else "")
        for (agent, key), step in zip(writes.items(), steps.values(), strict=True)
    }
    assert len(replied) >= 2


async def test_an_error_of_our_own_leaves_a_job_that_can_be_resumed(root: Path, model: OpenAIServer) -> None:
    def break_down(update: object) -> None:
        if isinstance(update, AgentUpdate) and update.state == "done":
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_job(start(root, model.base_url, "job"), None, break_down, asyncio.Event())
    with closing(Ledger.of(root)) as ledger:
        (job,) = ledger.interrupted()
        replies = [event for event in ledger.events("job") if isinstance(event, Replied)]
    assert (job.id, len(replies), job.last.usage and job.last.usage.calls) == ("job", 1, 1)
