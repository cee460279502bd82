"""Who runs a folder's tests: its interpreter, inside this machine's sandbox."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial

from soa_agents.jobs.relevant import Remembering
from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.actions import Stop
from soa_agents.swarm.state import State
from soa_agents.verify.aside import aside
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter, find
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.probe import agreed
from soa_agents.verify.report import Selection, TestRunner


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The runner of one folder, over the open buffers, and the interpreter it uses."""

    runner: TestRunner
    interpreter: Interpreter
    ladder: Ladder | None = None

    def warm_up(self, tests: Selection) -> None:
        """Get a test server ready for `tests` while the model still thinks."""
        if self.ladder is not None:
            self.ladder.warm_up(tests)

    async def accepted(self, state: State, stop: Stop) -> None:
        """Remember what the tests of an accepted candidate ran."""
        if isinstance(self.runner, Remembering) and stop.accepted and state.job.kind != "stubs":
            await self.runner.accepted(state, stop)

    async def close(self) -> None:
        """Return when no test server is left."""
        if self.ladder is not None:
            await self.ladder.close()


async def open_laboratory(place: Workplace, path: str) -> Laboratory:
    """The laboratory of the folder that `path` lies in.

    Raises `NoPytest` or `NoSandbox`, with the sentence that says what to do.
    """
    start, folder = place.start, place.folder_of(path)
    tests = start.settings.tests
    sandbox = await aside(partial(agreed, tests.sandbox, start.sandbox_consent))
    tests = replace(tests, sandbox=sandbox)
    interpreter = await aside(
        partial(find, folder.root, tests.interpreter, os.environ, start.interpreter_choice, tests.sandbox)
    )
    runner = ColdRunner.open(
        folder.root, interpreter, tests, start.settings.limits, place.snapshot.prefix(folder)
    )
    ladder = Ladder(runner, start.buffers)
    return Laboratory(Remembering(ladder, place), interpreter, ladder)
