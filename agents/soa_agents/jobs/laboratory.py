"""Who runs a folder's tests: its interpreter, in the sandbox of this machine or of a cluster's nodes."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from soa_agents.jobs.relevant import Remembering
from soa_agents.jobs.workplace import Workplace
from soa_agents.swarm.actions import Stop
from soa_agents.swarm.state import State
from soa_agents.verify.aside import aside
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter, find
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.onward import Onward
from soa_agents.verify.probe import agreed
from soa_agents.verify.report import Selection, TestRunner


class Machine(TestRunner, Protocol):
    """A TestRunner that keeps something between runs: this machine's `Ladder`, or a `RemoteRunner`."""

    @property
    def at_once(self) -> int:
        """How many runs go at once."""
        ...

    def warm_up(self, tests: Selection) -> None:
        """Get ready for `tests`."""
        ...

    async def close(self) -> None:
        """Return when nothing of it runs any more."""
        ...


@dataclass(frozen=True, slots=True)
class Laboratory:
    """The runner of one folder, over the open buffers, and the interpreter it uses."""

    runner: TestRunner
    interpreter: Interpreter
    machine: Machine | None = None

    @property
    def at_once(self) -> int:
        """How many test runs go at once."""
        return self.machine.at_once if self.machine is not None else 2

    def warm_up(self, tests: Selection) -> None:
        """Get a test server ready for `tests` while the model still thinks."""
        if self.machine is not None:
            self.machine.warm_up(tests)

    async def accepted(self, state: State, stop: Stop) -> None:
        """Remember what the tests of an accepted candidate ran."""
        if isinstance(self.runner, Remembering) and stop.accepted and state.job.kind != "stubs":
            await self.runner.accepted(state, stop)

    async def close(self) -> None:
        """Return when no test server is left."""
        if self.machine is not None:
            await self.machine.close()


OpenLaboratory = Callable[[Workplace, str], Awaitable[Laboratory]]  # of the folder that the path lies in


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
    return Laboratory(_over(ladder, place), interpreter, ladder)


def _over(machine: Machine, place: Workplace) -> TestRunner:
    """What a job asks for its test runs, over who runs them."""
    return Remembering(Onward(machine, place.start.settings.limits.seconds), place)


async def spread(laboratory: Laboratory, place: Workplace, say: Callable[[str], None]) -> Laboratory:
    """The same laboratory on the nodes of the cluster that the job names; `say` hears how they fare.

    Raises `UsageError` or `Refused`, with the sentence that says what to do.
    """
    from soa_agents.remote import on_cluster  # only where somebody asked for one

    if not isinstance(laboratory.machine, Ladder):
        return laboratory
    machine = await on_cluster(place.start.ray, laboratory.machine, say)
    return Laboratory(_over(machine, place), laboratory.interpreter, machine)
