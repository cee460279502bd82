"""Reading what a model's server sends, chunk by chunk or whole. Pure: decoded JSON in, a `Reply` out."""

from __future__ import annotations

from typing import Any, Literal

from soa_agents.models import faults, metered
from soa_agents.models.faults import Endpoint
from soa_agents.models.port import Prompt, Reply, Usage
from soa_agents.settings import Price


class Gathered:
    """What has arrived of one reply, whether in chunks or as one completion."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._finish = ""
        self._model = ""
        self._usage: dict[str, Any] = {}
        self._answered = False

    def add(self, part: object) -> None:
        """Take one chunk or completion; None is a sign of life.

        Raises `ModelError` or `CallFailed` when it is the server's error, `ValueError` when it is neither.
        """
        if part is None:
            return
        if not isinstance(part, dict):
            raise ValueError("no chat completion")
        if part.get("error"):
            raise faults.refusal(self._endpoint, 400, part["error"])
        self._model = str(part.get("model") or self._model)
        if isinstance(part.get("usage"), dict):
            self._usage = part["usage"]
        choices = part.get("choices")
        if isinstance(choices, list) and choices:
            self._add_choice(choices[0])

    def _add_choice(self, choice: object) -> None:
        said = (choice.get("delta") or choice.get("message") or {}) if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(said, dict):
            raise ValueError("no chat completion")
        self._answered = True
        self._finish = str(choice.get("finish_reason") or self._finish)
        self._text.append(_content(said.get("content")))
        # Thinking is no part of the reply, but where nobody counts tokens it is part of the bill.
        self._thoughts.append(_content(said.get("reasoning_content") or said.get("reasoning")))
        if said.get("refusal"):
            self._text.append(_content(said["refusal"]))
            self._finish = "content_filter"

    def reply(self, prompt: Prompt, price: Price | None, name: str) -> Reply:
        """The whole reply; `name` is the model asked. Raises `CallFailed` when no choice ever came."""
        if not self._answered:
            raise faults.lost(self._endpoint, "answered with no reply in it. Look at its log, or try again")
        text = whole("".join(self._text))
        return Reply(text, _finish(self._finish), self._counted(prompt, text, price), self._model or name)

    def _counted(self, prompt: Prompt, text: str, price: Price | None) -> Usage:
        read, written = _count(self._usage, "prompt_tokens"), _count(self._usage, "completion_tokens")
        if not read and not written:
            return metered.estimated(prompt, text + "".join(self._thoughts), price)
        details = self._usage.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
        return metered.one_call(read, written, cached, price)


def whole(text: str) -> str:
    """`text` as it can be encoded: halves of a sign that came in two chunks joined, lone ones replaced."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def model_names(listed: object) -> tuple[str, ...]:
    """The names in the answer to `GET /models`; empty when it has another form."""
    data = listed.get("data") if isinstance(listed, dict) else None
    entries = data if isinstance(data, list) else []
    return tuple(str(entry["id"]) for entry in entries if isinstance(entry, dict) and entry.get("id"))


def _content(content: object) -> str:
    """A message's content: text, or the text parts that some servers send."""
    if isinstance(content, list):
        return "".join(_content(part.get("text")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: dict[str, Any], name: str) -> int:
    count = usage.get(name)
    return int(count) if isinstance(count, int | float) and count > 0 else 0


def _finish(reason: str) -> Literal["stop", "length", "content_filter"]:
    if reason in ("length", "max_tokens"):
        return "length"
    return "content_filter" if reason == "content_filter" else "stop"
