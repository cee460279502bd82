"""Limits, checked in one place, before the spending. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from soa_agents.models.metered import one_call
from soa_agents.models.port import Message, Usage
from soa_agents.settings import Limits, Price
from soa_agents.swarm.actions import Ask
from soa_agents.swarm.state import State

REPLY_TOKENS = 2_000  # what a reply is reserved at least at: whole functions with their helpers
LONG_REPLY = 32_000  # what it may take where there is enough: thinking is part of it
SURELY = 1.5  # a prompt's tokens are surely fewer than so many times those expected of it


@dataclass(frozen=True, slots=True)
class Reserved:
    """What calls may still cost."""

    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def __add__(self, other: Reserved) -> Reserved:
        return Reserved(self.calls + other.calls, self.tokens + other.tokens, self.cost_usd + other.cost_usd)


@dataclass(frozen=True, slots=True)
class Call:
    """One call before it begins: what it is expected to take, what it may, and its reply's part of that."""

    likely: Reserved
    most: Reserved
    reply: int  # tokens


def reserve(
    state: State, messages: Sequence[Message], price: Price | None, flying: Reserved, wanted: int
) -> Call:
    """The reservation of one call of `wanted` that begin now, beside calls that may take `flying`.

    It is expected to take its prompt, and room for a reply like the longest by now. It may take its part of
    what the limits leave, but that much in any case: whether it fits is `over`'s to say.
    """
    price, least = price or Price(0.0, 0.0), max(REPLY_TOKENS, state.longest)
    prompt = prompt_tokens(messages) * calibration(state)
    likely = _call(math.ceil(prompt), least, price)
    prompt = math.ceil(prompt * SURELY)
    limits, spent = state.job.limits, state.spent
    rooms = [(limits.tokens - spent.tokens - flying.tokens) / wanted - prompt]
    if limits.cost_usd is not None and price.output:
        left = (limits.cost_usd - (spent.cost_usd or 0.0) - flying.cost_usd) / wanted
        rooms.append((left * 1e6 - prompt * price.input) / price.output)
    reply = max(least, math.floor(min(*rooms, max(LONG_REPLY, 2 * state.longest))))
    return Call(likely, _call(prompt, reply, price), reply)


def _call(prompt: int, reply: int, price: Price) -> Reserved:
    return Reserved(1, prompt + reply, (prompt * price.input + reply * price.output) / 1e6)


def unheard(state: State, key: str, price: Price | None) -> Usage:
    """What a call counts as of which nothing is known but that it was sent: what was expected of it."""
    prompt = math.ceil(state.keys[key].foreseen * calibration(state))
    return one_call(prompt, max(REPLY_TOKENS, state.longest), 0, price)


def calibration(state: State) -> float:
    """How many tokens the model counted for one that its prompts were estimated at; 1.0 before any reply."""
    counted = state.spent.input_tokens
    return counted / state.foreseen if counted and state.foreseen else 1.0


def prompt_tokens(messages: Sequence[Message]) -> int:
    """About how many tokens a prompt takes: UTF-8 bytes / 3, rather too many for code."""
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


def in_turn(state: State, asks: Sequence[Ask]) -> list[Ask]:
    """The asks in the order in which they may start: whose target, then whose agent was asked least often."""
    calls = {agent: usage.calls for agent, usage in state.spent_by.items()}
    of_root = Counter[str]()
    for agent, number in calls.items():
        of_root[state.root_of(agent)] += number
    return sorted(asks, key=lambda ask: (of_root[state.root_for(ask)], calls.get(ask.agent, 0)))


def used(state: State, reserved: Mapping[str, Reserved]) -> dict[str, Reserved]:
    """What each target has used, with what is `reserved`, by key, for its calls in flight."""
    amounts = {target.function: Reserved() for target in state.job.targets}
    for agent, usage in state.spent_by.items():
        amounts[state.root_of(agent)] += Reserved(usage.calls, usage.tokens, usage.cost_usd or 0.0)
    for key, amount in reserved.items():
        amounts[state.root_of(state.keys[key].action.agent)] += amount
    return amounts


def held(limits: Limits, amounts: Mapping[str, Reserved], claiming: Collection[str], root: str) -> bool:
    """Whether a target has had its share of a limit, and what is left is the share of others.

    `amounts` are those of every target, `claiming` the targets that may still ask.
    """
    others = [amounts[each] for each in claiming if each != root]
    for name in ("calls", "tokens", "cost_usd"):
        limit = getattr(limits, name)
        if limit is None:
            continue
        share, total = limit / len(amounts), sum(getattr(each, name) for each in amounts.values())
        owed = sum(max(0.0, share - getattr(each, name)) for each in others)
        if getattr(amounts[root], name) >= share and total + owed >= limit:
            return True
    return False


def late(limits: Limits) -> str:
    """The sentence for a job that ran out of time."""
    return f"Stopped after {limits.seconds:g} seconds (soa.limits.seconds)."
