"""Jobs for measurements: a function that adds up what many helpers return, and the replies that write it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.playground import Expressions
from soa_agents.jobs import run_job
from soa_agents.jobs.laboratory import Laboratory, OpenLaboratory
from soa_agents.jobs.workplace import Workplace
from soa_agents.settings import Limits, ModelSettings, Settings
from soa_agents.swarm.events import ActionStarted, Event, Replied
from soa_agents.swarm.job import AgentUpdate, FolderRef, JobResult, StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.verify.interpreter import Interpreter

SERVER = Path(__file__).parents[1] / "openai_server.py"
PATH = "shop.py"
NOBODY = Interpreter(Path("python"), "", "3", "8")  # where tests are run in this process


@dataclass(frozen=True)
class Sums:
    """`total(n)` adds up what `parts` helpers return for `n`; the first `wrong` of them are wrong at first.

    With `examples` the helpers have doctests.
    """

    parts: int
    wrong: int = 0
    examples: bool = False

    @property
    def text(self) -> str:
        """The module before the job."""
        said = f"{self.parts} times `n`, and something for each."
        return f'"""A shop."""\n\n\ndef total(n):\n    """{said}"""\n    ...\n'

    @property
    def check(self) -> str:
        """What must be true of it."""
        return f"total(2) == {sum(2 + part for part in range(self.parts))}"

    def replies(self, seconds: float, chunks: int = 20) -> Mapping[str, Any]:
        """The script of the model, each reply taking so many seconds to arrive."""

        def say(text: str) -> Mapping[str, Any]:
            pieces = -(-len(text) // -(-len(text) // chunks))  # a short text has fewer
            step = seconds / pieces
            return {"text": text, "chunks": pieces, "delay": step, "chunk_delay": step}

        def block(code: str) -> Mapping[str, Any]:
            return say(f"```python\n{code}\n```")

        names = [f"_part_{part}" for part in range(self.parts)]
        stubs = "".join(f"\n\n\n{self._helper(part, '...')}" for part in range(self.parts))
        mother = f"def total(n):\n    return {' + '.join(f'{name}(n)' for name in names)}{stubs}"
        mended = mother.replace("    return ", "    # Every part by itself.\n    return ", 1)
        script = {
            f"{PATH}::total": {
                "skeleton": [block(mother)],
                "feedback": [say("The parts do not add up: some of them return something else. " * 4)],
                "modify": [block(mended)],
            }
        }
        for part, name in enumerate(names):
            good = self._helper(part, f"return n + {part}")
            bad = self._helper(part, f"return n * {part + 7}")
            test = f"from shop import {name}\n\n\ndef test_part():\n    assert {name}(3) == {3 + part}"
            script[f"{PATH}::{name}"] = {
                "code": [block(bad if part < self.wrong else good)],
                "tests": [block(test)],
                "feedback": [say(f"It returns something else than n and {part}. " * 4)],
                "modify": [block(good)],
            }
        return script

    def _helper(self, part: int, body: str) -> str:
        shown = f"\n\n    >>> _part_{part}(2)\n    {2 + part}\n    " if self.examples else ""
        return f'def _part_{part}(n):\n    """`n` and {part}.{shown}"""\n    {body}'

    def lay(self, root: Path) -> Path:
        """The workspace on the disk."""
        (root / "tests").mkdir(parents=True)
        (root / PATH).write_text(self.text)
        test = f"from shop import total\n\n\ndef test_total():\n    assert {self.check}\n"
        (root / "tests/test_shop.py").write_text(test)
        return root


@contextlib.contextmanager
def served(replies: Mapping[str, Any], folder: Path) -> Iterator[str]:
    """The model's server in a process of its own; its address."""
    script = folder / "replies.json"
    script.write_text(json.dumps(replies))
    command = [sys.executable, str(SERVER), str(script)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["base_url"]
        finally:
            process.stdin.close()


def start(root: Path, base_url: str, job: str, limits: Limits) -> StartJob:
    """The job that writes `total`."""
    settings = Settings(model=ModelSettings(name="test-model", base_url=base_url), limits=limits)
    folders = (FolderRef(root.name, str(root)),)
    return StartJob(job, "generate", folders, (f"{PATH}::total",), settings, {})


def played(check: str) -> OpenLaboratory:
    """For jobs whose one test is an expression."""

    async def laboratory(place: Workplace, path: str) -> Laboratory:
        tests = {"tests/test_shop.py::test_total": check}
        return Laboratory(Expressions(path, place.text(path), tests), NOBODY)

    return laboratory


@dataclass(frozen=True)
class Job:
    """A job that ended: its result, its log, and the processor time from its first call to its end."""

    result: JobResult
    events: tuple[Event, ...]
    cpu: float

    @property
    def started(self) -> tuple[ActionStarted, ...]:
        """The calls and test runs in the order they began."""
        return tuple(e for e in self.events if isinstance(e, ActionStarted))

    @property
    def calls(self) -> int:
        """Model calls that were answered."""
        return sum(isinstance(e, Replied) for e in self.events)

    @property
    def asked(self) -> float:
        """Seconds in which at least one call was open."""
        ends = {e.key: e.time for e in self.events if isinstance(e, Replied)}
        total, until = 0.0, 0.0
        for event in self.started:  # in order of time
            if event.key in ends:
                total += max(0.0, ends[event.key] - max(event.time, until))
                until = max(until, ends[event.key])
        return total

    @property
    def wall(self) -> float:
        """Seconds from the first call to the end."""
        return self.events[-1].time - self.started[0].time


async def write(job: StartJob, laboratories: OpenLaboratory | None = None) -> Job:
    """Run a job in this process to its end, with its tests in the sandbox where nobody else runs them."""
    began = 0.0

    def heard(update: object) -> None:
        nonlocal began
        if isinstance(update, AgentUpdate) and not began:
            began = time.process_time()

    result = await run_job(job, "sk-bench", heard, asyncio.Event(), None, laboratories)
    cpu = time.process_time() - began
    return Job(result, log_of(Path(job.folders[0].root), job.job_id), cpu)


def log_of(root: Path, job_id: str) -> tuple[Event, ...]:
    """What the ledger has of a job."""
    with contextlib.closing(Ledger.of(root)) as ledger:
        return tuple(ledger.events(job_id))
