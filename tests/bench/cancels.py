"""Whether a request ever leaves after a cancel, whether a process stays, and how long cancelling takes.

    python tests/bench/cancels.py [--cancels N] [--real N] [--seed N] [--json]

Jobs (a Mother, two Children, a red round, then green) are cancelled at random moments: by the message that
the editor's progress and `soa.cancel` come to, by the end of the engine's input, by Ctrl-C on the command
line. N of the messages meet jobs whose tests run in the sandbox, as do all on the command line; the tests of
the others are expressions.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from killable import answer, events, lay, play_tests, start
from openai_server import Answer, OpenAIServer
from soa_agents import __main__ as engine_main
from soa_agents import wire
from soa_agents.swarm.events import JobEnded

PLAYED = (sys.executable, __file__, "--engine")
REAL = (sys.executable, "-m", "soa_agents")
CLI = (sys.executable, "-c", "from soa_server.cli.main import main; main()", "generate", "shop.py::total")
PATIENCE = 30.0  # seconds after which something that does not end is taken not to


@dataclass
class Figures:
    """What came of all cancels together."""

    cancels: int = 0
    in_the_sandbox: int = 0
    by_end_of_input: int = 0
    by_interrupt: int = 0
    requests_before: int = 0
    requests_on_the_way: int = 0  # that reached the server between the cancel and the answer to it
    requests_after: int = 0  # that reached it later
    processes_left: int = 0  # a second after the answer
    other_ends: int = 0  # that the ledger does not call cancelled; after an end of input, interrupted
    seconds: list[float] = field(default_factory=list)  # from the cancel until the job had ended
    seconds_gone: list[float] = field(default_factory=list)  # until no process of it was left


@dataclass(frozen=True)
class Times:
    """When a job was asked to end, when it had, and when no process of it was left."""

    asked: float
    ended: float
    gone: float


class Engine:
    """The engine's process, as the language server speaks to it."""

    def __init__(self, command: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def send(self, *messages: Mapping[str, Any]) -> None:
        """Write messages."""
        assert self._process.stdin is not None
        for message in messages:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def result(self) -> Mapping[str, Any]:
        """Read until a job's result."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said: Mapping[str, Any] = json.loads(line)
            if said["type"] == "result":
                return said
        raise EOFError("the engine ended without a result")

    def hang_up(self) -> None:
        """End its input and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()


@dataclass
class Bench:
    """One workspace, one model's server, and what was measured."""

    root: Path
    server: OpenAIServer
    chance: random.Random
    figures: Figures = field(default_factory=Figures)
    jobs: int = 0
    times: dict[str, Times] = field(default_factory=dict)  # of the jobs that were cancelled

    @property
    def job(self) -> str:
        """The last job's id, and its model's name, so that the server can tell whose a request is."""
        return f"job-{self.jobs}"

    def messages(self, count: int, command: tuple[str, ...]) -> None:
        """Cancel that many jobs of one engine by a message."""
        engine = Engine(command)
        whole = self._whole(engine)
        wanted = self.figures.cancels + count
        while self.figures.cancels < wanted:
            self._begin(engine)
            time.sleep(self.chance.uniform(0, whole))
            result = dict[str, Any]()

            def end() -> None:
                engine.send({"type": "cancel", "jobId": self.job})
                result.update(engine.result())  # noqa: B023 - called here

            times = self._times(end, psutil.Process(engine.pid))
            if result["result"]["update"]["state"] == "cancelled":
                self._count(times, "cancelled")
                self.figures.in_the_sandbox += command == REAL
        engine.hang_up()

    def ends_of_input(self, count: int) -> None:
        """End the input of that many engines in the middle of a job."""
        engine = Engine(PLAYED)
        whole = self._whole(engine)
        for _ in range(count):
            self._begin(engine)
            time.sleep(self.chance.uniform(0, 0.8 * whole))
            times = self._times(engine.hang_up, psutil.Process(engine.pid))
            self.figures.by_end_of_input += self._count(times, "")
            engine = Engine(PLAYED)
            self._whole(engine)
        engine.hang_up()

    def interrupts(self, count: int, whole: float) -> None:
        """Press Ctrl-C in that many runs of the command line; their tests run in the sandbox."""
        for _ in range(count):
            self.jobs += 1
            seen = len(self.server.requests)
            model = {"OPENAI_BASE_URL": self.server.base_url, "SOA_MODEL": self.job, "OPENAI_API_KEY": "sk-x"}
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen(CLI, cwd=self.root, env=os.environ | model, **quiet)
            self.server.wait(lambda: len(self.server.requests) > seen, PATIENCE)  # noqa: B023 - waited for here
            time.sleep(self.chance.uniform(0, whole / 2))

            def end() -> None:
                process.send_signal(signal.SIGINT)  # noqa: B023 - called here
                process.wait(PATIENCE)  # noqa: B023

            times = self._times(end, psutil.Process(process.pid))
            if process.returncode == 130:
                self._count(times, None)
                self.figures.by_interrupt += 1
                self.figures.in_the_sandbox += 1

    def _whole(self, engine: Engine) -> float:
        """Let one job run to its end; how long that takes."""
        self._begin(engine)
        engine.result()  # loads what every later job finds loaded
        self._begin(engine)
        began = time.monotonic()
        engine.result()
        return time.monotonic() - began

    def _begin(self, engine: Engine) -> None:
        self.jobs += 1
        job = start(self.root, self.server.base_url, self.job)
        model = replace(job.settings.model, name=self.job)
        job = replace(job, settings=replace(job.settings, model=model))
        engine.send(
            {"type": "start", "job": wire.to_json(job)},
            {"type": "secret", "jobId": job.job_id, "value": "sk-x"},
        )

    def _times(self, end: Callable[[], object], process: psutil.Process) -> Times:
        """End a job, and look whether the children of its process go."""
        children, asked = process.children(recursive=True), time.monotonic()
        end()
        ended = time.monotonic()
        while any(map(lives, children)) and time.monotonic() < ended + 1.0:
            time.sleep(0.005)
        self.figures.processes_left += sum(map(lives, children))
        return Times(asked, ended, time.monotonic())

    def _count(self, times: Times, state: str | None) -> int:
        """Count a job that was cancelled, if it had not ended before: 1 or 0. Its ledger calls it `state`."""
        log = events(self.root, self.job) if state is not None else []
        last = log[-1].update.state if log and isinstance(log[-1], JobEnded) else ""
        if last == "done":
            return 0
        self.figures.other_ends += bool(log) and last != state
        self.figures.cancels += 1
        self.times[self.job] = times
        self.figures.seconds.append(times.ended - times.asked)
        self.figures.seconds_gone.append(times.gone - times.asked)
        return 1

    def close(self) -> Figures:
        """Wait for requests that left late, and count."""
        time.sleep(2.0)
        for request in self.server.requests:
            times = self.times.get(request.json["model"])
            if times is not None:
                self.figures.requests_before += request.time <= times.asked
                self.figures.requests_on_the_way += times.asked < request.time <= times.ended
                self.figures.requests_after += request.time > times.ended
        return self.figures


def lives(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and waits for the machine's init to notice does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def slow(said: Answer) -> Answer:
    """Replies that take a moment, so that cancels meet them in flight."""
    return Answer(said.text, delay=0.02, chunk_delay=0.02)


def measure(cancels: int, real: int, chance: random.Random) -> Figures:
    """Cancel that many jobs, `real` of them in the sandbox."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {name: f"{folder}/{name}" for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME")}
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
        root = lay(Path(folder) / "shop")
        with OpenAIServer(lambda request: slow(answer(request))) as server:
            bench = Bench(root, server, chance)
            few = max(1, cancels // 10)
            bench.messages(cancels - real - 2 * few, PLAYED)
            bench.ends_of_input(few)
            bench.messages(real, REAL)
            bench.interrupts(few, 2.0)
            return bench.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--real", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--engine", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        play_tests()
        engine_main.main()
        return
    figures = measure(options.cancels, options.real, random.Random(options.seed))
    told: dict[str, Any] = asdict(figures)
    for name in ("seconds", "seconds_gone"):
        times = sorted(told[name])
        told[name] = {"p50": round(times[len(times) // 2], 3), "most": round(times[-1], 3)}
    if options.json:
        print(json.dumps(told))
    else:
        for name, value in told.items():
            print(f"{name.replace('_', ' '):<20} {value}")
    sys.exit(bool(figures.requests_after or figures.processes_left or figures.other_ends))


if __name__ == "__main__":
    main()
