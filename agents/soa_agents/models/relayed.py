"""The editor's own model: every call is relayed to whoever started the engine, who asks it.

Two messages go out: `chat` `{requestId, jobId, model?, messages}` asks, `chatCancel` `{requestId}` takes a
question back. Three come in: `chunk` `{requestId, text}` while the answer is written, and one of `chatResult`
`{requestId, text, finishReason, usage?}` or `chatFailed` `{requestId, message}`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from soa_agents.errors import ModelUnreachable, NoModel
from soa_agents.models import metered
from soa_agents.models.port import CallDropped, Prompt, Reply, ReplyLost, Usage
from soa_agents.models.reading import whole
from soa_agents.settings import ModelSettings, Price

IDLE_SECONDS = 120.0  # of silence in the middle of an answer; before it a person may be asked for permission

Json = Mapping[str, Any]


@dataclass(slots=True)
class _Waiting:
    answer: asyncio.Future[Json]
    patience: asyncio.Timeout
    room: float  # tokens that the rest of the answer may take
    chunks: list[str] = field(default_factory=list)


class Relay:
    """The questions of one process that wait for answers. `send` writes one message."""

    def __init__(self, send: Callable[[dict[str, Any]], None], idle_seconds: float = IDLE_SECONDS) -> None:
        self._send = send
        self._idle = idle_seconds
        self._waiting: dict[str, _Waiting] = {}

    def hear(self, message: Json) -> None:
        """Take a message that came in; one about a question that nobody waits for is dropped."""
        waiting = self._waiting.get(str(message.get("requestId")))
        if waiting is None or waiting.answer.done():
            return
        if message.get("type") == "chunk":
            waiting.chunks.append(str(message.get("text") or ""))
            waiting.room -= metered.estimate_tokens(waiting.chunks[-1])
            if waiting.room < 0:
                self._send({"type": "chatCancel", "requestId": message["requestId"]})
                waiting.answer.set_result({"type": "chatResult", "finishReason": "length"})
            waiting.patience.reschedule(asyncio.get_running_loop().time() + self._idle)
        else:
            waiting.answer.set_result(message)

    async def chat(self, job_id: str, model: str, messages: list[dict[str, str]], room: float) -> Json:
        """The message that answers a question, its text filled in from the chunks where it has none.

        An answer of more than `room` tokens is cut off. Raises `TimeoutError` when the answer breaks off; the
        question is taken back then, and on cancelling.
        """
        request = uuid4().hex
        question = {"type": "chat", "requestId": request, "jobId": job_id, "messages": messages}
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(None) as patience:
                self._waiting[request] = waiting = _Waiting(answer, patience, room)
                self._send({**question, "model": model} if model else question)
                found = await answer
                return {**found, "text": found.get("text") or "".join(waiting.chunks)}
        except (asyncio.CancelledError, TimeoutError):
            self._send({"type": "chatCancel", "requestId": request})
            raise
        finally:
            del self._waiting[request]


class RelayedChat:
    """A `Model` that a relay asks for one job."""

    def __init__(self, settings: ModelSettings, job_id: str, relay: Relay) -> None:
        self._settings = settings
        self._job = job_id
        self._relay = relay

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask once. Raises `ModelUnreachable` when no call can succeed, `ReplyLost` when one broke off."""
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        room = math.inf if prompt.room is None else prompt.room
        try:
            found = await self._relay.chat(self._job, self._settings.name, messages, room)
        except TimeoutError:
            sentence, usage = "The editor's model stopped in the middle of an answer.", self._sent(prompt)
            raise ReplyLost(sentence, usage, again=False) from None
        except asyncio.CancelledError:
            raise CallDropped(self._sent(prompt)) from None
        if found.get("type") == "chatFailed":
            raise _failure(found)
        text = whole(str(found["text"]))
        usage = _usage(found.get("usage"), prompt, text, self._settings.price)
        finish = found.get("finishReason")
        return Reply(
            text, finish if finish in ("length", "content_filter") else "stop", usage, self._settings.name
        )

    def _sent(self, prompt: Prompt) -> Usage:
        """What a question without an answer has cost: itself."""
        return metered.estimated(prompt, "", self._settings.price)

    async def aclose(self) -> None:
        """Nothing is held open."""


def no_editor() -> NoModel:
    """The editor's model is set where no editor is there to be asked."""
    return NoModel(
        "soa.model.provider is editor, but nothing that SoA is connected to offers a model. "
        "Set it to openai, or start this in an editor that does."
    )


def _failure(found: Json) -> ModelUnreachable:
    """What the editor said, as it said it when that is a whole sentence."""
    words = " ".join(str(found.get("message") or "").split())
    if words.endswith(".") and len(words.split()) > 3:
        return ModelUnreachable(words)
    because = f": {words.rstrip('.')[:200]}" if words else ""
    return ModelUnreachable(
        f"The editor's model does not answer{because}. "
        "Choose another model in the editor, or set soa.model.provider to openai."
    )


def _usage(given: object, prompt: Prompt, text: str, price: Price | None) -> Usage:
    counts = given if isinstance(given, Mapping) else {}
    read, written = _count(counts, "inputTokens"), _count(counts, "outputTokens")
    if not read and not written:
        return metered.estimated(prompt, text, price)
    return metered.one_call(read, written, _count(counts, "cachedTokens"), price)


def _count(counts: Json, name: str) -> int:
    count = counts.get(name)
    if isinstance(count, bool) or not isinstance(count, int | float) or not 0 < count < float("inf"):
        return 0
    return int(count)
