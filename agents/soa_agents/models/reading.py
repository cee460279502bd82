"""Reading what a model's server sends, chunk by chunk or whole. Pure: decoded JSON in, a `Reply` out."""

from __future__ import annotations

import sys
from typing import Any

from soa_agents.models import faults, metered
from soa_agents.models.endpoint import Endpoint
from soa_agents.models.port import Finish, Prompt, Reply, Usage
from soa_agents.settings import Price

LONGEST = 400_000  # characters of one reply, thinking included: no function needs more
_STRIDE = 2_000  # characters that arrive between two looks for repetition
_REPEATED = 4_000  # characters at the end that say the same again and again: that goes on for ever
_UNIT = 400  # characters of what is repeated, at most


class Gathered:
    """What has arrived of one reply, whether in chunks or as one completion; it may take `room` tokens."""

    def __init__(self, endpoint: Endpoint, room: int | None = None) -> None:
        self._endpoint = endpoint
        self._room = sys.maxsize if room is None else room
        self._chunks = 0  # that said something; many servers send each token by itself
        self._bytes = 0
        self._text: list[str] = []
        self._thoughts: list[str] = []
        self._finish = ""
        self._model = ""
        self._usage: dict[str, Any] = {}
        self._answered = False
        self._arrived = 0  # characters
        self._looked_at = 0  # so many had arrived at the last look for repetition
        self._tail = ""

    def add(self, part: object) -> None:
        """Take one chunk or completion; None is a sign of life.

        Raises `ModelError` or `CallFailed` when it is the server's error, `ValueError` when it is neither.
        """
        if part is None:
            return
        if not isinstance(part, dict):
            raise ValueError("no chat completion")
        if part.get("error"):
            raise faults.in_reply(self._endpoint, part["error"])
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
        text, thought = (
            _content(said.get("content")),
            _content(said.get("reasoning_content") or said.get("reasoning")),
        )
        self._text.append(text)
        # Thinking is no part of the reply, but where nobody counts tokens it is part of the bill.
        self._thoughts.append(thought)
        self._look(text + thought)
        self._chunks += bool(text or thought)
        self._bytes += len((text + thought).encode("utf-8", "surrogatepass"))
        if said.get("refusal"):
            self._text.append(_content(said["refusal"]))
            self._finish = "content_filter"

    def _look(self, said: str) -> None:
        """Whether the reply goes on without an end; looked for now and then, not at each token."""
        self._arrived += len(said)
        self._tail = (self._tail + said)[-_REPEATED:]
        if self._arrived - self._looked_at >= _STRIDE:
            self._looked_at = self._arrived
            if len(self._tail) == _REPEATED and period(self._tail):
                self._finish = "repeated"
            elif self._arrived > LONGEST:
                self._finish = "length"

    @property
    def endless(self) -> bool:
        """Whether nothing more need be read: the reply is too long already, or repeats itself for ever."""
        return self._arrived > LONGEST or self._finish == "repeated" or self._is_cut

    @property
    def _is_cut(self) -> bool:
        """Whether more is to come than there is room for."""
        return not self._finish and self._written > self._room

    @property
    def _written(self) -> int:
        """About how many tokens have arrived, thinking included."""
        counted = _count(self._usage, "completion_tokens")
        return counted or max(self._chunks, -(-self._bytes // metered.BYTES_PER_TOKEN))

    def reply(self, prompt: Prompt, price: Price | None, name: str) -> Reply:
        """The whole reply; `name` is the model asked. Raises `Broken` when no choice ever came."""
        if not self._answered:
            raise faults.lost(self._endpoint, "answered with no reply in it. Look at its log, or try again")
        text = whole("".join(self._text))
        shown = once(text) if self._finish == "repeated" else text
        finish = "length" if self._is_cut else self._finish
        return Reply(shown, _finish(finish), self.counted(prompt, price), self._model or name)

    def counted(self, prompt: Prompt, price: Price | None) -> Usage:
        """What the call cost, as far as it came."""
        read = _count(self._usage, "prompt_tokens")
        if not read and not _count(self._usage, "completion_tokens"):
            return metered.one_call(metered.prompt_tokens(prompt), self._written, 0, price)
        details = self._usage.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else 0
        return metered.one_call(read, self._written, cached, price)


def period(text: str) -> int:
    """After how many characters all of `text` says the same again, up to 400; 0 when it does not."""
    probe = text[-_UNIT:]
    before = text.rfind(probe, 0, len(text) - 1)
    step = len(text) - len(probe) - before
    return step if before >= 0 and step <= _UNIT and text[step:] == text[:-step] else 0


def once(text: str) -> str:
    """`text` up to where it begins to say the same again and again."""
    step = period(text[-_REPEATED:])
    end = len(text)
    while step and end > step and text[end - 1] == text[end - 1 - step]:
        end -= 1
    return text[:end]


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


def _finish(reason: str) -> Finish:
    if reason in ("length", "max_tokens"):
        return "length"
    return reason if reason in ("content_filter", "repeated") else "stop"  # type: ignore[return-value]  # narrowed
