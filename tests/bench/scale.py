"""4, 16, 64 and 256 agents on one job, for every protocol: what they wait for, and what they cost.

    python tests/bench/scale.py [--json] [--plot FILE] [--protocol P …] [--agents N …]

The model is `tests/openai_server.py` in a process of its own. Its replies take the same time whatever is
asked: two seconds; in `sequential`, where agents wait for each other, a quarter. Jobs are whole ones, each in
a process that has done one small job before, as a server's engine has from its second on. Their tests look
for what was to be written, in the engine's process, so that agents are measured and not pytest. Each job has
work for exactly so many agents:

mother_child                 a Mother and Children
single                       a function for each
planner_worker               a planner, and a worker for each of the other functions
teams                        all write the same function; only the last reply is right

`chain` is the longest chain of calls that wait for each other, `ratio` the wall from the first call to the
end over that many replies, `lag` how late the engine's loop was meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from lag import PROBE, told
from soa_agents import protocols
from soa_agents.jobs.laboratory import Laboratory, OpenLaboratory
from soa_agents.jobs.workplace import Workplace
from soa_agents.settings import Limits
from soa_agents.swarm.job import StartJob
from soa_agents.verify.report import Overlay, Report, Selection, TestResult
from soa_agents.workspace.ids import FunctionId
from soa_server.cli import charts
from sums import NOBODY, PATH, Job, Sums, served, start, write

SIZES = (4, 16, 64, 256)
LIMITS = Limits(calls=2_000, agents=400, tokens=50_000_000, parallel=256, rounds=1)
_EACH = 8  # functions in a file
_BODY = "\n    return "
Script = dict[str, dict[str, list[Any]]]


@dataclass(frozen=True)
class Work:
    """What a job has to do: its files and targets, what the model says, what each test looks for.

    `wanted` names by test the function that it runs and the text that makes it pass.
    """

    files: Mapping[str, str]
    targets: tuple[str, ...]
    script: Script
    wanted: Mapping[str, tuple[FunctionId, str]]
    chain: int
    seconds: float = 2.0


@dataclass(frozen=True)
class Looking:
    """A TestRunner whose tests pass when a text is there."""

    place: Workplace
    wanted: Mapping[str, tuple[FunctionId, str]]

    async def run(self, overlay: Overlay, tests: Selection) -> Report:
        """Look for what the tests want."""
        await asyncio.sleep(0)
        names = self.wanted if tests.everything else [t for t in tests.tests if t in self.wanted]
        return Report(tuple(self._result(overlay, name) for name in names))

    def _result(self, overlay: Overlay, name: str) -> TestResult:
        function, text = self.wanted[name]
        found = text in overlay.get(function.path, "")
        return TestResult(name, "passed" if found else "failed", message="not there", ran=(function,))


def mother(agents: int) -> Work:
    """A Mother who leaves all parts to Children."""
    sums = Sums(agents - 1)
    test = "tests/test_shop.py::test_total"
    files = {PATH: sums.text, "tests/test_shop.py": _test("shop", "total")}
    wanted = {test: (FunctionId(PATH, "total"), f"return n + {agents - 2}\n")}
    return Work(files, (f"{PATH}::total",), dict(sums.replies(2.0, 1)), wanted, 2)


def functions(count: int, planned: bool) -> Work:
    """A function for each agent, in files of a few; with a planner who leaves them all to workers."""
    files: dict[str, str] = {}
    targets: list[str] = []
    script: Script = {}
    wanted: dict[str, tuple[FunctionId, str]] = {}
    for number in range(count):
        module, name = f"part_{number // _EACH}", f"work_{number}"
        path, head = f"{module}.py", f'def {name}(n):\n    """`n` and {number}."""\n'
        files[path] = f"{files.get(path, '')}{head}    ...\n\n\n"
        tests = f"tests/test_{module}.py"
        files[tests] = files.get(tests, "") + _test(module, name)
        targets.append(f"{path}::{name}")
        right = _block(f"{head}    return n + {number}")
        script[targets[-1]] = {step: [_say(right)] for step in ("skeleton", "code")}
        wanted[f"{tests}::test_{name}"] = (FunctionId(path, name), f"return n + {number}\n")
    if planned:
        tasks = [{"function": targets[0], "instruction": "Mind the sign."}]
        plan = f"```json\n{json.dumps({'tasks': tasks, 'planners': []})}\n```"
        script[targets[0]]["plan"] = [_say(plan)]
    return Work(files, tuple(targets), script, wanted, 2 if planned else 1)


def team(agents: int, chain: int, seconds: float = 2.0) -> Work:
    """One function that all write; `agents` versions, of which the last is right."""
    test, target = "tests/test_shop.py::test_total", f"{PATH}::total"
    files = {PATH: Sums(1).text, "tests/test_shop.py": _test("shop", "total")}
    results = [*(f"n - {number}" for number in range(1, agents)), "n + 0"]
    versions = [f"Role: author\n\n{_block(f'def total(n):{_BODY}{result}')}" for result in results]
    roles = {"roles": [{"agent": number, "role": "author"} for number in range(1, agents + 1)]}
    script: Script = {
        target: {
            "code": [_say(version, seconds) for version in versions],
            "plan": [_say(f"```json\n{json.dumps(roles)}\n```", seconds)],
            "intent": [_say('```json\n{"role": "author", "does": "all of it"}\n```', seconds)],
        }
    }
    return Work(files, (target,), script, {test: (FunctionId(PATH, "total"), "n + 0\n")}, chain, seconds)


def work(protocol: str, agents: int) -> tuple[str, Work]:
    """The protocol as a job names it, and work for so many agents."""
    match protocol:
        case "mother_child":
            return protocol, mother(agents)
        case "single":
            return protocol, functions(agents, planned=False)
        case "planner_worker":
            return protocol, functions(agents - 1, planned=True)
        case "sequential":
            return f"sequential:{agents}", team(agents, agents, 0.25)
        case "coordinator":
            return f"coordinator:{agents - 1}", team(agents - 1, 2)
        case _:
            return f"{protocol}:{agents}", team(agents, 2 if protocol == "broadcast" else 1)


def _test(module: str, name: str) -> str:
    return f"def test_{name}():\n    from {module} import {name}\n    assert {name}(1)\n\n\n"


def _block(code: str) -> str:
    return f"```python\n{code}\n```"


def _say(text: str, seconds: float = 2.0) -> Mapping[str, Any]:
    return {"text": text, "chunks": 1, "delay": seconds}


def measured(protocol: str, agents: int, folder: Path) -> dict[str, Any]:
    """Figures of one job, run in this process after another of a single agent."""
    _begun("single", functions(1, planned=False), folder / "first")
    name, todo = work(protocol, agents)
    before = _memory()
    done, probe = _begun(name, todo, folder / "measured")
    lag = told(probe["late"], done.started[0].time, done.events[-1].time)
    return {
        "agents": agents,
        "calls": done.calls,
        "chain": todo.chain,
        "wall": round(done.wall, 2),
        "ratio": round(done.wall / (todo.chain * todo.seconds), 3),
        "memoryMb": round(_memory(), 1),
        "memoryOfTheJobMb": round(_memory() - before, 1),
        "lagP99Ms": lag["p99"],
        "lagWorstMs": lag["worst"],
    }


def _begun(protocol: str, todo: Work, folder: Path) -> tuple[Job, dict[str, Any]]:
    """A job that was run to its end in this process, and how late the loop was."""
    root = folder / "workspace"
    for path, text in todo.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with served(todo.script, folder) as url:
        job = start(root, url, "scale", LIMITS)
        settings = replace(job.settings, protocol=protocol)
        return asyncio.run(_run(replace(job, targets=todo.targets, settings=settings), todo))


async def _run(job: StartJob, todo: Work) -> tuple[Job, dict[str, Any]]:
    probe: dict[str, Any] = {}
    exec(PROBE, probe)  # noqa: S102 - ours: the probe that other processes are given as a program
    watch = threading.Thread(target=probe["watch"], args=(asyncio.get_running_loop(),), daemon=True)
    watch.start()
    done = await write(job, _laboratories(todo))
    assert done.result.update.verdict == "passed", done.result.update
    return done, probe


def _laboratories(todo: Work) -> OpenLaboratory:
    async def laboratory(place: Workplace, path: str) -> Laboratory:
        return Laboratory(Looking(place, todo.wanted), NOBODY)

    return laboratory


def _memory() -> float:
    """The most that this process has had in memory by now, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def alone(protocol: str, agents: int) -> dict[str, Any]:
    """The same, in a process of its own."""
    command = [sys.executable, __file__, "--one", protocol, "--agents", str(agents)]
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "XDG_STATE_HOME": f"{folder}/state", "XDG_CACHE_HOME": f"{folder}/cache"}
        done = subprocess.run([*command, "--folder", folder], env=env, stdout=subprocess.PIPE, check=True)
    return {"protocol": protocol, **json.loads(done.stdout)}


def picture(rows: Sequence[Mapping[str, Any]], note: str) -> str:
    """The rows as curves."""

    def over(quantity: str) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            found.setdefault(row["protocol"], []).append((row["agents"], row[quantity]))
        return found

    panels = [
        charts.Lines("calls", over("calls"), logarithmic=True),
        charts.Lines("wall over the longest chain", over("ratio")),
        charts.Lines("memory of the engine, MB", over("memoryMb")),
        charts.Lines("lag of its loop, p99, ms", over("lagP99Ms")),
    ]
    return charts.lines("Ever more agents on one job", note, "agents", panels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--protocol", nargs="*", choices=protocols.TABLE, default=list(protocols.TABLE))
    parser.add_argument("--agents", nargs="*", type=int, default=list(SIZES))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one, options.agents[0], options.folder)))
        return
    rows = []
    for protocol in options.protocol:
        for agents in options.agents:
            rows.append(alone(protocol, agents))
            if not options.json:
                print("  ".join(f"{key} {value}" for key, value in rows[-1].items()), flush=True)
    load = round(os.getloadavg()[0], 1)
    if options.json:
        print(json.dumps({"rows": rows, "load": load}))
    if options.plot:
        options.plot.write_text(picture(rows, f"Replies take the same time; load of the machine {load}."))


if __name__ == "__main__":
    main()
