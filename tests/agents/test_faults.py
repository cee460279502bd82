"""Holds: whatever a model or its server does wrong, a job retries it, has it repaired, or ends with one
sentence that says what to do. Whole jobs against a real HTTP server; their tests are expressions, so that no
sandbox starts."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from agents.playground import Expressions
from openai_server import Answer, OpenAIServer, Request
from soa_agents.jobs import run, run_job
from soa_agents.jobs.laboratory import Laboratory
from soa_agents.jobs.narrate import Note
from soa_agents.jobs.workplace import Workplace
from soa_agents.models.access import Access
from soa_agents.settings import Limits, ModelSettings, Settings
from soa_agents.swarm import engine
from soa_agents.swarm.events import JobEnded
from soa_agents.swarm.job import FolderRef, JobResult, StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.verify.interpreter import Interpreter

KEY = "sk-secret-0123456789"
CERTIFICATE = Path(__file__).parents[1] / "data/tls/untrusted.pem"
SHOP = '"""A shop."""\n\n\ndef total(items):\n    """The sum of price times count."""\n    ...\n'
TESTS = "from shop import total\n\n\ndef test_two():\n    assert total([(2, 4), (1, 1)]) == 9\n"
BODY = "def total(items):\n    return sum(p * n for p, n in items)"


def block(source: str) -> str:
    return f"Here it is.\n\n```python\n{source}\n```\n"


RIGHT = Answer(block(BODY))


@pytest.fixture(autouse=True)
def without_a_sandbox(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests are expressions, and what a job keeps lies in the test's own folder."""

    async def played(place: Workplace, path: str) -> Laboratory:
        names = re.findall(r"def (test_\w+)", place.text("tests/test_shop.py"))
        tests = {f"tests/test_shop.py::{name}": "total([(2, 4), (1, 1)]) == 9" for name in names}
        return Laboratory(
            Expressions(path, place.text(path), tests), Interpreter(Path("python"), "", "3", "8")
        )

    monkeypatch.setattr(run, "open_laboratory", played)
    monkeypatch.setattr(engine, "FIRST_PAUSE", 0.01)
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))


@dataclass(frozen=True)
class Ran:
    """A job that ended, what was heard of it, and what the server was asked."""

    result: JobResult
    heard: list[Any]
    requests: list[Request]

    def said(self, number: int) -> str:
        """The last message of a request."""
        return str(self.requests[number].json["messages"][-1]["content"])


@dataclass(frozen=True)
class Fault:
    """The server's answers in turn, the last again and again; `where` makes the address of the server's."""

    answers: tuple[Answer, ...]
    where: Callable[[str], str] = str
    environment: Mapping[str, str] = field(default_factory=dict)  # "{server}" stands for the server's root
    tls: bool = False
    tests: str = TESTS


def fault(*answers: Answer, **more: Any) -> Fault:
    return Fault(answers, **more)


async def write(
    case: Fault, root: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None
) -> Ran:
    """The job that writes `total`."""
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(SHOP)
    (root / "tests/test_shop.py").write_text(case.tests)
    answers = iter(case.answers)
    heard: list[Any] = []

    def answer(request: dict[str, Any]) -> Answer:
        return next(answers, case.answers[-1])

    certificate = CERTIFICATE if case.tls else None
    with OpenAIServer(answer, models=("a", "b"), certificate=certificate) as server:
        for name, value in case.environment.items():
            monkeypatch.setenv(name, value.format(server=server.base_url.removesuffix("/v1")))
        settings = Settings(
            model=ModelSettings(name="m", base_url=case.where(server.base_url)), limits=limits or Limits()
        )
        start = StartJob("job", "generate", (FolderRef("w", str(root)),), ("shop.py::total",), settings, {})
        silent = any(each.hold or each.silent_after for each in case.answers)
        access = Access(idle_seconds=1.0 if silent else 60.0, retries=1)
        result = await run_job(start, KEY, heard.append, asyncio.Event(), access)
        return Ran(result, heard, list(server.requests))


def soon(status: int, **more: Any) -> Answer:
    """A refusal after which the client may come back at once."""
    return Answer(status=status, headers={"retry-after-ms": "1"}, **more)


def events(*data: str) -> Answer:
    return Answer(body="".join(f"data: {each}\n\n" for each in data), content_type="text/event-stream")


TOO_LONG = {
    "message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
    "code": "context_length_exceeded",
}
OVERLOADED = '{"error": {"message": "overloaded", "code": 529}}'
TABS = BODY.replace("    ", "\t")
OTHER = block("def totals(items):\n    return 1")
REST = block("def total(items):\n    # … rest unchanged\n    ...")

PASSES = {  # what is wrong, how many requests it takes, what the second says of the first
    "429 with Retry-After": (fault(soon(429), soon(429), RIGHT), 3, ""),
    "429 without": (fault(Answer(status=429), RIGHT), 2, ""),
    "500": (fault(soon(500), RIGHT), 2, ""),
    "503 with a page": (
        fault(soon(503, body="<html>Busy</html>", content_type="text/html"), RIGHT),
        2,
        "",
    ),
    "hanging up before a byte": (fault(Answer(disconnect_after=-1), RIGHT), 2, ""),
    "hanging up in the reply": (fault(Answer(block(BODY), disconnect_after=2), RIGHT), 2, ""),
    "silence in the reply": (fault(Answer(block(BODY), silent_after=2), RIGHT), 2, ""),
    "an error in the stream": (fault(events(OVERLOADED), RIGHT), 2, ""),
    "an error with status 200": (fault(Answer(body=OVERLOADED), RIGHT), 2, ""),
    "broken JSON": (fault(Answer(body='{"choices": ['), RIGHT), 2, ""),
    "broken JSON in the stream": (fault(events("{oops"), RIGHT), 2, ""),
    "no choices": (fault(Answer(body='{"choices": []}'), RIGHT), 2, ""),
    "an empty body": (fault(Answer(body=""), RIGHT), 2, ""),
    "the context is shorter": (fault(soon(400, error=TOO_LONG), RIGHT), 2, ""),
    "a request entity too large": (fault(Answer(status=413, error="too large"), RIGHT), 2, ""),
    "another content type": (
        fault(
            Answer(
                body='{"choices": [{"message": {"content": "```python\\ndef total(items):\\n'
                '    return sum(p * n for p, n in items)\\n```"}}]}',
                content_type="text/plain",
            )
        ),
        1,
        "",
    ),
    "withheld": (fault(Answer("", finish="content_filter"), RIGHT), 2, "withheld by a content filter"),
    "cut off": (fault(Answer(block(BODY), finish="length"), RIGHT), 2, "cut off before its end"),
    "repeating without end": (
        fault(Answer("total " * 50_000, chunks=2_000), RIGHT),
        2,
        "the same again and again",
    ),
    "repeating in its thoughts": (
        fault(Answer("", reasoning="Wait. " * 9_000), RIGHT),
        2,
        "the same again and again",
    ),
    "prose": (fault(Answer("I would sum the items."), RIGHT), 2, "no code"),
    "nothing": (fault(Answer(""), RIGHT), 2, "was empty"),
    "a page": (fault(Answer("<!DOCTYPE html><html><p>Hello"), RIGHT), 2, "HTML page"),
    "another function": (fault(Answer(OTHER), RIGHT), 2, "but not `total`, which was asked for"),
    "the rest unchanged": (fault(Answer(REST), RIGHT), 2, "whole"),
    "no Python": (fault(Answer(block("def total(items:\n  retrun")), RIGHT), 2, "does not parse"),
    "two blocks": (fault(Answer(block("def total(items):\n    return 0") + block(BODY))), 1, ""),
    "an example of use after it": (fault(Answer(block(BODY) + block("print(total([]))"))), 1, ""),
    "tabs for spaces": (fault(Answer(block(TABS))), 1, ""),
    "no fence": (fault(Answer(BODY)), 1, ""),
    "a fence that is never closed": (fault(Answer(f"```python\n{BODY}")), 1, ""),
    "thoughts before it": (fault(Answer(f"<think>\n{BODY}\n</think>\n{block(BODY)}")), 1, ""),
    "a stream that is none": (fault(Answer(block(BODY), stream=False)), 1, ""),
    "its certificate is trusted": (
        fault(RIGHT, tls=True, environment={"SSL_CERT_FILE": str(CERTIFICATE)}),
        1,
        "",
    ),
    "through a proxy": (
        fault(RIGHT, where=lambda url: "http://model.invalid/v1", environment={"HTTP_PROXY": "{server}"}),
        1,
        "",
    ),
}


@pytest.mark.parametrize(("case", "requests", "complaint"), PASSES.values(), ids=PASSES)
async def test_what_is_retried_or_repaired(
    case: Fault, requests: int, complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = await write(case, tmp_path / "w", monkeypatch)
    assert (ran.result.update.state, ran.result.update.verdict) == ("done", "passed"), (
        ran.result.update.message
    )
    assert ran.result.offer == "apply"
    assert len(ran.requests) == requests
    assert complaint in ran.said(-1)


def nobody() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


NO_MODEL, FAILED = 3, 1
REPORTED = {  # what is wrong, the exit code, what the sentence says, how many requests were made
    "401": (
        fault(Answer(status=401, error=f"Bad key {KEY}")),
        NO_MODEL,
        ("refused the key (401)", "Check"),
        1,
    ),
    "403": (fault(Answer(status=403)), NO_MODEL, ("refused the key (403)", "OPENAI_API_KEY"), 1),
    "402": (fault(Answer(status=402)), NO_MODEL, ("payment (402)", "Check the account"), 1),
    "no quota": (
        fault(Answer(status=429, error={"message": "no", "code": "insufficient_quota"})),
        NO_MODEL,
        ("payment (429)",),
        1,
    ),
    "404, the model": (
        fault(Answer(status=404, error={"message": "no", "code": "model_not_found"})),
        NO_MODEL,
        ("does not offer the model m", "2 models: a, b", "SOA_MODEL"),
        1,
    ),
    "404, the path": (
        fault(Answer(status=404, body="404")),
        NO_MODEL,
        ("There is no chat at", "end in /v1"),
        1,
    ),
    "429 for ever": (
        fault(soon(429, error="slow down")),
        NO_MODEL,
        ("limits requests (429): slow down.", "soa.limits.parallel"),
        9,
    ),
    "429 until tomorrow": (
        fault(Answer(status=429, headers={"retry-after": "7200"})),
        NO_MODEL,
        ("a pause of 120 minutes", "Go on with the job"),
        1,
    ),
    "500 for ever": (fault(soon(500)), NO_MODEL, ("fails (500)", "try again later"), 2),
    "400": (
        fault(Answer(status=400, error="I will not.")),
        FAILED,
        ("refuses the request (400): I will",),
        1,
    ),
    "the context is always too short": (
        fault(soon(400, error="the prompt is too long")),
        FAILED,
        ("longer than the model's context", "a larger one"),
        4,
    ),
    "withheld by the server": (
        fault(Answer(status=400, error={"message": "no", "code": "content_filter"})),
        FAILED,
        ("content filter",),
        1,
    ),
    "refused": (fault(RIGHT, where=lambda url: nobody()), NO_MODEL, ("Nothing answers at", "Start"), 0),
    "an unknown host": (
        fault(RIGHT, where=lambda url: "http://no-such-host.invalid/v1"),
        NO_MODEL,
        ("no-such-host.invalid", "is not known", "Check"),
        0,
    ),
    "always hanging up": (
        fault(Answer(disconnect_after=-1)),
        NO_MODEL,
        ("hangs up without an answer", "Look at its log"),
        2,
    ),
    "always hanging up in the reply": (
        fault(Answer(block(BODY), disconnect_after=2)),
        FAILED,
        ("broke off its reply",),
        2,
    ),
    "silence": (fault(Answer(hold=Event())), NO_MODEL, ("said nothing for 1 s", "try again"), 1),
    "a web page": (
        fault(Answer(body="<html><p>Welcome", content_type="text/html")),
        NO_MODEL,
        ("a web page", "Check"),
        1,
    ),
    "a redirect": (
        fault(Answer(status=307, headers={"location": "http://127.0.0.1:9/"})),
        NO_MODEL,
        ("redirects", "real address"),
        1,
    ),
    "never a completion": (
        fault(Answer(body="[1, 2]")),
        FAILED,
        ("sent something that is no chat completion",),
        2,
    ),
    "a certificate that nobody trusts": (
        fault(RIGHT, tls=True),
        NO_MODEL,
        ("The certificate of", "is not trusted", "SSL_CERT_FILE"),
        0,
    ),
    "TLS where none is spoken": (
        fault(RIGHT, where=lambda url: url.replace("http:", "https:")),
        NO_MODEL,
        ("does not speak TLS", "Check http or https"),
        0,
    ),
    "a proxy that is not there": (
        fault(
            RIGHT,
            where=lambda url: "https://model.invalid/v1",
            environment={"HTTPS_PROXY": "http://127.0.0.1:9"},
        ),
        NO_MODEL,
        ("The proxy on the way to", "HTTPS_PROXY"),
        0,
    ),
    "a proxy that opens no tunnel": (
        fault(RIGHT, where=lambda url: "https://model.invalid/v1", environment={"HTTPS_PROXY": "{server}"}),
        NO_MODEL,
        ("The proxy on the way to", "HTTPS_PROXY"),
        0,
    ),
    "a proxy that wants a password": (
        fault(
            Answer(status=407),
            where=lambda url: "http://model.invalid/v1",
            environment={"HTTP_PROXY": "{server}"},
        ),
        NO_MODEL,
        ("The proxy on the way to", "user name and password (407)"),
        1,
    ),
    "prose for ever": (fault(Answer("I would rather not.")), FAILED, ("no usable code", "another model"), 3),
    "cut off for ever": (
        fault(Answer(block(BODY), finish="length")),
        FAILED,
        ("cut off", "another model"),
        3,
    ),
}


@pytest.mark.parametrize(("case", "exit_code", "words", "requests"), REPORTED.values(), ids=REPORTED)
async def test_what_is_reported_in_one_sentence(
    case: Fault,
    exit_code: int,
    words: tuple[str, ...],
    requests: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran = await write(case, tmp_path / "w", monkeypatch)
    said = ran.result.update.message
    assert [word for word in words if word not in said] == [], said
    assert (ran.result.update.state, ran.result.exit_code) == ("failed", exit_code)
    assert "\n" not in said and said.endswith(".") and len(said) < 600 and "<" not in said
    assert KEY not in said and "Error" not in said and "Traceback" not in said
    assert len(ran.requests) == requests
    with closing(Ledger.of(tmp_path / "w")) as ledger:
        ended = [event for event in ledger.events("job") if isinstance(event, JobEnded)]
    assert [event.update.message for event in ended] == [said]


async def test_a_view_shrinks_to_what_the_server_says_its_context_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second prompt fits, in bytes / 3, what the refusal of the first named; the function stays whole."""
    rows = "".join(f"    assert total([({n}, 1), (0, {n})]) == {n}  # the {n}th\n" for n in range(100))
    tests = TESTS + "".join(f"\n\ndef test_rows_{n}():\n{rows}" for n in range(6))
    said = TOO_LONG["message"].replace("4096", "2600")
    case = fault(soon(400, error=said), RIGHT, tests=tests)
    ran = await write(case, tmp_path / "w", monkeypatch)
    first, second = (
        sum(len(m["content"].encode()) // 3 for m in request.json["messages"]) for request in ran.requests
    )
    assert second <= 2_600 < first
    assert "The sum of price times count." in ran.said(1)


async def test_waiting_for_the_rate_limit_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Answer(status=429, headers={"retry-after": "0.3"})
    ran = await write(fault(refused, RIGHT), tmp_path / "w", monkeypatch)
    notes = [each.message for each in ran.heard if isinstance(each, Note)]
    assert "waiting for the model's rate limit" in notes
    assert notes[notes.index("waiting for the model's rate limit") + 1] == "asking the model"
    assert ran.requests[1].time - ran.requests[0].time >= 0.3


async def test_a_lost_reply_counts_against_the_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two replies broke off, so of three calls one is left, and there is nothing to pay a second one with."""
    broken = Answer(block(BODY), disconnect_after=2)
    case = fault(broken, Answer("I would rather not."), RIGHT)
    ran = await write(case, tmp_path / "w", monkeypatch, Limits(calls=2))
    assert len(ran.requests) == 2
    assert ran.result.update.usage is not None and ran.result.update.usage.calls == 2
    assert "soa.limits.calls" in ran.result.update.message
