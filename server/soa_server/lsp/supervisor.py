"""Our own processes: the engine, started by the first job, and the indexer. Both die with the server.

The engine reads and writes JSON lines; the end of its stdin makes it stop. Each line to it is an object
with a `type` of `start`, `secret` or `cancel`, each line from it one of `job`, `agent`, `progress`, `result`
or `log`; the questions to the editor's model and their answers are those of `soa_agents.models.relayed`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ENGINE = (sys.executable, "-m", "soa_agents")
INDEXER = (sys.executable, "-m", "soa_agents.workspace.mapping")

LINE_LIMIT = 256 * 1024 * 1024  # bytes; a result carries whole texts
GRACE = 5.0  # seconds that the engine has to end its own children

logger = logging.getLogger(__name__)


class Engine:
    """The engine's process. `hear` gets every line of it, `died` is called when it ended unasked."""

    def __init__(
        self, command: Sequence[str], hear: Callable[[dict[str, Any]], None], died: Callable[[], None]
    ) -> None:
        self._command = command
        self._hear = hear
        self._died = died
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def send(self, *messages: dict[str, Any]) -> None:
        """Hand messages over in order, starting the process when none runs.

        Raises `OSError` when it cannot be started or has just ended.
        """
        async with self._starting:
            if self._process is None:
                await self._start()
        process = self._process
        if process is None or process.stdin is None:
            raise BrokenPipeError("the engine has ended")
        for message in messages:
            process.stdin.write(_line(message))
        await process.stdin.drain()

    def post(self, message: dict[str, Any]) -> None:
        """Write a message to the process that runs; without one it concerns nobody any more."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(_line(message))

    async def kill(self) -> None:
        """End the process now; `died` is called as for any other death."""
        if self._process is not None:
            _kill_group(self._process)

    async def close(self) -> None:
        """Let the process end by itself, and end it by force when it does not."""
        process, reading = self._process, self._reading
        if process is None:
            return
        self._process = None  # from now on its end is asked for
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), GRACE)
        except TimeoutError:
            _kill_group(process)
            await process.wait()
        if reading is not None:
            await reading

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT,
            start_new_session=True,  # a Ctrl-C in the server's terminal is the server's to handle
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None  # noqa: S101 - asked for above
        with contextlib.suppress(ValueError, OSError):  # a line beyond the limit, a broken pipe: its end
            while line := await process.stdout.readline():
                self._take(line)
                await asyncio.sleep(0)  # of a burst of lines each lets the editor's requests pass
        if process.returncode is None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
            _kill_group(process)
            await process.wait()
        if self._process is process:
            self._process = None
            logger.warning("the engine ended with exit code %s", process.returncode)
            self._died()

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._hear(message)
        else:
            logger.warning("the engine wrote a line that is no JSON object")


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


async def run_indexer(
    command: Sequence[str], cache: Path, folders: Sequence[Path], options: Sequence[str] = ()
) -> None:
    """Bring the index's cache up to the disk in a child process that ends by itself."""
    await _run([*command, "--cache", str(cache), *options, *map(str, folders)], None)


async def ask_indexer(
    command: Sequence[str], cache: Path, folders: Sequence[Path], question: dict[str, Any]
) -> Any:
    """The answer of a child process to a question about open documents; raises `ValueError` without one."""
    told = json.dumps(question).encode()
    said = await _run([*command, "--ask", "--cache", str(cache), *map(str, folders)], told)
    return await asyncio.to_thread(json.loads, said)


async def _run(command: Sequence[str], told: bytes | None) -> bytes:
    """What a child process prints when it is told something; it is killed when the caller is cancelled."""
    quiet, pipe = asyncio.subprocess.DEVNULL, asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=quiet if told is None else pipe,
        stdout=quiet if told is None else pipe,
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(told)
        return said or b""
    finally:
        if process.returncode is None:
            _kill_group(process)
            await process.wait()


def _kill_group(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
