"""`soa bench humaneval`: protocols on the same problems, judged by tests that their agents never saw."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import platformdirs
from rich.bar import Bar
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from soa_agents import protocols
from soa_agents.bench import simulated
from soa_agents.bench.humaneval import Exam
from soa_agents.bench.problems import Problem, load
from soa_agents.bench.results import Results, Row
from soa_agents.errors import UsageError
from soa_agents.models.access import Access

from soa_server.cli import exits, show
from soa_server.cli.options import workspace

FILES = {False: "HumanEval.jsonl.gz", True: "HumanEvalPlus.jsonl.gz"}
SOURCES = {
    False: "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz",
    True: "https://github.com/evalplus/humanevalplus_release/releases/latest/download/HumanEvalPlus.jsonl.gz",
}

_MEANS = ("calls", "tokens in", "tokens out", "agents", "seconds", "characters an agent")

EXAMPLES = """\b
Examples:
  soa bench humaneval --limit 10                        a first look, with the configured model
  soa bench humaneval --protocol single --json he.json  stops and goes on where he.json ends
  soa bench humaneval --model simulated                 what protocols cost, without any model
"""


@click.command(epilog=EXAMPLES, short_help="Put HumanEval's problems to protocols.")
@click.option("--data", type=click.Path(path_type=Path), metavar="FILE", help="The problems, as JSON lines.")
@click.option("--plus", is_flag=True, help="Judge by EvalPlus's tests, about 80 times as many.")
@click.option(
    "--protocol", "names", multiple=True, metavar="P", help="A protocol; several may be given (all)."
)
@click.option("--model", metavar="NAME", help="The model to ask; `simulated` for none at all.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The first N problems only.")
@click.option(
    "--jobs", default=2, type=click.IntRange(1), metavar="N", help="Problems at once.", show_default=True
)
@click.option("--seed", default=0, help="Of the simulated model.", show_default=True)
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Keep the results in FILE."
)
def command(**given: Any) -> None:
    """Run each problem as a small workspace whose official tests the agents never see.

    What FILE has already is not run again. Solved means that the official tests pass.
    """
    names = tuple(dict.fromkeys(given["names"])) or tuple(protocols.TABLE)
    for name in names:
        protocols.choose(name)
    problems = load(given["data"] or _data(given["plus"]))[: given["limit"]]
    played = given["model"] == simulated.NAME
    results = Results(given["file"], assumption=played)
    todo = [(problem, name) for problem in problems for name in names if not results.has(problem, name)]
    asyncio.run(_run(_exam(problems, given, played), todo, given["jobs"], results))
    rows = results.rows(names)
    show.console().print(_table(rows, played))
    show.console().print(_plot(rows))
    if played:
        exits.say(
            "The model was simulated: it errs by assumption, so nothing here says how well any model writes."
        )


def _data(plus: bool) -> Path:
    """The problems in the cache, fetched when the person agrees. Raises `UsageError` without them."""
    path = Path(platformdirs.user_cache_path("soa-language-server", appauthor=False)) / FILES[plus]
    if not path.exists():
        url = SOURCES[plus]
        if not click.confirm(f"Fetch the problems from {url}?", default=False, err=True):
            raise UsageError("There are no problems to put. Give HumanEval's JSON lines with --data FILE.")
        _fetch(url, path)
    return path


def _fetch(url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with urlopen(url, timeout=60) as answer:  # noqa: S310 - one of `SOURCES`
            part.write_bytes(answer.read())
    except OSError as error:
        raise UsageError(
            f"{url} could not be fetched ({error}). Fetch it yourself and name it with --data FILE."
        ) from error
    part.replace(path)


def _exam(problems: Sequence[Problem], given: dict[str, Any], played: bool) -> Exam:
    here = workspace({"model": given["model"]})
    folder = Path(platformdirs.user_cache_path("soa-language-server", appauthor=False)) / "humaneval"
    access = _Simulated(problems, given["seed"]) if played else Access()
    name = f"{here.settings.model.name or 'model'}-{given['seed']}" if played else here.settings.model.name
    return Exam(folder / (name or "model").replace(os.sep, "-"), here.settings, here.key, access)


class _Simulated(Access):
    """Every job gets the same simulated model."""

    def __init__(self, problems: Iterable[Problem], seed: int) -> None:
        super().__init__()
        self._model = simulated.SimulatedModel(problems, seed)

    def open(self, *_: object) -> simulated.SimulatedModel:
        """The model; it holds nothing that a job could close."""
        return self._model


async def _run(exam: Exam, todo: Sequence[tuple[Problem, str]], at_once: int, results: Results) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=show.console(stderr=True)) as progress:
        task = progress.add_task("problems", total=len(todo))
        async with aclosing(exam.outcomes(todo, at_once)) as outcomes:
            async for outcome in outcomes:
                results.add(outcome)
                progress.update(task, advance=1, description=f"{outcome.protocol} {outcome.problem}")


def _table(rows: Sequence[Row], played: bool) -> Table:
    """What each protocol took, a problem; what was solved only where a real model wrote."""
    table = Table(box=None, header_style="bold")
    table.add_column("protocol", no_wrap=True)
    for name in ("problems", *(() if played else ("Pass@1",)), *_MEANS):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        rate = () if played else (f"{row.solved / row.problems:.1%}",)
        sums = (row.calls, row.input_tokens, row.output_tokens, row.agents, row.seconds)
        means = (
            f"{each / row.problems:,.{digits}f}" for each, digits in zip(sums, (2, 0, 0, 2, 2), strict=True)
        )
        each = f"{row.characters / max(1, row.agents):,.0f}"
        table.add_row(row.protocol, str(row.problems), *rate, *means, each)
    return table


def _plot(rows: Sequence[Row]) -> Table:
    """Calls a problem, as bars."""
    most = max((row.calls / row.problems for row in rows), default=0.0) or 1.0
    bars = Table(box=None, title="calls a problem", title_justify="left", show_header=False)
    for row in rows:
        calls = row.calls / row.problems
        bars.add_row(row.protocol, Bar(most, 0, calls, width=50, color="cyan"), f"{calls:.2f}")
    return bars
