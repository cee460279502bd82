"""Jobs in processes of their own, killed where a test says.

`Mill` keeps a process that has everything imported and forks a child for each job. A child dies by SIGKILL
as soon as it has committed its n-th event, or whenever its time is up; else it gives the job's result back.
The workspace and the model's answers stand here too: a Mother, two Children, a red round, then green.

As a program (`Mill` starts it) it reads one JSON object a line and writes one a line.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai  # noqa: F401 - loaded before the first fork, not by every child
from agents.playground import Expressions
from openai_server import Answer, asked
from soa_agents import wire
from soa_agents.jobs import run, run_job
from soa_agents.jobs.laboratory import Laboratory
from soa_agents.jobs.workplace import Workplace
from soa_agents.settings import ModelSettings, Settings
from soa_agents.swarm.events import ActionStarted, Event, Replied
from soa_agents.swarm.job import FolderRef, JobResult, StartJob
from soa_agents.swarm.ledger import Ledger
from soa_agents.verify.interpreter import Interpreter

KEY = "sk-never-in-a-ledger"
SHOP = '''"""A shop."""


def total(items):
    """The sum of price times count, with one off for each hundred."""
    ...
'''
CHECKS = {"test_two": "total([(2, 4), (1, 1)]) == 9", "test_much": "total([(100, 2)]) == 198"}
TESTS = "from shop import total\n" + "".join(
    f"\n\ndef {name}():\n    assert {check}\n" for name, check in CHECKS.items()
)
MOTHER = '''def total(items):
    """The sum of price times count, with one off for each hundred."""
    return _less(sum(_line(item) for item in items))


def _line(item):
    """Price times count.

    >>> _line((2, 3))
    6
    """
    ...


def _less(amount):
    """The amount with one off for each hundred."""
    ...
'''
MENDED = MOTHER.replace(
    "return _less(sum(_line(item) for item in items))",
    "amount = sum(map(_line, items))\n    return _less(amount)",
)
LESS = "def _less(amount):\n    return amount"
CHECK_LESS = "from shop import _less\n\n\ndef test_hundred():\n    assert _less(100) == 99"
SCRIPT: Mapping[str, Mapping[str, str]] = {
    "total": {"skeleton": MOTHER, "modify": MENDED, "feedback": "The discount is missing."},
    "_line": {"code": "def _line(item):\n    return item[0] * item[1]"},
    "_less": {
        "code": LESS,
        "modify": f"{LESS} - amount // 100",
        "feedback": "Take one off for each hundred.",
        "tests": CHECK_LESS,
    },
}


def answer(request: dict[str, Any]) -> Answer:
    """A function of the prompt and of nothing else."""
    target, step = asked(request)
    text = SCRIPT[target.rpartition("::")[2]][step]
    return Answer(text if step == "feedback" else f"```python\n{text}\n```")


def lay(root: Path) -> Path:
    """The workspace, in an empty folder."""
    (root / "tests").mkdir(parents=True)
    (root / "shop.py").write_text(SHOP)
    (root / "tests/test_shop.py").write_text(TESTS)
    return root


def start(root: Path, base_url: str, job_id: str, *, resume: bool = False) -> StartJob:
    """The job that writes `total`."""
    settings = Settings(model=ModelSettings(name="m", base_url=base_url))
    folders = (FolderRef(root.name, str(root)),)
    return StartJob(job_id, "generate", folders, ("shop.py::total",), settings, {}, resume=resume)


def events(root: Path, job_id: str) -> list[Event]:
    """What the ledger has of a job."""
    ledger = Ledger.of(root)
    try:
        return list(ledger.events(job_id))
    finally:
        ledger.close()


def bought_twice(log: list[Event]) -> list[str]:
    """Keys for which the same question was paid for more than once."""
    question, paid = dict[str, int](), Counter[tuple[str, int]]()
    for event in log:
        if isinstance(event, ActionStarted):
            question[event.key] = event.attempt
        elif isinstance(event, Replied):
            paid[event.key, question[event.key]] += 1
    return [key for (key, _), times in paid.items() if times > 1]


@dataclass
class Mill:
    """A context manager that runs jobs one after the other; `real` tests run in the sandbox."""

    real: bool = True

    def __enter__(self) -> Mill:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "real" if self.real else "played"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def run(self, job: StartJob, *, events: int = 0, seconds: float = 0.0) -> JobResult | None:
        """The job's result; None when it was killed, after that many `events` or `seconds`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"job": wire.to_json(job), "events": events, "seconds": seconds}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        said = json.loads(self._process.stdout.readline())
        return wire.job_result(said) if said is not None else None


# -- the program


def _die_after(number: int) -> None:
    """End this process when it has committed that many events: from outside nobody could tell them apart."""
    append, done = Ledger.append, 0

    def counted(ledger: Ledger, job_id: str, event: Event) -> None:
        nonlocal done
        append(ledger, job_id, event)
        done += 1
        if done == number:
            os.kill(os.getpid(), signal.SIGKILL)

    Ledger.append = counted  # type: ignore[method-assign]  # the one place that every event passes


async def played(place: Workplace, path: str) -> Laboratory:
    """Tests as expressions in this process: where a job is killed matters here, not what runs its tests."""
    tests = {f"tests/test_shop.py::{name}": check for name, check in CHECKS.items()}
    return Laboratory(Expressions(path, place.text(path), tests), Interpreter(Path("python"), "", "3", "8"))


def play_tests() -> None:
    """Let the tests of this process's jobs be expressions."""
    run.open_laboratory = played


def _child(order: dict[str, Any], into: Path) -> None:
    _die_after(order["events"])
    job = wire.start_job(order["job"])
    result = asyncio.run(run_job(job, KEY, lambda update: None, asyncio.Event()))
    into.write_text(json.dumps(wire.to_json(result)))


def _watch(child: int, seconds: float) -> bool:
    """Wait for the child; whether it was killed."""
    until = time.monotonic() + seconds if seconds else None
    while True:
        gone, status = os.waitpid(child, 0 if until is None else os.WNOHANG)
        if gone:
            return os.WIFSIGNALED(status)
        if until is not None and time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
            until = None
        time.sleep(random.random() / 1000)


def main() -> None:
    if sys.argv[1] == "played":
        play_tests()
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(sys.stdin):
            said = Path(folder) / str(number)  # no pipe: a child may also be killed when it has answered
            child = os.fork()
            if not child:
                try:
                    _child(json.loads(line), said)
                except BaseException:
                    traceback.print_exc()
                os._exit(0)
            killed = _watch(child, json.loads(line)["seconds"])
            print("null" if killed else said.read_text(), flush=True)


if __name__ == "__main__":
    main()
