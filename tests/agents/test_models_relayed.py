"""Holds: what a relayed model makes of an answer, of a refusal, of silence, and that a cancelled question is
taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from soa_agents.errors import ModelUnreachable
from soa_agents.models.port import CallDropped, Message, Prompt, Reply, ReplyLost, Usage
from soa_agents.models.relayed import Relay, RelayedChat
from soa_agents.settings import ModelSettings, Price

Json = dict[str, Any]
PROMPT = Prompt(
    (Message("system", "Write."), Message("user", "f\nTarget: a.py::f\nStep: code")), "a.py::f", "code"
)
SETTINGS = ModelSettings(name="m", provider="editor", price=Price(1.0, 2.0))


class Wire:
    """The other side: `answers` makes the messages that follow a question."""

    def __init__(self, *answers: Json, idle: float = 5.0) -> None:
        self.sent: list[Json] = []
        self._answers = answers
        self.relay = Relay(self._take, idle)
        self.chat = RelayedChat(SETTINGS, "j1", self.relay)

    def _take(self, message: Json) -> None:
        self.sent.append(message)
        for answer in self._answers if message["type"] == "chat" else ():
            asyncio.get_running_loop().call_soon(
                self.relay.hear, {"requestId": message["requestId"], **answer}
            )


def result(**members: Any) -> Json:
    return {"type": "chatResult", "text": "x = 1", "finishReason": "stop", **members}


def chunk(text: str) -> Json:
    return {"type": "chunk", "text": text}


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([result()], lambda r: (r.text, r.finish, r.model) == ("x = 1", "stop", "m")),
        ([result(finishReason="length")], lambda r: r.finish == "length"),
        ([result(finishReason="content_filter")], lambda r: r.finish == "content_filter"),
        ([result(finishReason=None)], lambda r: r.finish == "stop"),
        ([chunk("x ="), chunk(" 1"), result(text="")], lambda r: r.text == "x = 1"),
        ([chunk("x ="), result(text="y = 2")], lambda r: r.text == "y = 2"),
        ([chunk("\ud83d"), chunk("\ude00"), result(text="")], lambda r: r.text == "\U0001f600"),
        ([result(), result(text="late")], lambda r: r.text == "x = 1"),
        (
            [result(usage={"inputTokens": 10, "outputTokens": 5})],
            lambda r: r.usage == Usage(1, 10, 0, 5, 2e-5),
        ),
        ([result(usage={"inputTokens": "many"})], lambda r: r.usage.calls == 1 and r.usage.input_tokens > 5),
    ],
)
async def test_replies(answers: list[Json], says: Callable[[Reply], bool]) -> None:
    wire = Wire(*answers)
    assert says(await wire.chat.ask(PROMPT))
    (question,) = wire.sent
    assert (question["jobId"], question["model"]) == ("j1", "m")
    assert question["messages"] == [{"role": m.role, "content": m.content} for m in PROMPT.messages]


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("Sign in to\na model first.", "Sign in to a model first."),
        ("quota", "The editor's model does not answer: quota. Choose another model"),
        ("", "The editor's model does not answer. Choose another model"),
    ],
)
async def test_refusals_are_one_sentence(message: str, says: str) -> None:
    wire = Wire({"type": "chatFailed", "message": message})
    with pytest.raises(ModelUnreachable) as raised:
        await wire.chat.ask(PROMPT)
    assert str(raised.value).startswith(says)
    assert "\n" not in str(raised.value)


async def test_an_answer_that_breaks_off_is_one_lost_call() -> None:
    wire = Wire(chunk("x ="), idle=0.05)
    with pytest.raises(ReplyLost, match="in the middle") as raised:
        await wire.chat.ask(PROMPT)
    assert raised.value.usage.input_tokens > 0 and not raised.value.again
    assert wire.sent[-1] == {"type": "chatCancel", "requestId": wire.sent[0]["requestId"]}


async def test_a_cancelled_question_is_taken_back() -> None:
    wire = Wire()
    asking = asyncio.create_task(wire.chat.ask(PROMPT))
    await asyncio.wait({asking}, timeout=0.01)
    assert wire.sent
    asking.cancel()
    with pytest.raises(CallDropped):  # sent, so paid
        await asking
    assert [m["type"] for m in wire.sent] == ["chat", "chatCancel"]
    wire.relay.hear({**result(), "requestId": wire.sent[0]["requestId"]})  # too late: dropped


async def test_an_answer_that_takes_more_than_its_room_is_cut_off() -> None:
    wire = Wire(chunk("x = 1\n" * 10), chunk("y = 2\n" * 10), chunk("z"))
    reply = await wire.chat.ask(replace(PROMPT, room=30))
    assert (reply.text, reply.finish) == ("x = 1\n" * 10 + "y = 2\n" * 10, "length")
    assert [m["type"] for m in wire.sent] == ["chat", "chatCancel"]
