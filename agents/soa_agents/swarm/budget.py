"""Limits, checked in one place, before the spending. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soa_agents.models.port import Message, Usage
from soa_agents.settings import Limits, Price

REPLY_TOKENS = 2_000  # what a reply is reserved at: whole functions with their helpers


@dataclass(frozen=True, slots=True)
class Reserved:
    """What calls in flight may still cost."""

    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Reserved) -> Reserved:
        return Reserved(self.calls + other.calls, self.tokens + other.tokens, self.cost_usd + other.cost_usd)


def estimate(messages: Sequence[Message], price: Price | None) -> Reserved:
    """What one call is expected to use at most: UTF-8 bytes / 3 for the prompt, and room for a reply."""
    prompt = prompt_tokens(messages)
    cost = (prompt * price.input + REPLY_TOKENS * price.output) / 1e6 if price else 0.0
    return Reserved(1, prompt + REPLY_TOKENS, cost)


def prompt_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a prompt takes."""
    return sum(len(m.content.encode()) for m in messages) // 3


def over(limits: Limits, spent: Usage, reserved: Reserved) -> str:
    """Which limit the spending with these reservations would pass: one sentence, or nothing."""
    if spent.calls + reserved.calls > limits.calls:
        return f"Stopped at {limits.calls} model calls (soa.limits.calls)."
    if spent.tokens + reserved.tokens > limits.tokens:
        return f"Stopped before {limits.tokens} tokens were used up (soa.limits.tokens)."
    cost = (spent.cost_usd or 0.0) + reserved.cost_usd
    if limits.cost_usd is not None and cost > limits.cost_usd:
        return f"Stopped before {limits.cost_usd:.2f} US dollars were spent (soa.limits.costUsd)."
    return ""


def late(limits: Limits) -> str:
    """The sentence for a job that ran out of time."""
    return f"Stopped after {limits.seconds:g} seconds (soa.limits.seconds)."
