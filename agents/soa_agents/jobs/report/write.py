"""The report of a job as Markdown and as one page that needs nothing else, and where it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from soa_agents.jobs.report.account import Account, Row
from soa_agents.jobs.report.chart import Chart, chart
from soa_agents.models.port import Usage
from soa_agents.swarm.job import Tally
from soa_agents.workspace.ids import FunctionId


@dataclass(frozen=True, slots=True)
class Page:
    """What the templates are filled with."""

    title: str
    told: Account
    chart: Chart
    when: str

    @property
    def left(self) -> tuple[Row, ...]:
        """The functions that were not written, or whose own tests do not all pass."""
        return tuple(row for row in self.told.rows if not row.done and (row.failing or not row.after))

    @property
    def figures(self) -> tuple[tuple[str, str], ...]:
        """The job in a few numbers, each with what it counts."""
        told = self.told
        whole = (*told.rows, told.others)
        used = sum((row.usage for row in whole), Usage())
        proven = sum(row.done for row in told.rows)
        found = [
            ("functions proven", f"{proven} of {len(told.rows)}"),
            ("their tests", _change(_sum(r.before for r in told.rows), _sum(r.after for r in told.rows))),
            ("agents", str(sum(row.agents for row in whole))),
            ("model calls", str(used.calls)),
            ("tokens", short(used.tokens)),
            ("time", duration(told.seconds)),
        ]
        if used.cost_usd is not None:
            found.insert(5, ("cost", f"${used.cost_usd:.2f}"))
        return tuple(found)


def as_markdown(told: Account) -> str:
    """The report as text: a table of the functions, and what still fails."""
    return _environment(page=False).get_template("report.md").render(page=_page(told))


def as_html(told: Account) -> str:
    """The report as a page with charts; it loads nothing from anywhere."""
    return _environment(page=True).get_template("report.html").render(page=_page(told))


def write(told: Account, path: Path) -> None:
    """Write the report to that file: a page where its name ends so, Markdown otherwise. Raises `OSError`."""
    text = as_html(told) if path.suffix.lower() in (".html", ".htm") else as_markdown(told)
    path.write_text(text, encoding="utf-8")


def keep(told: Account, folder: Path) -> Path:
    """Write both into `folder`, private to the user; the page's path. Raises `OSError`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    page = folder / f"{told.update.job_id}.html"
    for path in (page, page.with_suffix(".md")):
        write(told, path)
        path.chmod(0o600)
    return page


def short(number: int) -> str:
    """`5100` as `5.1k`."""
    if number < 1000:
        return str(number)
    return f"{number / 1000:.1f}k" if number < 100_000 else f"{number // 1000}k"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _page(told: Account) -> Page:
    done, update = sum(row.done for row in told.rows), told.update
    what = {"implementFile": "generate", "regenerate": "generate"}.get(update.kind, update.kind)
    many = f"{done} of {len(told.rows)} functions"
    name = many if len(told.rows) != 1 else FunctionId.parse(told.rows[0].function).qualname
    when = datetime.fromtimestamp(told.started).astimezone().strftime("%Y-%m-%d %H:%M")
    ended = "proven" if done == len(told.rows) or len(told.rows) != 1 else told.rows[0].outcome
    return Page(f"soa {what}: {name} {ended}", told, chart(told), when)


def _sum(tallies: Iterable[Tally | None]) -> Tally | None:
    known = [each for each in tallies if each is not None]
    return Tally(sum(t.passed for t in known), sum(t.failed for t in known)) if known else None


def _count(tests: Tally | None) -> str:
    return f"{tests.passed}/{tests.passed + tests.failed}" if tests else "–"


def _change(before: Tally | None, after: Tally | None) -> str:
    if after is None:
        return "–"
    of = f"{after.passed} of {after.passed + after.failed}"
    return f"{before.passed} → {of}" if before else of


@cache
def _environment(*, page: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("soa_agents.jobs", "report"),
        undefined=StrictUndefined,
        autoescape=page,  # noqa: S701 - Markdown is escaped by a filter of its own
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.filters.update(count=_count, duration=duration, short=short, cell=_cell, name=_name)
    return environment


def _cell(text: str) -> str:
    """Text inside a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def _name(function: str) -> str:
    return FunctionId.parse(function).qualname
