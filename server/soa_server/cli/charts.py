"""Figures as SVG pictures, small enough to be read in a README: bars side by side, lines side by side. Pure.

Written with the templates beside it instead of a plotting library: these are a few rectangles and lines, and
the smallest library that draws them well is larger than all of SoA.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

_COLOURS = ("#3b6fb6", "#d1742f", "#3f9158", "#b5485f", "#7d5ba6", "#8a7440", "#4a9aa8")
_BAR, _LABELS, _ROW = 150, 118, 24  # widths of a panel of bars and of the labels, height of a row
_PLOT_WIDTH, _PLOT_HEIGHT, _GAP, _TOP = 250, 170, 40, 114  # of a panel of lines


@dataclass(frozen=True, slots=True)
class Bars:
    """One quantity: a bar for each label. `digits` are shown after the point, `unit` behind the number."""

    name: str
    values: Mapping[str, float]
    digits: int = 0
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Lines:
    """One quantity as it depends on another: for each label points (x, y) in the order of x."""

    name: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False  # of y


@dataclass(frozen=True, slots=True)
class Axis:
    """Where values lie between two places of a picture; `ticks` are the values worth a line."""

    low: float
    high: float
    ticks: tuple[float, ...]
    places: tuple[float, float]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """The place of a value."""
        low, high, here = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        first, last = self.places
        return round(first + (last - first) * (here - low) / ((high - low) or 1.0), 1)


def bars(title: str, note: str, panels: Sequence[Bars]) -> str:
    """Panels of bars that share their labels; `note` stands below the title."""
    labels = list(dict.fromkeys(label for panel in panels for label in panel.values))
    drawn = []
    for number, panel in enumerate(panels):
        most = max(panel.values.values(), default=0.0) or 1.0
        rows = [
            {
                "y": 84 + _ROW * labels.index(label),
                "width": round((_BAR - 62) * value / most, 1),
                "text": f"{value:,.{panel.digits}f}{panel.unit}",
            }
            for label, value in panel.values.items()
        ]
        x = 20 + _LABELS + number * _BAR
        drawn.append({"name": panel.name, "x": x, "rows": rows, "colour": _COLOURS[0]})
    return _template("bars.svg").render(
        title=title,
        note=note,
        labels=[(label, 84 + _ROW * row) for row, label in enumerate(labels)],
        panels=drawn,
        width=40 + _LABELS + _BAR * len(panels),
        height=96 + _ROW * len(labels),
    )


def lines(title: str, note: str, across: str, panels: Sequence[Lines]) -> str:
    """Panels of curves over one quantity, named `across`; its axis is logarithmic where it spans much."""
    labels = list(dict.fromkeys(label for panel in panels for label in panel.series))
    colours = {label: _COLOURS[number % len(_COLOURS)] for number, label in enumerate(labels)}
    drawn = [_plot(panel, 20 + number * (_PLOT_WIDTH + _GAP), colours) for number, panel in enumerate(panels)]
    starts = list(accumulate((40 + 7 * len(label) for label in labels), initial=20))
    legend = [
        {"label": label, "x": x, "colour": colours[label]} for label, x in zip(labels, starts, strict=False)
    ]
    return _template("lines.svg").render(
        title=title,
        note=note,
        across=across,
        panels=drawn,
        legend=legend,
        width=max(20 + len(panels) * (_PLOT_WIDTH + _GAP) - _GAP, starts[-1]) + 20,
        height=_TOP + _PLOT_HEIGHT + 50,
    )


def _plot(panel: Lines, left: int, colours: Mapping[str, str]) -> dict[str, object]:
    points = [point for series in panel.series.values() for point in series]
    start = left + 44
    across = _axis([x for x, _ in points], (start, left + _PLOT_WIDTH), named=True)
    up = _axis([y for _, y in points], (_TOP + _PLOT_HEIGHT, _TOP), logarithmic=panel.logarithmic)
    curves = [
        {"colour": colours[label], "points": [(across.at(x), up.at(y)) for x, y in series]}
        for label, series in panel.series.items()
    ]
    return {
        "name": panel.name,
        "left": start,
        "right": left + _PLOT_WIDTH,
        "bottom": _TOP + _PLOT_HEIGHT,
        "curves": curves,
        "across": [(across.at(tick), f"{tick:g}") for tick in across.ticks],
        "up": [(up.at(tick), f"{tick:,g}") for tick in up.ticks],
    }


def _axis(
    values: Sequence[float], places: tuple[float, float], *, logarithmic: bool = False, named: bool = False
) -> Axis:
    """An axis for these values; `named`: its ticks are the values themselves."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if named:
        spread = low > 0 and high / low >= 10
        return Axis(low, high, tuple(sorted(set(values))), places, logarithmic=spread)
    if logarithmic and low > 0:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        ends = (first, max(last, first + 1))
        return Axis(10.0 ** ends[0], 10.0 ** ends[1], _powers(*ends), places, logarithmic=True)
    step = _step(high)
    ticks = tuple(round(step * number, 9) for number in range(math.ceil(high / step) + 1))
    return Axis(0.0, ticks[-1], ticks, places)


def _powers(first: int, last: int) -> tuple[float, ...]:
    return tuple(10.0**power for power in range(first, last + 1))


def _step(high: float) -> float:
    """A round number that goes into `high` three to six times."""
    if high <= 0:
        return 1.0
    size = 10.0 ** math.floor(math.log10(high / 3))
    return next(size * part for part in (1, 2, 5, 10) if high / (size * part) <= 6)


@cache
def _template(name: str) -> Template:
    loader = PackageLoader("soa_server.cli", "pictures")
    made = Environment(loader=loader, undefined=StrictUndefined, autoescape=True, trim_blocks=True)
    return made.get_template(name)
