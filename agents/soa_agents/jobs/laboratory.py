"""Who runs a folder's tests: its interpreter, inside this machine's sandbox."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from soa_agents.errors import NoSandbox
from soa_agents.jobs.workplace import Workplace
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter, find
from soa_agents.verify.report import Overlay, Report, Selection, TestRunner


@dataclass(frozen=True, slots=True)
class OnBuffers:
    """A runner that lays the open buffers over the disk before anything else."""

    inner: TestRunner
    buffers: Overlay

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests` on the disk, the buffers over it and `overlay` over both."""
        return await self.inner.run({**self.buffers, **overlay}, tests)


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The runner of one folder and the interpreter it uses."""

    runner: TestRunner
    interpreter: Interpreter


async def open_laboratory(place: Workplace, path: str) -> Laboratory:
    """The laboratory of the folder that `path` lies in.

    Raises `NoPytest` or `NoSandbox`, with the sentence that says what to do.
    """
    start, folder = place.start, place.folder_of(path)
    tests = start.settings.tests
    if tests.sandbox == "scrubbed" and not start.sandbox_consent:
        raise NoSandbox(
            "soa.tests.sandbox is scrubbed, so model-written code would run without a sandbox, and nobody "
            "agreed to that for this workspace. Allow it when asked, or set it back to strict."
        )
    interpreter = await asyncio.to_thread(
        find, folder.root, tests.interpreter, os.environ, start.interpreter_choice, tests.sandbox
    )
    runner = ColdRunner.open(
        folder.root, interpreter, tests, start.settings.limits, place.snapshot.prefix(folder)
    )
    return Laboratory(OnBuffers(runner, start.buffers), interpreter)
