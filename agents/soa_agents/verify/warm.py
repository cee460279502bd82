"""One test server as the engine sees it: started in the jail, asked again and again, gone without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from soa_agents.verify import records
from soa_agents.verify.cold import Asked, ColdRunner
from soa_agents.verify.sandbox import Command, Jailed, jailed

Kind = Literal["swap", "fresh"]
# How one request ended. `done`: the lines tell everything. `refused`: a swap would not equal a cold run.
# `process`: a test started a process. The others: nothing can be said.
End = Literal["done", "refused", "process", "stuck", "died", "flood", "failed"]
_FOR_EVER = 10.0**9  # seconds; the engine ends its servers itself
_AT_ONCE = 1 << 16  # bytes that an empty pipe takes
_QUIET = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Unfit(Exception):
    """This project cannot be served like this; the text says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a server is started with: the runner it serves for, what lies over the disk, and what it loads."""

    cold: ColdRunner
    kind: Kind
    base: Mapping[str, bytes]
    named: tuple[str, ...]  # the files it collects
    examples: tuple[str, ...] = ()  # those of them that are there for their docstring examples
    modules: tuple[str, ...] = ()  # what a fresh one loads ahead

    def command(self, requests: int) -> Command:
        """The command that starts the server, reading from the pipe `requests`."""
        fresh = self.kind == "fresh"
        arguments = self.cold.arguments(() if fresh else self.named)
        request = self.cold.request(Asked(None, {name: [] for name in self.examples}))
        quiet = [name for name in _QUIET if name not in os.environ]
        variables = {
            **dict.fromkeys(quiet, "1"),
            "SOA_QUIET": " ".join(quiet),
            "SOA_MEGABYTES": str(self.cold.limits.memory_mb // 2),
        }
        if fresh:
            variables["SOA_FRESH"] = json.dumps(self.modules)
        return Command(
            interpreter=self.cold.interpreter.path,
            arguments=("-m", "pytest", *arguments),
            folder=self.cold.root,
            files=self.base,
            variables=variables,
            request=json.dumps(request),
            memory_mb=self.cold.limits.memory_mb,
            seconds=_FOR_EVER,
            requests=requests,
            copy_of=self.cold.copy_of,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: the plugin's lines, how it ended, and why."""

    lines: tuple[str, ...]
    end: End
    why: str = ""


@dataclass(slots=True)
class TestServer:
    """A running server. One request at a time; when it has died `ask` says so by None."""

    __test__ = False

    setup: Setup
    collected: records.Session = field(default_factory=records.Session)
    modules: tuple[str, ...] = ()
    process: int = 0  # of its launcher
    _running: Jailed | None = None
    _lines: AsyncIterator[bytes] | None = None
    _requests: int = -1
    _stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    _rests_on: dict[str, tuple[int, int]] = field(default_factory=dict)
    _asked: int = 0

    async def start(self) -> None:
        """Return when it is ready; raises `Unfit`."""
        began = time.time_ns()
        reading, self._requests = os.pipe()
        try:
            command = replace(self.setup.command(reading), bytecode=await self.setup.cold.kept_bytecode())
            self._running = await self._stack.enter_async_context(jailed(command, self.setup.cold.level))
        finally:
            os.close(reading)
        self._lines = self._running.results()
        told = await self._hear("ready", "unfit")
        if told is None:
            raise Unfit("it ends while it is collected")
        if told["kind"] == "unfit":
            raise Unfit(told["why"])
        self.modules = tuple(told["modules"])
        self._rests_on = {path: _state(path) for path in told["files"] if path not in self._laid_over()}
        if any(changed > began for changed, size in self._rests_on.values() if size >= 0):
            self._rests_on[""] = (0, 0)  # saved while it was read: never up to date
        self._running.rest()

    def _laid_over(self) -> set[str]:
        return {str(self.setup.cold.root / path) for path in self.setup.base}

    @property
    def stale(self) -> bool:
        """Whether something that it has read is no longer as it was."""
        return any(_state(path) != state for path, state in self._rests_on.items())

    async def ask(self, files: Mapping[str, bytes], asked: Asked) -> Answer | None:
        """Run what is `asked` with `files` laid over; None when the server is no more."""
        assert self._running is not None  # noqa: S101 - started before it is asked
        self._asked += 1
        request = {
            "id": self._asked,
            "files": {path: data.decode("latin-1") for path, data in files.items()},
            "wanted": asked.wanted,
            "doctests": asked.doctests,
            "recorded": asked.recorded,
            "named": self.setup.named,
        }
        self._running.work()
        try:
            await self._tell((json.dumps(request) + "\n").encode())
        except OSError:
            return None
        told = await self._hear("answer")
        self._running.rest()
        if told is None or told["id"] != self._asked:
            return None
        return Answer(tuple(told["lines"]), told["end"], told["why"])

    async def _tell(self, data: bytes) -> None:
        """Write to the server, whose pipe is empty between two requests: a thread costs as much again."""
        if len(data) <= _AT_ONCE:
            os.write(self._requests, data)
        else:
            await asyncio.to_thread(_write_all, self._requests, data)

    async def _hear(self, *kinds: str) -> dict[str, Any] | None:
        """The next line of these kinds; what the plugin tells meanwhile is kept. None at the end."""
        assert self._lines is not None  # noqa: S101 - as above
        async for line in self._lines:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if told.get("kind") in kinds:
                return dict(told)
            self.collected.add(line)
        return None

    async def output(self) -> str:
        """End it; the end of what it has printed."""
        assert self._running is not None  # noqa: S101 - as above
        self._running.kill()
        return (await self._running.ended()).output

    async def close(self) -> None:
        """Return when nothing of it runs any more."""
        if self._requests >= 0:
            os.close(self._requests)
            self._requests = -1
        await self._stack.aclose()


def _state(path: str) -> tuple[int, int]:
    """When something was changed and how big it is; of a folder only when names in it came or went."""
    try:
        found = os.stat(path)  # noqa: PTH116 - hundreds of them before each candidate
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, -1 if stat.S_ISDIR(found.st_mode) else found.st_size)


def _write_all(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]
