"""What a call costs: an estimate of tokens where nobody counted, and the arithmetic of prices."""

from __future__ import annotations

from soa_agents.models.port import Prompt, Usage
from soa_agents.settings import Price

BYTES_PER_TOKEN = 3  # a cautious mean over code and prose: real tokenizers need fewer tokens


def estimate_tokens(text: str) -> int:
    """About how many tokens `text` takes: its UTF-8 bytes divided by three, rounded up."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def prompt_tokens(prompt: Prompt) -> int:
    """About how many tokens the messages of `prompt` take."""
    return sum(estimate_tokens(message.content) for message in prompt.messages)


def one_call(input_tokens: int, output_tokens: int, cached_tokens: int, price: Price | None) -> Usage:
    """The usage of one call. `cached_tokens` are part of `input_tokens`; without a price the cost is None."""
    cached = min(cached_tokens, input_tokens)
    cost = None
    if price is not None:
        cached_price = price.input if price.cached is None else price.cached
        fresh = input_tokens - cached
        cost = (fresh * price.input + cached * cached_price + output_tokens * price.output) / 1_000_000
    return Usage(1, input_tokens, cached, output_tokens, cost)


def estimated(prompt: Prompt, text: str, price: Price | None = None) -> Usage:
    """The usage of one call that asked `prompt` and got `text`, where the server did not count."""
    return one_call(prompt_tokens(prompt), estimate_tokens(text), 0, price)
