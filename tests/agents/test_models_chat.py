"""What `OpenAIChat` holds against a real HTTP server: it reads every kind of answer, stops where it is told
to, says each fault in one sentence, and lets the key into no sentence and no log."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from base64 import b64encode
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import pytest
from openai_server import Answer, OpenAIServer
from soa_agents.errors import CallFailed, KeyRefused, ModelError, ModelUnreachable, NoModel, PromptTooLong
from soa_agents.models.openai_chat import OpenAIChat
from soa_agents.models.port import CallDropped, Message, Prompt, Reply, ReplyLost
from soa_agents.settings import ModelSettings, Price

KEY = "sk-secret-0123456789"
PROMPT = Prompt(
    (Message("system", "You write code."), Message("user", "Write f.\n\nTarget: a.py::f\nStep: code")),
    "a.py::f",
    "code",
)
TEXT = "```python\ndef f():\n    return 'é\u2028ß'\n```\n"


@asynccontextmanager
async def chat(base_url: str, key: str | None = KEY, *, name: str = "test-model", **options: Any):
    model = OpenAIChat(ModelSettings(name=name, base_url=base_url), key, **({"retries": 0} | options))
    try:
        yield model
    finally:
        await model.aclose()


async def ask(answer: Answer, **options: Any) -> Reply:
    with OpenAIServer(answer) as server:
        async with chat(server.base_url, **options) as model:
            return await model.ask(PROMPT)


def whole(**changes: Any) -> str:
    """The body of a plain completion."""
    message = {"role": "assistant", "content": TEXT}
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "model": "m"} | changes)


def events(*chunks: object) -> Answer:
    """A stream of these chunks, each as it stands."""
    lines = [f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks]
    return Answer(body="".join(lines), content_type="text/event-stream")


def delta(content: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content} | more, "finish_reason": finish}]}


READS = {
    "streamed": (Answer(TEXT, chunks=7), TEXT, "stop"),
    "one piece a character": (Answer(TEXT, chunks=len(TEXT)), TEXT, "stop"),
    "a server that never streams": (Answer(TEXT, stream=False), TEXT, "stop"),
    "cut off": (Answer(TEXT, finish="length"), TEXT, "length"),
    "cut off, in a plain answer": (Answer(TEXT, stream=False, finish="length"), TEXT, "length"),
    "withheld": (Answer("", finish="content_filter"), "", "content_filter"),
    "a refusal": (events(delta(None, "stop", refusal="No.")), "No.", "content_filter"),
    "nothing said": (Answer(""), "", "stop"),
    "thinking beside the text": (Answer(TEXT, reasoning="Well…"), TEXT, "stop"),
    "an unknown finish reason": (Answer(TEXT, finish="eos"), TEXT, "stop"),
    "no final mark": (events(delta("a"), delta("b", "stop")), "ab", "stop"),
    "comments and empty chunks": (
        events({"choices": []}, delta("a"), {}, delta("b", "stop"), "[DONE]"),
        "ab",
        "stop",
    ),
    "text in parts": (events(delta([{"type": "text", "text": "ab"}], "stop")), "ab", "stop"),
    "a sign cut in two": (
        events(delta("a\ud83d"), delta("\ude00\ud83d", "stop")),
        "a\U0001f600\ufffd",
        "stop",
    ),
    "a body of another type": (Answer(body=whole(), content_type="text/plain"), TEXT, "stop"),
}


@pytest.mark.parametrize(("answer", "text", "finish"), READS.values(), ids=READS)
async def test_an_answer_is_read(answer: Answer, text: str, finish: str) -> None:
    reply = await ask(answer)
    assert (reply.text, reply.finish) == (text, finish)
    assert reply.usage.calls == 1


COUNTED = {"prompt_tokens": 1000, "completion_tokens": 500, "prompt_tokens_details": {"cached_tokens": 400}}


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_is_what_the_server_counted(stream: bool) -> None:
    with OpenAIServer(Answer(TEXT, usage=COUNTED, stream=stream)) as server:
        settings = ModelSettings("m", server.base_url, price=Price(input=2.0, output=8.0, cached=0.5))
        model = OpenAIChat(settings, None)
        usage = (await model.ask(PROMPT)).usage
        await model.aclose()
    assert (usage.input_tokens, usage.cached_tokens, usage.output_tokens) == (1000, 400, 500)
    assert usage.cost_usd == pytest.approx((600 * 2 + 400 * 0.5 + 500 * 8) / 1e6)


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": None}, {}], ids=str)
async def test_usage_is_estimated_where_nobody_counts(usage: Any) -> None:
    reply = await ask(Answer("x" * 30, usage=usage, stream=False))
    asked = sum(-(-len(m.content.encode()) // 3) for m in PROMPT.messages)
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.cost_usd) == (asked, 10, None)


async def test_the_request_is_a_streamed_chat_with_the_key_and_the_conversation() -> None:
    with OpenAIServer(key=KEY) as server:
        async with chat(server.base_url, parameters={"temperature": 0.2}) as model:
            await model.ask(PROMPT)
        [request] = server.requests
    assert request.json == {
        "model": "test-model",
        "messages": [{"role": m.role, "content": m.content} for m in PROMPT.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.2,
    }
    assert (request.target, request.step) == ("a.py::f", "code")


@dataclass(frozen=True)
class Fault:
    answer: Answer
    error: type[Exception]
    words: tuple[str, ...]


def fault(kind: type[Exception], /, *words: str, **answer: Any) -> Fault:
    return Fault(Answer(TEXT, **answer), kind, words)


TOO_LONG = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
FAULTS = {
    "401": fault(KeyRefused, "refused the key (401)", "OPENAI_API_KEY", "SoA: Set API Key", status=401),
    "403": fault(KeyRefused, "refused the key (403)", status=403),
    "a key in the refusal": fault(
        KeyRefused, "(401)", status=401, error=f"Incorrect API key provided: {KEY}."
    ),
    "a key in another error": fault(CallFailed, "(400)", "…", status=400, error=f"{KEY} is not welcome"),
    "402": fault(ModelError, "payment (402)", "Check the account", status=402, error="Insufficient balance"),
    "no quota": fault(
        ModelError, "payment (429)", status=429, error={"message": "quota", "code": "insufficient_quota"}
    ),
    "unknown model": fault(
        NoModel,
        "does not offer the model test-model",
        "it offers 2 models: a, b",
        "SOA_MODEL",
        status=404,
        error={"message": "no", "code": "model_not_found"},
    ),
    "unknown model, as Ollama says it": fault(
        NoModel, "2 models: a, b", body='{"error": "model \\"x\\" not found, try pulling it"}', status=404
    ),
    "unknown model, with 400": fault(
        NoModel, "2 models: a, b", status=400, error={"message": "invalid model ID", "param": "model"}
    ),
    "no such path": fault(
        ModelUnreachable, "There is no chat at", "/v1", body="404 page not found", status=404
    ),
    "429": fault(
        ModelUnreachable,
        "limits requests (429): slow down.",
        "soa.limits.parallel",
        status=429,
        error="slow down",
    ),
    "500": fault(ModelUnreachable, "fails (500)", "try again later", status=500),
    "502 with a page": fault(
        ModelUnreachable,
        "fails (502). Look",
        status=502,
        body="<html>Bad Gateway</html>",
        content_type="text/html",
    ),
    "too long": fault(
        PromptTooLong,
        "longer than the model's context",
        "Take a model",
        status=400,
        error={"message": TOO_LONG, "code": "context_length_exceeded"},
    ),
    "too long, as vLLM says it": fault(PromptTooLong, "context length is 4096", status=400, error=TOO_LONG),
    "filtered": fault(
        CallFailed, "content filter", status=400, error={"message": "no", "code": "content_filter"}
    ),
    "refused": fault(CallFailed, "refuses the request (400): I will not.", status=400, error="I will not."),
    "a redirect": fault(
        ModelUnreachable, "redirects", status=307, headers={"location": "http://127.0.0.1:9/"}
    ),
    "HTML": fault(
        ModelUnreachable, "web page", "/v1", body="\n<!doctype html><p>hi", content_type="text/html"
    ),
    "broken JSON": fault(
        ReplyLost, "no chat completion", body='{"choices": [', content_type="application/json"
    ),
    "an empty body": fault(ReplyLost, "no chat completion", body=""),
    "JSON of another kind": fault(ReplyLost, "no chat completion", body="[1, 2]"),
    "no choices": fault(ReplyLost, "no reply in it", body='{"choices": []}'),
    "no choices at all": fault(ReplyLost, "no reply in it", body="{}"),
    "odd choices": fault(ReplyLost, "no chat completion", body='{"choices": [3]}'),
    "an error with status 200": fault(ReplyLost, "overloaded", body='{"error": {"message": "overloaded"}}'),
    "an empty stream": fault(ReplyLost, "no reply in it", body="", content_type="text/event-stream"),
    "broken JSON in a stream": fault(
        ReplyLost, "no chat completion", body="data: {oops\n\n", content_type="text/event-stream"
    ),
    "an error in a stream": fault(
        ReplyLost,
        "overloaded",
        body='data: {"error": {"message": "overloaded"}}\n\n',
        content_type="text/event-stream",
    ),
    "hanging up in the reply": fault(ReplyLost, "broke off its reply", disconnect_after=2),
    "silence in the reply": fault(ReplyLost, "fell silent for 0.3 s", silent_after=2),
    "silence": fault(ModelUnreachable, "said nothing for 0.3 s", hold=threading.Event()),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
async def test_a_fault_is_one_sentence_without_the_key(case: Fault, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with OpenAIServer(case.answer, models=("a", "b")) as server:
        async with chat(server.base_url, idle_seconds=0.3) as model:
            with pytest.raises((ModelError, CallFailed)) as raised:
                await model.ask(PROMPT)
    said = str(raised.value)
    assert raised.type is case.error
    assert [word for word in case.words if word not in said] == [], said
    assert "\n" not in said and said.endswith(".") and len(said) < 500 and "<" not in said
    shown = "".join(str(e) for e in (raised.value, raised.value.__cause__) if e)
    assert KEY not in shown + caplog.text
    assert "You write code" not in caplog.text


def refused_port() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


NOBODY = {
    "refused": (
        refused_port(),
        ModelUnreachable,
        ("Nothing answers at http://127.0.0.1:", "OPENAI_BASE_URL"),
    ),
    "DNS": ("http://no-such-host.invalid/v1", ModelUnreachable, ("no-such-host.invalid", "is not known")),
    "no scheme": ("localhost:11434/v1", ModelUnreachable, ("is no address", "http://localhost:11434/v1")),
    "no host": ("http:///v1", ModelUnreachable, ("is no address",)),
    "no port": ("http://localhost:x/v1", ModelUnreachable, ("is no address",)),
    "nothing named": ("", NoModel, ("No model is configured", "`soa doctor`")),
}


@pytest.mark.parametrize(("base_url", "error", "words"), NOBODY.values(), ids=NOBODY)
async def test_an_address_where_nobody_is(
    base_url: str, error: type[Exception], words: tuple[str, ...]
) -> None:
    with pytest.raises(error) as raised:
        async with chat(base_url, None) as model:
            await model.ask(PROMPT)
    assert [word for word in words if word not in str(raised.value)] == [], raised.value


@pytest.mark.parametrize(
    ("base_url", "tries"),
    [(refused_port(), 1), ("http://no-such-host.invalid/v1", 2)],
    ids=["here", "elsewhere"],
)
async def test_only_an_address_elsewhere_is_tried_again(
    base_url: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens on this machine: that does not change while the SDK waits."""
    sent, send = list[str](), httpx2.AsyncClient.send

    async def counted(client: httpx2.AsyncClient, request: httpx2.Request, **options: Any) -> httpx2.Response:
        sent.append(str(request.url))
        return await send(client, request, **options)

    monkeypatch.setattr(httpx2.AsyncClient, "send", counted)
    with pytest.raises(ModelUnreachable):
        async with chat(base_url, None, retries=1) as model:
            await model.ask(PROMPT)
    assert len(sent) == tries


async def test_a_plain_server_behind_https_is_told_apart() -> None:
    with OpenAIServer() as server, pytest.raises(ModelUnreachable, match="does not speak TLS"):
        async with chat(server.base_url.replace("http:", "https:")) as model:
            await model.ask(PROMPT)


async def test_a_password_in_the_address_is_not_shown() -> None:
    address = refused_port().replace("//", "//me:hunter2@")
    with pytest.raises(ModelUnreachable) as raised:
        async with chat(address) as model:
            await model.ask(PROMPT)
    assert "hunter2" not in str(raised.value)
    with pytest.raises(ModelUnreachable) as raised:
        OpenAIChat(ModelSettings(base_url="me:hunter2@host"), None)
    assert "hunter2" not in str(raised.value)


async def test_user_name_and_password_of_the_address_reach_the_server() -> None:
    with OpenAIServer("fine") as server:
        async with chat(server.base_url.replace("//", "//me:hunter%202@")) as model:
            assert (await model.ask(PROMPT)).text == "fine"
    assert server.requests[0].headers["authorization"] == f"Basic {b64encode(b'me:hunter 2').decode()}"


@pytest.mark.parametrize("key", ["sk-ä" + KEY, f"{KEY}\n{KEY}", f"{KEY} x"], ids=["letter", "lines", "words"])
def test_a_key_that_cannot_be_one_is_refused_before_it_is_sent(key: str) -> None:
    with pytest.raises(KeyRefused) as raised:
        OpenAIChat(ModelSettings(base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY"), key)
    assert "MY_KEY" in str(raised.value) and KEY not in str(raised.value)


async def test_white_space_around_a_key_does_no_harm() -> None:
    with OpenAIServer(key=KEY) as server:
        async with chat(server.base_url, f" {KEY}\r\n") as model:
            assert (await model.ask(PROMPT)).text == "hello"


async def test_a_server_that_wants_a_key_and_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    with OpenAIServer(key=KEY) as server:
        async with chat(server.base_url, None) as model:
            with pytest.raises(KeyRefused, match=r"wants a key \(401\) and none is set. Set OPENAI_API_KEY"):
                await model.ask(PROMPT)


def picky(*names: str, status: int = 400):
    """A server that refuses these parameters, one at a time."""

    def answer(request: dict[str, Any]) -> Answer:
        for name in names:
            if name in request:
                return Answer(status=status, error=f"Unsupported parameter: '{name}' is not supported.")
        return Answer(TEXT)

    return answer


DROPPED = [
    ("temperature",),
    ("max_tokens", "temperature"),
    ("stream_options",),
    ("stream_options", "stream"),
    ("stream",),
]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("names", DROPPED, ids=" ".join)
async def test_a_parameter_that_is_refused_by_name_is_left_out_for_good(
    names: tuple[str, ...], status: int
) -> None:
    with OpenAIServer(picky(*names, status=status)) as server:
        async with chat(server.base_url, parameters={"temperature": 0.2, "max_tokens": 99}) as model:
            first, second = await model.ask(PROMPT), await model.ask(PROMPT)
        assert (first.text, second.text) == (TEXT, TEXT)
        assert len(server.requests) == len(names) + 2
        kept = {"temperature", "max_tokens"} - set(names)
        assert kept <= set(server.requests[-1].json)


async def test_parallel_calls_survive_one_refused_parameter() -> None:
    with OpenAIServer(picky("temperature", "stream_options")) as server:
        async with chat(server.base_url, parameters={"temperature": 0.2}) as model:
            replies = await asyncio.gather(*(model.ask(PROMPT) for _ in range(8)))
    assert {reply.text for reply in replies} == {TEXT}


@pytest.mark.parametrize("status", [408, 500, 503])
async def test_a_passing_fault_is_tried_again(status: int) -> None:
    answers = iter([Answer(status=status, headers={"retry-after-ms": "1"})] * 2 + [Answer(TEXT)])
    with OpenAIServer(lambda _: next(answers)) as server:
        async with chat(server.base_url, retries=2) as model:
            assert (await model.ask(PROMPT)).text == TEXT
        assert len(server.requests) == 3


LOST = {
    "hanging up in the reply": Answer(TEXT, disconnect_after=2),
    "no choices": Answer(body='{"choices": []}'),
    "broken JSON": Answer(body='{"choices": ['),
    "an error in a stream": events({"error": {"message": "overloaded", "code": 503}}),
}


@pytest.mark.parametrize("answer", LOST.values(), ids=LOST)
async def test_a_lost_reply_is_not_free(answer: Answer) -> None:
    """Who asked decides whether there is enough left to ask again, so it is not asked again here."""
    with OpenAIServer(answer) as server:
        async with chat(server.base_url, retries=1) as model:
            with pytest.raises(ReplyLost) as raised:
                await model.ask(PROMPT)
        assert len(server.requests) == 1
    assert raised.value.usage.calls == 1 and raised.value.usage.input_tokens > 0


NUMBERS = " ".join(map(str, range(5_000)))
ROOM = replace(PROMPT, room=500)


async def test_a_reply_that_has_little_room_is_bounded_by_the_server() -> None:
    with OpenAIServer(Answer(TEXT)) as server:
        async with chat(server.base_url) as model:
            for prompt in (ROOM, replace(PROMPT, room=100_000), PROMPT):
                assert (await model.ask(prompt)).finish == "stop"
    assert [request.json.get("max_tokens") for request in server.requests] == [500, None, None]


REFUSED_BOUNDS = {
    "another name": (
        "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
        ["max_tokens", "max_completion_tokens", "max_completion_tokens"],
    ),
    "none at all": ("max_tokens is too large: 500. The model supports 400.", ["max_tokens", None, None]),
    "no room for both": (
        "This model's maximum context length is 4096 tokens. You requested 4500 tokens (4000 in the "
        "messages, 500 in the completion).",
        ["max_tokens", None, "max_tokens", None],
    ),
}


@pytest.mark.parametrize(("error", "names"), REFUSED_BOUNDS.values(), ids=REFUSED_BOUNDS)
async def test_a_bound_that_the_server_refuses(error: str, names: list[str | None]) -> None:
    def answer(request: dict[str, Any]) -> Answer:
        return Answer(status=400, error=error) if "max_tokens" in request else Answer(TEXT)

    with OpenAIServer(answer) as server:
        async with chat(server.base_url) as model:
            assert [(await model.ask(ROOM)).text for _ in range(2)] == [TEXT, TEXT]
    bounds = ("max_tokens", "max_completion_tokens")
    assert [next((b for b in bounds if b in r.json), None) for r in server.requests] == names


async def test_a_reply_that_takes_more_than_its_room_is_cut_off() -> None:
    """Many small chunks are taken for a token each; what was cut off is billed as far as it came."""
    with OpenAIServer(Answer(NUMBERS, chunks=5_000, chunk_delay=0.0005)) as server:
        async with chat(server.base_url) as model:
            reply = await model.ask(ROOM)
        assert await asyncio.to_thread(server.wait, lambda: server.requests[0].disconnected)
    assert reply.finish == "length"
    assert 500 <= reply.usage.output_tokens <= 700


async def test_a_reply_that_arrived_whole_is_kept_however_long() -> None:
    with OpenAIServer(Answer(NUMBERS, stream=False)) as server:
        async with chat(server.base_url) as model:
            reply = await model.ask(ROOM)
    assert (reply.finish, reply.text) == ("stop", NUMBERS)


async def test_a_dropped_call_says_what_came_of_it() -> None:
    with OpenAIServer(Answer(NUMBERS, chunks=50, chunk_delay=0.05)) as server:
        async with chat(server.base_url) as model:
            asking = asyncio.ensure_future(model.ask(PROMPT))
            await asyncio.to_thread(
                server.wait, lambda: bool(server.requests) and server.requests[0].pieces > 3
            )
            asking.cancel()
            with pytest.raises(CallDropped) as raised:
                await asking
    usage = raised.value.usage
    assert usage.calls == 1 and usage.input_tokens > 0 and 0 < usage.output_tokens < 7_000


ENDLESS = {
    "a token": "na " * 100_000,
    "a line": "    total += items[0].price * items[0].count\n" * 10_000,
    "a paragraph": "Wait, let me think again about the rounding of the sum of all items. " * 5_000,
}


@pytest.mark.parametrize("thinking", [False, True], ids=["reply", "thinking"])
@pytest.mark.parametrize("said", ENDLESS.values(), ids=ENDLESS)
async def test_a_reply_that_repeats_itself_is_cut_off(said: str, thinking: bool) -> None:
    text = "Well. " + said
    answer = Answer("so", reasoning=text) if thinking else Answer(text, chunks=1000, chunk_delay=0.001)
    with OpenAIServer(answer) as server:
        async with chat(server.base_url) as model:
            reply = await model.ask(PROMPT)
        if not thinking:
            assert await asyncio.to_thread(server.wait, lambda: server.requests[0].disconnected)
    assert reply.finish == "repeated" and len(reply.text) < 500
    assert reply.usage.output_tokens >= 1_000


async def test_a_table_of_numbers_is_no_endless_reply() -> None:
    rows = "".join(f"    {n}: ({n % 7}, 0, 0, 0, 0),\n" for n in range(2_000))
    assert (await ask(Answer(rows, chunks=300))).finish == "stop"


async def test_silence_is_not_tried_again() -> None:
    with OpenAIServer(Answer(hold=threading.Event())) as server:
        async with chat(server.base_url, retries=3, idle_seconds=0.2) as model:
            with pytest.raises(ModelUnreachable, match="said nothing"):
                await model.ask(PROMPT)
        assert len(server.requests) == 1


async def test_a_slow_reply_is_not_a_silent_one() -> None:
    reply = await ask(Answer("x" * 20, chunks=20, chunk_delay=0.1), idle_seconds=1)
    assert reply.text == "x" * 20  # about two seconds, twice the idle time


async def test_a_call_that_queues_behind_another_is_waited_for() -> None:
    second_may_go = threading.Event()

    def answer(_: dict[str, Any]) -> Answer:
        first = len(server.requests) == 1
        return Answer("x" * 20, chunks=20, chunk_delay=0.1) if first else Answer("y", hold=second_may_go)

    with OpenAIServer(answer) as server:
        async with chat(server.base_url, idle_seconds=1) as model:
            first = asyncio.create_task(model.ask(PROMPT))
            assert await asyncio.to_thread(server.wait, lambda: len(server.requests) == 1)
            second = asyncio.create_task(model.ask(PROMPT))
            await first  # takes longer than the idle time
            second_may_go.set()
            assert (await second).text == "y"


CANCELLED = {
    "before the first byte": Answer(TEXT, hold=threading.Event()),
    "between two tokens": Answer(TEXT, silent_after=1),
    "while tokens flow": Answer("x" * 10_000, chunks=10_000, chunk_delay=0.01),
}


@pytest.mark.parametrize("answer", CANCELLED.values(), ids=CANCELLED)
async def test_a_cancelled_call_hangs_up(answer: Answer) -> None:
    waits_for = 0 if answer.hold else 1
    with OpenAIServer(answer) as server:
        async with chat(server.base_url, retries=3) as model:
            call = asyncio.create_task(model.ask(PROMPT))
            assert await asyncio.to_thread(
                server.wait, lambda: bool(server.requests) and server.requests[0].pieces >= waits_for
            )
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            gone = await asyncio.to_thread(server.wait, lambda: server.requests[0].disconnected)
        assert gone and len(server.requests) == 1
        assert server.requests[0].pieces < 5_000


async def test_sixty_four_calls_run_at_once() -> None:
    gate = threading.Event()
    with OpenAIServer(Answer(TEXT, hold=gate)) as server:
        async with chat(server.base_url) as model:
            calls = [asyncio.create_task(model.ask(PROMPT)) for _ in range(64)]
            assert await asyncio.to_thread(server.wait, lambda: len(server.requests) == 64)
            gate.set()
            replies = await asyncio.gather(*calls)
    assert {reply.text for reply in replies} == {TEXT} and server.peak == 64


RESOLVED = {
    "the only one": (("only",), "only"),
    "several": (
        ("a", "b", "c"),
        "offers 3 models: a, b, c. Set SOA_MODEL (or soa.model.name) to one of them.",
    ),
    "very many": (tuple(f"m{i}" for i in range(99)), "m19 and 79 more"),
    "none": ((), "offers no model"),
    "not listed": (Answer(status=404, error="no route"), "There is no chat at"),
    "a page": (Answer(body="<html>", content_type="text/html"), "web page"),
    "a page called JSON": (Answer(body="<html>"), "offers no model"),
    "no key": (Answer(status=401), "refused the key (401)"),
}


@pytest.mark.parametrize(("models", "expected"), RESOLVED.values(), ids=RESOLVED)
async def test_a_model_without_a_name(models: Any, expected: str) -> None:
    with OpenAIServer(models=models) as server:
        try:
            async with chat(server.base_url, name="", retries=1) as model:
                said = await model.only_model()
        except ModelError as error:
            said = str(error)
        assert expected in said
        assert not server.requests


async def test_a_named_model_is_taken_at_its_word_and_asking_finds_an_unnamed_one() -> None:
    with OpenAIServer(models=("only",)) as server:
        async with chat(server.base_url, name="named") as model:
            assert await model.only_model() == "named" and server.listings == 0
        async with chat(server.base_url, name="") as model:
            await model.ask(PROMPT)
            await model.ask(PROMPT)
        assert [r.json["model"] for r in server.requests] == ["only", "only"] and server.listings == 1
    with pytest.raises(NoModel):
        OpenAIChat(ModelSettings(name="named"), None)


LOGGED = """
import asyncio, logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from soa_agents.models.openai_chat import OpenAIChat
from soa_agents.models.port import Message, Prompt
from soa_agents.settings import ModelSettings

async def main():
    model = OpenAIChat(ModelSettings("m", sys.argv[1]), sys.argv[2])
    print((await model.ask(Prompt((Message("user", "a secret text"),), "t", "code"))).text)
    await model.aclose()

asyncio.run(main())
"""


def test_no_log_holds_key_or_prompt_even_when_the_sdk_is_told_to_log() -> None:
    with OpenAIServer("fine") as server:
        done = subprocess.run(
            [sys.executable, "-c", LOGGED, server.base_url, KEY],
            env=os.environ | {"OPENAI_LOG": "debug"}, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    written = done.stdout + done.stderr
    assert "fine" in written
    assert KEY not in written and "a secret text" not in written and server.base_url not in written


def test_the_models_are_known_without_the_sdk() -> None:
    parts = ("port", "scripted", "recorded", "metered", "faults", "reading")
    imports = "; ".join(f"import soa_agents.models.{part}" for part in parts)
    check = f"import sys; {imports}; sys.exit(any(m in sys.modules for m in ('openai', 'httpx2')))"
    assert subprocess.run([sys.executable, "-c", check], timeout=60, check=False).returncode == 0


async def test_a_proxy_is_used_for_other_hosts_and_never_for_this_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with OpenAIServer("through the proxy") as proxy, OpenAIServer("direct") as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.base_url.removesuffix("/v1"))
        async with chat("http://model.invalid/v1") as far, chat(server.base_url) as near:
            assert (await far.ask(PROMPT)).text == "through the proxy"
            assert (await near.ask(PROMPT)).text == "direct"
