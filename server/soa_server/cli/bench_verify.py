"""`soa bench verify`: the ladder's verdicts and times on real projects, in one run with plain pytest."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from soa_agents.settings import Limits, TestSettings
from soa_agents.verify import measure
from soa_agents.verify.cold import ColdRunner
from soa_agents.verify.interpreter import find
from soa_agents.verify.ladder import Ladder
from soa_agents.workspace.snapshot import is_test_file

from soa_server.cli import exits

_SECONDS = 10.0  # one test's time limit while measuring
_AT_ONCE = 2  # candidates that are compared at a time


@click.command(short_help="Compare test servers with plain pytest.")
@click.argument(
    "projects", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Keep the results in FILE."
)
@click.option(
    "--pairs", default=50, help="Verdicts to compare with a cold run, a project.", show_default=True
)
@click.option("--timings", default=60, help="Candidates to time, a project.", show_default=True)
@click.option("--files", default=6, help="Test files to take part, a project.", show_default=True)
@click.option("--seconds", default=600.0, help="When to stop comparing, a project.", show_default=True)
@click.option("--test-file", "named", multiple=True, help="Take these test files instead.")
def command(
    projects: tuple[Path, ...], file: Path | None, pairs: int, timings: int, files: int, seconds: float,
    named: tuple[str, ...],
) -> None:  # fmt: skip
    """Run random changes of functions in test servers, cold, and with plain `python -m pytest`.

    Pairs of verdicts are added to those that FILE has; the same number is always the same change.
    """
    kept = json.loads(file.read_text()) if file is not None and file.exists() else {}
    for project in projects:
        root = project.resolve()

        def keep() -> None:
            if file is not None:
                file.write_text(json.dumps(kept, indent=1) + "\n")

        ours = kept.setdefault(root.name, {})
        bench = _Bench(root, ours, named or _test_files(root, files), keep)
        asyncio.run(bench.run(pairs, timings, seconds))
        keep()
        click.echo(f"{root.name}: {_line(ours)}")


def _test_files(root: Path, count: int) -> tuple[str, ...]:
    """Test files of middling size: big enough to mean something, small enough to be run often."""
    found = sorted(_python_files(root), key=lambda path: (abs(path.stat().st_size - 12_000), str(path)))
    return tuple(path.relative_to(root).as_posix() for path in found[:count])


def _python_files(root: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".") and f not in ("node_modules", "docs")]
        for name in names:
            path = Path(where) / name
            if (
                name.startswith("test_")
                and name.endswith(".py")
                and is_test_file(str(path.relative_to(root)))
            ):
                yield path


class _Bench:
    """One project's measuring."""

    def __init__(
        self, root: Path, kept: dict[str, Any], files: Sequence[str], keep: Callable[[], None]
    ) -> None:
        self.root = root
        self.kept = kept  # the project's part of the result file; `keep` writes that file
        self.keep = keep
        self.files = files
        settings = TestSettings(timeout_seconds=_SECONDS)
        interpreter = find(root, "", {})
        self.cold = ColdRunner.open(root, interpreter, settings, Limits())
        self.ladder = Ladder(self.cold, idle=16)

    async def run(self, pairs: int, timings: int, seconds: float) -> None:
        """Everything, into `kept`; says on the way what takes its time."""
        exits.say(f"{self.root.name}: running {len(self.files)} test files, to see what they run")
        among = await measure.subjects(self.cold, self.files)
        if not among:
            raise click.ClickException(f"No test of {self.root} passes and runs a function of it.")
        try:
            if timings:
                exits.say(f"{self.root.name}: timing {timings} candidates beside plain pytest")
                await self._time(among, timings)
            if pairs:
                exits.say(f"{self.root.name}: comparing {pairs} verdicts with cold runs")
            await self._compare(among, pairs, seconds)
        finally:
            await self.ladder.close()

    async def _time(self, among: list[measure.Subject], timings: int) -> None:
        todo: list[measure.Candidate] = []
        for number in range(10**9, 10**9 + 20 * timings):
            one = measure.candidate(self.root, among, number)
            # Servers are started once in a job, not for each candidate; plain pytest would wait for ever.
            if one is not None and len(todo) < timings and await measure.once(self.ladder, one):
                todo.append(one)
        found = await measure.times(self.ladder, todo)
        self.kept["python"] = self.cold.interpreter.version
        self.kept["times"] = found.summary()
        self.kept["memory_mb"] = measure.memory_of_servers()
        self.kept["two_workers"], self.kept["two_pytests"] = await measure.two_workers(self.ladder, todo)

    async def _compare(self, among: list[measure.Subject], pairs: int, seconds: float) -> None:
        """Compare `_AT_ONCE` candidates at a time; what is known so far is kept after each of them."""
        found = measure.from_json(self.kept.get("equality", {}))
        first, goal = self.kept.get("next", 0), found.pairs + pairs
        end = time.monotonic() + seconds
        numbers = itertools.count(first)

        async def work() -> None:
            while found.pairs < goal and time.monotonic() < end:
                number = next(numbers)
                one = measure.candidate(self.root, among, number)
                if one is not None:
                    await measure.compare(self.ladder, one, found)
                self.kept |= {"equality": measure.as_json(found), "next": max(number + 1, self.kept["next"])}
                self.keep()

        self.kept |= {"equality": measure.as_json(found), "next": first}
        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _line(kept: dict[str, Any]) -> str:
    found, times = kept["equality"], kept.get("times", {})
    tried = sum(found["rungs"].values()) or 1
    part = {rung: f"{count / tried:.0%}" for rung, count in found["rungs"].items()}
    said = f"{found['equal']} of {found['pairs']} verdicts equal, rungs {part}"
    return (
        f"{said}; {times}, two workers x{kept.get('two_workers')}, two pytests x{kept.get('two_pytests')}"
        if times
        else said
    )
