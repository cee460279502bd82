"""`soa bench humaneval`: protocols on the same problems, judged by tests that their agents never saw."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import click
import platformdirs
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from soa_agents import protocols
from soa_agents.bench import simulated
from soa_agents.bench.humaneval import Exam, Paper
from soa_agents.bench.problems import Problem, load
from soa_agents.bench.results import Results
from soa_agents.bench.simulated import Assumptions, SimulatedModel
from soa_agents.errors import UsageError
from soa_agents.models.access import Access

from soa_server.cli import bench_shown, exits, show
from soa_server.cli.options import workspace

FILES = {False: "HumanEval.jsonl.gz", True: "HumanEvalPlus.jsonl.gz"}
SOURCES = {
    False: "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz",
    True: "https://github.com/evalplus/humanevalplus_release/releases/latest/download/HumanEvalPlus.jsonl.gz",
}

_LOST = "nothing was kept. With --json FILE the next run goes on where this one ended"
_PIPED = 50  # jobs between two lines of progress where there is no terminal

EXAMPLES = """\b
Examples:
  soa bench humaneval --limit 10                        a first look, with the configured model
  soa bench humaneval --protocol single --json he.json  stops and goes on where he.json ends
  soa bench humaneval --model simulated --plot he.svg   what protocols cost, without any model
  soa bench humaneval --model simulated --assume wrong_line=0.02,0.08
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
@click.option(
    "--ray", default="", metavar="ADDRESS", help="Work on the nodes of a Ray cluster: HOST:PORT, or auto."
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Keep results in FILE.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw them into FILE, as SVG.")
@click.option("--seed", default=0, help="Of the simulated model.", show_default=True)
@click.option(
    "--assume", metavar="NAME=V[,V…]", help="Of the simulated model; several values are run one by one."
)
def command(**given: Any) -> None:
    """Run each problem as a small workspace whose official tests the agents never see.

    What FILE has already is not run again. Solved means that the official tests pass. The simulated model
    knows the answers and errs by assumption: it shows what protocols cost, never how well a model writes.
    """
    names = tuple(dict.fromkeys(given["names"])) or tuple(protocols.TABLE)
    for name in names:
        protocols.choose(name)
    played = given["model"] == simulated.NAME
    variants = _variants(given["assume"], played)
    problems = load(given["data"] or _data(given["plus"]))[: given["limit"]]
    here = workspace({"model": given["model"]})
    about: dict[str, object] = {"model": here.settings.model.name or "unnamed", "plus": given["plus"]}
    if played:
        about |= {"assumption": True, "seed": given["seed"]}
    results = Results(given["file"], about)
    sittings = []
    for label, assumed in variants.items():
        parts = (about["model"], "plus" * given["plus"], f"seed-{given['seed']}" * played, label)
        folder = _folder("-".join(str(part) for part in parts if part))
        access = Simulated(SimulatedModel(problems, given["seed"], assumed)) if played else Access()
        todo = _papers(problems, names, results, label)
        exam = Exam(folder, here.settings, here.key, access, given["ray"], exits.say)
        sittings.append(Sitting(label, exam, todo))
    try:
        asyncio.run(_run(sittings, given["jobs"], results))
    except KeyboardInterrupt:
        kept = f"the same command goes on where {given['file']} ends" if given["file"] else _LOST
        exits.say(f"Stopped; {kept}.")
        raise SystemExit(exits.Exit.CANCELLED) from None
    bench_shown.show_all(results.rows(names, tuple(variants)), played, given["plot"])


@dataclass(frozen=True, slots=True)
class Sitting:
    """One exam and what is left to do of it; `assumed` is what was set otherwise in the simulated model."""

    assumed: str
    exam: Exam
    papers: Sequence[Paper]


class Simulated(Access):
    """Every job gets the same simulated model."""

    def __init__(self, model: SimulatedModel) -> None:
        super().__init__()
        self._model = model

    def open(self, *_: object) -> SimulatedModel:
        """The model; it holds nothing that a job could close."""
        return self._model


def _papers(problems: Iterable[Problem], names: Sequence[str], results: Results, label: str) -> list[Paper]:
    """What is not in the results yet."""
    todo = ((each, tuple(n for n in names if not results.has(each, n, label))) for each in problems)
    return [Paper(problem, left) for problem, left in todo if left]


def _variants(given: str | None, played: bool) -> dict[str, Assumptions]:
    """The assumptions to run under, by what is said of them. Raises `UsageError`."""
    if given is None:
        return {"": Assumptions()}
    if not played:
        raise UsageError("--assume is about the simulated model. Add --model simulated.")
    name, _, values = given.partition("=")
    known = [each.name for each in fields(Assumptions)]
    try:
        found = [float(value) for value in values.split(",")]
    except ValueError:
        found = []
    if name not in known or not found:
        raise UsageError(f"--assume takes NAME=NUMBER[,NUMBER…]; the names are {', '.join(known)}.")
    return {f"{name}={value:g}": replace(Assumptions(), **{name: value}) for value in found}


def _cache() -> Path:
    return Path(platformdirs.user_cache_path("soa-language-server", appauthor=False))


def _folder(name: str) -> Path:
    return _cache() / "humaneval" / re.sub(r"[^\w.=-]+", "-", name)


def _data(plus: bool) -> Path:
    """The problems in the cache, fetched when the person agrees. Raises `UsageError` without them."""
    path, url = _cache() / FILES[plus], SOURCES[plus]
    if not path.exists():
        asked = sys.stdin.isatty() and click.confirm(f"Fetch the problems from {url}?", err=True)
        if not asked:
            raise UsageError(f"There are no problems to put. Fetch {url} and name it with --data FILE.")
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


async def _run(sittings: Sequence[Sitting], at_once: int, results: Results) -> None:
    total = sum(len(paper.protocols) for sitting in sittings for paper in sitting.papers)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    out, done = show.console(stderr=True), 0
    with Progress(*columns, console=out, disable=not out.is_terminal) as bar:
        task = bar.add_task("jobs", total=total)
        for sitting in (each for each in sittings if each.papers):
            async with aclosing(sitting.exam.outcomes(sitting.papers, at_once)) as outcomes:
                async for outcome in outcomes:
                    results.add(replace(outcome, assumed=sitting.assumed))
                    done += 1
                    bar.update(task, advance=1, description=f"{outcome.protocol} {outcome.problem}")
                    if not out.is_terminal and (done == total or done % _PIPED == 0):
                        out.print(f"{done} of {total} jobs")
