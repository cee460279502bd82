"""What `soa bench humaneval` shows of its results: a table, bars on the terminal, a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.bar import Bar
from rich.table import Table
from soa_agents.bench.results import Row
from soa_agents.errors import UsageError

from soa_server.cli import charts, exits, show
from soa_server.cli.charts import Bars, Lines

SIMULATED = "The model was simulated: it errs by assumption, so nothing here says how well any model writes."
ASSUMED = "assumption, not result"  # the title of every solved rate of a simulated model


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column: what it says of a row, and how many digits after the point are worth showing."""

    name: str
    of: Callable[[Row], float]
    digits: int


MEANS = (
    Quantity("calls", lambda row: row.calls / row.problems, 2),
    Quantity("tokens in", lambda row: row.input_tokens / row.problems, 0),
    Quantity("tokens out", lambda row: row.output_tokens / row.problems, 0),
    Quantity("agents", lambda row: row.agents / row.problems, 2),
    Quantity("seconds", lambda row: row.seconds / row.problems, 2),
    Quantity("chars an agent", lambda row: row.characters / max(1, row.agents), 0),
)
PASSED = Quantity("Pass@1, %", lambda row: 100 * row.solved / row.problems, 1)


def show_all(rows: Sequence[Row], played: bool, plot: Path | None) -> None:
    """Print the rows and draw them into `plot`; `played` by a simulated model. Raises `UsageError`."""
    swept = _swept(rows)
    out = show.console()
    if swept:
        out.print(_sweep(rows))
    else:
        out.print(_table(rows, MEANS if played else (PASSED, *MEANS)))
        out.print(_bars(rows, MEANS[0] if played else PASSED))
    if plot is not None:
        try:
            plot.write_text(_lines(rows) if swept else _picture(rows, played), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{plot} cannot be written: {error.strerror}. Name another file.") from error
    if played:
        exits.say(SIMULATED)


def _swept(rows: Sequence[Row]) -> bool:
    """Whether the rows differ in what was assumed."""
    return len({row.assumed for row in rows}) > 1


def _table(rows: Sequence[Row], columns: Sequence[Quantity]) -> Table:
    """What each protocol took, a problem."""
    table = Table(box=None, header_style="bold", pad_edge=False, collapse_padding=True)  # fits 80 columns
    table.add_column("a problem", no_wrap=True)
    for name in ("problems", *(column.name for column in columns)):
        table.add_column(name, justify="right", min_width=max(map(len, name.split())))
    for row in rows:
        figures = (f"{column.of(row):,.{column.digits}f}" for column in columns)
        table.add_row(row.protocol, str(row.problems), *figures)
    return table


def _bars(rows: Sequence[Row], what: Quantity) -> Table:
    most = max((what.of(row) for row in rows), default=0.0) or 1.0
    table = Table(box=None, title=f"{what.name} a problem", title_justify="left", show_header=False)
    for row in rows:
        value = what.of(row)
        table.add_row(row.protocol, Bar(most, 0, value, width=40, color="cyan"), f"{value:.{what.digits}f}")
    return table


def _sweep(rows: Sequence[Row]) -> Table:
    """How the solved share of a simulated model follows what is assumed of it."""
    sets = list(dict.fromkeys(row.assumed for row in rows))
    table = Table(box=None, header_style="bold", title=f"solved, %: {ASSUMED}", title_justify="left")
    table.add_column("")
    for assumed in sets:
        table.add_column(assumed, justify="right", no_wrap=True)
    shares = {(row.protocol, row.assumed): f"{PASSED.of(row):.1f}" for row in rows}
    for protocol in dict.fromkeys(row.protocol for row in rows):
        table.add_row(protocol, *(shares.get((protocol, assumed), "") for assumed in sets))
    return table


def _picture(rows: Sequence[Row], played: bool) -> str:
    columns = MEANS if played else (PASSED, *MEANS)
    panels = [
        Bars(column.name, {row.protocol: column.of(row) for row in rows}, column.digits) for column in columns
    ]
    problems = max((row.problems for row in rows), default=0)
    title = f"Protocols on {problems} problems of HumanEval, a problem"
    return charts.bars(title, SIMULATED if played else "Means; judged by the official tests.", panels)


def _lines(rows: Sequence[Row]) -> str:
    name = rows[0].assumed.partition("=")[0]
    series: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(rows, key=lambda row: float(row.assumed.partition("=")[2])):
        value = float(row.assumed.partition("=")[2])
        series.setdefault(row.protocol, []).append((value, PASSED.of(row)))
    return charts.lines(ASSUMED.capitalize(), SIMULATED, name, [Lines("solved, %", series)])
