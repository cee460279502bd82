"""Writing down what a model says, and saying it again without the model.

A recording is a file of JSON lines. The first says what it is: `{"soa_recording": 1, "recorded_from": …,
"date": …}`; each further one is one call with the prompt's digest, target, step, reply, usage, model and
date. Prompts are not kept: they hold the workspace's code, and a digest is enough to find the reply.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from soa_agents.errors import ModelError
from soa_agents.models.port import Model, Prompt, Reply, Usage

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Recording:
    """The first line of a recording: what spoke, and on which day (ISO date)."""

    recorded_from: str
    date: str


class RecordingModel:
    """A `Model` that passes on to `inner` and appends each reply to `path`, which it creates where needed.

    `recorded_from` is what a person is told spoke here, such as "a language model". `today` gives the ISO
    date.
    """

    def __init__(
        self,
        inner: Model,
        path: Path,
        recorded_from: str = "a language model",
        today: Callable[[], str] = lambda: datetime.now(UTC).date().isoformat(),
    ) -> None:
        self._inner = inner
        self._path = path
        self._recorded_from = recorded_from
        self._today = today

    async def ask(self, prompt: Prompt) -> Reply:
        """Ask `inner`; what it raises is not recorded."""
        reply = await self._inner.ask(prompt)
        self._append(
            {"digest": prompt.digest, "target": prompt.target, "step": prompt.step}
            | asdict(reply)
            | {"date": self._today()}
        )
        return reply

    def _append(self, call: dict[str, Any]) -> None:
        first = {"soa_recording": FORMAT, "recorded_from": self._recorded_from, "date": self._today()}
        with self._path.open("a", encoding="utf-8", newline="\n") as file:
            for line in [call] if file.tell() else [first, call]:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


class RecordedModel:
    """A `Model` that replays the recording at `path`.

    A prompt that was recorded gets its reply, however often it is asked. Another prompt, as after a change of
    the templates, gets the next reply recorded for its target and step, and keeps it. Raises `ModelError` if
    the file cannot be read, or when a call is asked for that it does not hold.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.recording, calls = _read(path)
        self._by_digest: dict[str, Reply] = {}
        self._waiting: dict[tuple[str, str], list[str]] = {}  # digests not given yet
        for call in calls:
            if call["digest"] not in self._by_digest:
                self._by_digest[call["digest"]] = _reply(call)
                self._waiting.setdefault((call["target"], call["step"]), []).append(call["digest"])

    async def ask(self, prompt: Prompt) -> Reply:
        """The recorded reply with its recorded usage."""
        waiting = self._waiting.get((prompt.target, prompt.step), [])
        if prompt.digest not in self._by_digest:
            if not waiting:
                raise ModelError(
                    f"The recording {self._path.name} holds no further reply for step {prompt.step} of "
                    f"{prompt.target}. Record it again with a model."
                )
            self._by_digest[prompt.digest] = self._by_digest[waiting.pop(0)]
        elif prompt.digest in waiting:
            waiting.remove(prompt.digest)
        return self._by_digest[prompt.digest]


def _read(path: Path) -> tuple[Recording, list[dict[str, Any]]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # replies hold other line separators
        first, *calls = (json.loads(line) for line in lines if line.strip())
        if first["soa_recording"] != FORMAT:
            raise ValueError("another format")
        return Recording(first["recorded_from"], first["date"]), calls
    except OSError as error:
        raise ModelError(f"The recording {path} cannot be read ({error.strerror}).") from None
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path} is no recording that this version reads. Record it again.") from None


def _reply(call: dict[str, Any]) -> Reply:
    return Reply(call["text"], call["finish"], Usage(**call["usage"]), call["model"])
