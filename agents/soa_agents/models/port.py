"""The Model port: one question, one answer, what it cost."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal, Protocol

from soa_agents.errors import CallFailed

Role = Literal["system", "user", "assistant"]
Finish = Literal["stop", "length", "content_filter", "repeated"]
Step = Literal["skeleton", "code", "modify", "tests", "feedback", "stubs", "plan", "intent", "judge"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered conversation. The last two lines of its last user message are `Target:` and `Step:`.

    Neither `key` nor `room` is sent: that of its action in the job, which tells apart members of a team who
    are asked the same, and how many tokens the reply may take, None where nothing bounds it.
    """

    messages: tuple[Message, ...]
    target: str
    step: Step
    key: str = ""
    room: int | None = None

    @property
    def digest(self) -> str:
        """The sha256 of the conversation: equal prompts, equal digests, in every process."""
        texts = [self.target, self.step, *([m.role, m.content] for m in self.messages)]
        return sha256(json.dumps(texts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of calls. `cost_usd` is None where no price is known."""

    calls: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None

    def __add__(self, other: Usage) -> Usage:
        costs = [c for c in (self.cost_usd, other.cost_usd) if c is not None]
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.cached_tokens + other.cached_tokens,
            self.output_tokens + other.output_tokens,
            sum(costs) if costs else None,
        )

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model said. `finish` is `length` when it was cut off, `content_filter` when withheld, and
    `repeated` when it was cut off by us because it said the same again and again.
    """

    text: str
    finish: Finish = "stop"
    usage: Usage = field(default_factory=lambda: Usage(calls=1))
    model: str = ""


class ReplyLost(CallFailed):
    """A reply did not arrive whole; `usage` is what was asked and read of it all the same.

    `again` says whether the same question may have better luck.
    """

    def __init__(self, sentence: str, usage: Usage, *, again: bool = True) -> None:
        super().__init__(sentence)
        self.usage = usage
        self.again = again


class CallDropped(asyncio.CancelledError):
    """A call was cancelled after it had been sent; `usage` is what it has cost by then."""

    def __init__(self, usage: Usage) -> None:
        super().__init__()
        self.usage = usage


class Model(Protocol):
    """Who writes."""

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask once. Raises `ModelError` (the job ends) or `CallFailed` (this call is lost).

        Cancelled after the question was sent, it raises `CallDropped`.
        """
        ...


class OpenModel(Model, Protocol):
    """A model that holds connections until it is closed."""

    async def aclose(self) -> None:
        """Close every connection; nothing can be asked afterwards."""
        ...
