"""Where the time of a job went, as boxes and points in a drawing's own units. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from soa_agents.jobs.report.account import Account, Row
from soa_agents.workspace.ids import FunctionId

WIDTH, NAMES, ROW = 960.0, 230.0, 18.0  # of the drawing, of the column of names, of one line
SHOWN = 60  # functions with a line of their own; of more, those that took longest
_LONGEST_NAME = 32
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800)


@dataclass(frozen=True, slots=True)
class Box:
    """One call or test run."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """One function's calls and runs. `green` is where its own tests passed first."""

    name: str
    title: str
    y: float
    done: bool
    boxes: tuple[Box, ...]
    green: float | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """The lines, the marks of the time axis (place and words), and the curve of functions that are green."""

    lines: tuple[Line, ...]
    marks: tuple[tuple[float, str], ...]
    height: float
    hidden: int
    curve: str  # points of an SVG polyline, 0 to 1 upwards in a field of 100
    green: int


def chart(told: Account) -> Chart:
    """The drawing of a job."""
    rows = [row for row in told.rows if row.spans]
    longest = sorted(rows, key=lambda row: -row.seconds)[:SHOWN]
    kept = sorted((row for row in rows if row in longest), key=lambda row: row.spans[0].start)
    kept += [told.others] if told.others.spans else []
    scale = (WIDTH - NAMES) / max(told.seconds, 1e-9)
    lines = tuple(_line(row, number, scale) for number, row in enumerate(kept))
    times = sorted(row.green_at for row in told.rows if row.green_at is not None)
    return Chart(
        lines=lines,
        marks=_marks(told.seconds, scale),
        height=ROW * len(lines),
        hidden=len(rows) - len(longest),
        curve=_curve(times, len(told.rows), told.seconds, scale),
        green=len(times),
    )


def _line(row: Row, number: int, scale: float) -> Line:
    name = FunctionId.parse(row.function).qualname if row.function else "planning, all together"
    boxes = tuple(
        Box(
            span.kind,
            round(NAMES + span.start * scale, 1),
            round(max((span.end - span.start) * scale, 1.0), 1),
            f"{'model call' if span.kind == 'model' else 'tests'}, {span.end - span.start:.1f} s",
        )
        for span in row.spans
    )
    short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
    green = None if row.green_at is None else round(NAMES + row.green_at * scale, 1)
    return Line(short, row.function or name, number * ROW, row.done, boxes, green)


def _marks(seconds: float, scale: float) -> tuple[tuple[float, str], ...]:
    """Five to ten marks at round times."""
    step = next((each for each in _STEPS if seconds / each <= 8), _STEPS[-1] * max(1, int(seconds / 230_000)))
    return tuple((round(NAMES + t * scale, 1), _clock(t)) for t in range(0, int(seconds) + 1, step))


def _clock(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min" if not rest else f"{minutes}:{rest:02} min"
    return f"{minutes // 60} h" if not minutes % 60 else f"{minutes // 60}:{minutes % 60:02} h"


def _curve(times: list[float], functions: int, seconds: float, scale: float) -> str:
    points = [(NAMES, 100.0)]
    for number, moment in enumerate(times, 1):
        x = round(NAMES + moment * scale, 1)
        points += [(x, points[-1][1]), (x, round(100 - 100 * number / max(functions, 1), 1))]
    points.append((round(NAMES + seconds * scale, 1), points[-1][1]))
    return " ".join(f"{x},{y}" for x, y in points)
