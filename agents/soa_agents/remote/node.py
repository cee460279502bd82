"""What runs on a node: the workspaces that were sent there, and their tests in the node's own sandbox.

It is an ordinary class; `cluster` makes an actor of it. Refusals go back as sentences, not as exceptions: a
cluster wraps those in its own.
"""

from __future__ import annotations

import asyncio
import os
import platform
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from soa_agents.errors import SoaError
from soa_agents.remote.home import Home
from soa_agents.remote.parcel import Parcel
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify import interpreter
from soa_agents.verify.aside import aside
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Overlay, Report, Selection


@dataclass(frozen=True, slots=True)
class Bench:
    """One folder's tests, as its person runs them: where the folder lies there, what runs the tests, and the
    open buffers that lie over the disk in every run. `digest` names the parcel that holds the folder."""

    digest: str
    root: Path
    interpreter: Interpreter
    tests: TestSettings
    limits: Limits
    prefix: str
    base: Overlay


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a node cannot do what it was asked for: one sentence."""

    sentence: str


def versions() -> str:
    """What driver and nodes must have in common."""
    return f"SoA {version('soa-language-server')} on Python {platform.python_version()}"


class Node:
    """A node's part. `slots` test runs go at once; `alone` it has a process of its own.

    All that it writes lies in a folder that goes with it.
    """

    def __init__(self, slots: int, *, alone: bool = False) -> None:
        self._slots = slots
        self._home = Home.new()
        if alone:
            self._home.take_over()
        self._folders: dict[str, Path] = {}
        self._receiving = asyncio.Lock()
        self._ladders: dict[int, Ladder] = {}

    async def versions(self) -> str:
        """What is installed here."""
        return versions()

    async def has(self, digest: str) -> bool:
        """Whether that parcel is here already."""
        return digest in self._folders

    async def receive(self, parcel: Parcel) -> None:
        """Unpack what has come."""
        async with self._receiving:
            if parcel.digest not in self._folders:
                place = self._home.folder / parcel.digest
                self._folders[parcel.digest] = await aside(partial(parcel.unpack, place))

    async def open(self, number: int, bench: Bench) -> Refusal | None:
        """Get ready to run tests of a bench whose parcel is here; `number` names it from now on."""
        try:
            return await self._open(number, bench)
        except SoaError as error:
            return Refusal(str(error))

    async def _open(self, number: int, bench: Bench) -> Refusal | None:
        root, known = self._folders[bench.digest], bench.interpreter
        tests = replace(bench.tests, sandbox="strict")  # going without was agreed to for another machine
        if not known.path.exists():
            return Refusal(f"it has no {known.path}, which runs this workspace's tests")
        found = await aside(partial(interpreter.find, root, str(known.path), os.environ))
        if (found.version, found.pytest_version) != (known.version, known.pytest_version):
            return Refusal(
                f"its {known.path} is Python {found.version} with pytest {found.pytest_version}, here it is "
                f"Python {known.version} with pytest {known.pytest_version}"
            )
        cold = await aside(partial(ColdRunner.open, root, found, tests, bench.limits, bench.prefix))
        self._ladders[number] = Ladder(replace(cold, copy_of=bench.root), bench.base, self._slots)
        return None

    async def run(self, number: int, overlay: Overlay, tests: Selection, name: str) -> Report | Refusal:
        """One test run. Cancelling it ends its processes at once. `name` is for Ray's log of this process."""
        try:
            report = await self._ladders[number].run(overlay, tests)
        except SoaError as error:
            return Refusal(str(error))
        passed = sum(each.passed for each in report.results)
        print(f"{name}: {passed} of {len(report.results)} pass, {report.seconds:.2f} s", flush=True)
        return report

    async def warm_up(self, number: int, tests: Selection) -> None:
        """Begin to start a server for `tests`."""
        self._ladders[number].warm_up(tests)

    async def done(self, number: int) -> None:
        """Nobody runs tests of that bench any more."""
        ladder = self._ladders.pop(number, None)
        if ladder is not None:
            await ladder.close()

    async def close(self) -> None:
        """Leave nothing here."""
        for number in list(self._ladders):
            await self.done(number)
        await aside(self._home.remove)
