"""Official tests per second: through our own runner, in the sandbox, against a cold `pytest` a problem.

    python tests/bench/humaneval.py --data FILE [--workers N] [--limit N] [--json]

The candidates are the canonical solutions. The sides take turns in rounds of as many problems, with the same
number of workers. Cold is plain `python -m pytest` without a sandbox, on files that are there already: once
with the plugins that are installed, once with none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path

from soa_agents.bench.problems import Problem, load
from soa_agents.bench.rooms import Judge, lay
from soa_agents.settings import Settings, TestSettings
from soa_agents.verify.interpreter import find

_ROUND = 20  # problems of one turn
Side = Callable[[Problem], Awaitable[bool]]


async def measured(problems: Sequence[Problem], workers: int, folder: Path) -> dict[str, object]:
    """Problems judged per second by each side; what starting our servers takes is told by itself."""
    tests = TestSettings(args=("--disable-plugin-autoload",))
    judge = Judge.of(folder, problems, Settings(tests=tests), find(folder, sys.executable, os.environ))
    judge = Judge(replace(judge.ladder, workers=workers))
    names = {problem.id: f"problem_{number}" for number, problem in enumerate(problems)}
    for problem in problems:
        name = names[problem.id]
        lay(folder / "cold", {f"{name}.py": problem.solved(), f"test_{name}.py": problem.official(name)})

    def cold(*arguments: str) -> Side:
        async def run(problem: Problem) -> bool:
            command = ("-m", "pytest", "-q", *arguments, f"test_{names[problem.id]}.py")
            process = await asyncio.create_subprocess_exec(
                sys.executable, *command, cwd=folder / "cold", stdout=DEVNULL, stderr=DEVNULL
            )
            return await process.wait() == 0

        return run

    sides: dict[str, Side] = {
        "ours": lambda problem: judge.passes(problem, problem.solved()),
        "cold": cold(),
        "cold_without_plugins": cold("--disable-plugin-autoload"),
    }
    try:
        began = time.perf_counter()
        await asyncio.gather(*(judge.passes(problem, problem.solved()) for problem in problems[:workers]))
        started = time.perf_counter() - began
        seconds, right = await _turns(sides, problems, workers)
    finally:
        await judge.close()
    rates = {name: len(problems) / taken for name, taken in seconds.items()}
    ratios = {f"to_{name}": round(rates["ours"] / rate, 1) for name, rate in rates.items() if name != "ours"}
    told = {name: round(rate, 2) for name, rate in rates.items()}
    return {"per_second": told, "ratio": ratios, "right": right, "problems": len(problems), "start": started}


async def _turns(
    sides: dict[str, Side], problems: Sequence[Problem], workers: int
) -> tuple[dict[str, float], dict[str, int]]:
    seconds, right = dict.fromkeys(sides, 0.0), dict.fromkeys(sides, 0)
    for first in range(0, len(problems), _ROUND):
        for name, side in sides.items():
            began = time.perf_counter()
            right[name] += await _all(side, problems[first : first + _ROUND], workers)
            seconds[name] += time.perf_counter() - began
    return seconds, right


async def _all(side: Side, problems: Sequence[Problem], workers: int) -> int:
    """How many pass, `workers` at a time."""
    waiting = iter(problems)

    async def work() -> int:
        return sum([await side(problem) for problem in waiting])

    return sum(await asyncio.gather(*(work() for _ in range(workers))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="FILE")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    problems = load(options.data)[: options.limit]
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measured(problems, options.workers, Path(folder).resolve()))
    figures["load"] = round(os.getloadavg()[0], 1)
    print(json.dumps(figures) if options.json else "\n".join(f"{k:<11}{v}" for k, v in figures.items()))


if __name__ == "__main__":
    main()
