"""Who runs a benchmark's tests: a test server for the jobs of one problem, and one for all official tests.

A job of its own would find an interpreter, start a server and run the unchanged tests, which says the same
under every protocol. Here that is done once, before the clock of the first job starts. Candidates are run as
in any job: in the server while they are tried, in a new process before they are offered.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from soa_agents.bench.problems import MODULE, Problem
from soa_agents.errors import SoaError
from soa_agents.jobs.laboratory import Laboratory, OpenLaboratory
from soa_agents.jobs.prepare import prepare
from soa_agents.jobs.relevant import Remembering
from soa_agents.jobs.workplace import Workplace, open_workplace
from soa_agents.settings import Settings
from soa_agents.swarm.job import FolderRef, StartJob
from soa_agents.verify.aside import aside
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import Interpreter
from soa_agents.verify.ladder import Ladder
from soa_agents.verify.report import Overlay, Report, Selection, TestRunner
from soa_agents.workspace.ids import FunctionId

_OFFICIAL = "test_official.py"


def lay(root: Path, files: Mapping[str, str]) -> None:
    """Write files into a folder; what is there already stays untouched, and a server need not start anew."""
    for name, text in files.items():
        path = root / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Room:
    """Runs the tests of one problem's jobs, whichever folders these have: their files are the same."""

    ladder: Ladder
    runner: TestRunner

    async def laboratory(self, place: Workplace, path: str) -> Laboratory:
        """What a job works with; closing it leaves the room open."""
        return Laboratory(Remembering(self.runner, place), self.ladder.cold.interpreter)


@asynccontextmanager
async def room(
    root: Path, problem: Problem, settings: Settings, interpreter: Interpreter
) -> AsyncIterator[OpenLaboratory]:
    """The problem's room, with the unchanged tests run and a server warm; closed at the end."""
    lay(root, problem.files())
    ladder = Ladder(ColdRunner.open(root, interpreter, settings.tests, settings.limits))
    here = Room(ladder, Unchanged(ladder))
    folders = (FolderRef(root.name, str(root)),)
    start = StartJob(f"room-{problem.name}", "generate", folders, (problem.function,), settings, {})
    try:
        place = await aside(partial(open_workplace, start))
        laboratory = await here.laboratory(place, MODULE)
        with contextlib.suppress(SoaError):  # each job will say so itself
            target = FunctionId.parse(problem.function)
            prepared = await prepare(place, laboratory.runner, [target], settings.protocol)
            shown = [target] if prepared.started.targets[0].has_examples else []
            tests = Selection(prepared.started.targets[0].tests, tuple(shown))
            await ladder.run(
                {MODULE: problem.files()[MODULE]}, tests
            )  # the stub as a candidate: a server starts
        yield here.laboratory
    finally:
        await ladder.close()


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A TestRunner that makes each run with nothing laid over the disk once."""

    runner: TestRunner
    _known: dict[Selection, Report] = field(default_factory=dict)

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Run `tests`, or tell what they said."""
        if overlay:
            return await self.runner.run(overlay, tests)
        if tests not in self._known:
            self._known[tests] = await self.runner.run(overlay, tests)
        return self._known[tests]


@dataclass(frozen=True, slots=True)
class Judge:
    """Runs official tests. The server has loaded none of them: a child loads the one it is asked for."""

    ladder: Ladder

    @classmethod
    def of(
        cls, root: Path, problems: Collection[Problem], settings: Settings, interpreter: Interpreter
    ) -> Judge:
        """A judge of these problems, in a folder that no job sees."""
        files = {_OFFICIAL: _ASKED.format(names=[_module(each) for each in problems]), "conftest.py": ""}
        files |= {f"official_{_module(each)}.py": each.official(_module(each)) for each in problems}
        lay(root, files)
        return cls(Ladder(ColdRunner.open(root, interpreter, settings.tests, settings.limits)))

    async def report(self, problem: Problem, text: str) -> Report:
        """What the problem's official tests say of a module with that text. Raises `NoSandbox`."""
        name = _module(problem)
        asked = Selection(tests=(f"{_OFFICIAL}::test_official[{name}]",), recorded=False)
        return await self.ladder.run({f"{name}.py": text}, asked)

    async def passes(self, problem: Problem, text: str) -> bool:
        """Whether that says that it is right."""
        report = await self.report(problem, text)
        return bool(report.tests) and all(each.passed for each in report.tests)

    async def close(self) -> None:
        """Return when no server is left."""
        await self.ladder.close()


_ASKED = """\
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", {names})
def test_official(name):
    import_module(f"official_{{name}}").test_official()
"""


def _module(problem: Problem) -> str:
    return problem.name.replace("-", "_")
