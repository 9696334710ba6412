"""How far every figure is from its budget, as an SVG that reads well on light and on dark."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from xml.sax.saxutils import escape

import svg

from bench.figures.budgets import Budget
from bench.figures.reading import figure
from bench.figures.rows import Row

_WIDTH: Final = 960
_LEFT: Final = 360
_RIGHT: Final = 230
_TOP: Final = 76
_LINE: Final = 26
_EXPLAINED: Final = "Median of the rounds and their range. Left of 1 a budget is not kept."
_FAR: Final = 8
_STYLE: Final = """
svg { background: #ffffff; color: #1c2128; font: 13px system-ui, sans-serif; }
text { fill: currentColor; }
.faint { fill: #656d76; }
.grid { stroke: #d0d7de; }
.budget { stroke: currentColor; stroke-width: 1.5; }
.kept { fill: #1a7f37; stroke: #1a7f37; }
.broken { fill: #cf222e; stroke: #cf222e; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; color: #e6edf3; }
  .faint { fill: #8d96a0; }
  .grid { stroke: #30363d; }
  .kept { fill: #3fb950; stroke: #3fb950; }
  .broken { fill: #f85149; stroke: #f85149; }
}
"""


class _Scale(NamedTuple):
    """Logarithmic, from one power of two to another: a figure twice as good stands one step further right."""

    least: int
    most: int

    def x(self, margin: float) -> float:
        place = min(max(math.log2(max(margin, 1e-9)), self.least), self.most)
        return _LEFT + (place - self.least) / (self.most - self.least) * (_WIDTH - _LEFT - _RIGHT)


def write_plot(rows: Sequence[Row], budgets: Mapping[str, Budget], file: Path) -> None:
    file.write_text(plot(rows, budgets))


def plot(rows: Sequence[Row], budgets: Mapping[str, Budget]) -> str:
    """A line for each row that has a budget: its rounds as a range, their median as a dot, the budget at 1."""
    judged = [(row, budgets[row.name]) for row in rows if row.name in budgets]
    scale = _scale(judged)
    height = _TOP + _LINE * len(judged) + 30
    elements: list[svg.Element] = [
        svg.Style(text=_STYLE),
        svg.Text(x=16, y=28, text="Times better than its budget", font_size=16, font_weight="600"),
        svg.Text(x=16, y=48, text=_EXPLAINED, class_=["faint"]),
        *_grid(scale, height),
    ]
    for place, (row, budget) in enumerate(judged):
        elements += _line(row, budget, scale, _TOP + _LINE * place + _LINE / 2)
    drawn = svg.SVG(viewBox=svg.ViewBoxSpec(0, 0, _WIDTH, height), width=_WIDTH, height=height, elements=elements)
    return f"{drawn}\n"


def _scale(judged: Sequence[tuple[Row, Budget]]) -> _Scale:
    """With 1 inside, and room for every round but those that are far out."""
    margins = [budget.margin(found) for row, budget in judged for found in row.rounds]
    least, most = max(min([0.5, *margins]), 2.0**-_FAR), min(max([2.0, *margins]), 2.0**_FAR)
    return _Scale(math.floor(math.log2(least)), math.ceil(math.log2(most)))


def _grid(scale: _Scale, height: float) -> Iterator[svg.Element]:
    bottom = height - 24
    for power in range(scale.least, scale.most + 1):
        x = scale.x(2.0**power)
        look = "budget" if power == 0 else "grid"
        yield svg.Line(x1=x, x2=x, y1=_TOP - 6, y2=bottom, class_=[look])
        label = f"{2**power}" if power >= 0 else f"1/{2**-power}"
        yield svg.Text(x=x, y=bottom + 16, text=label, text_anchor="middle", class_=["faint"])


def _line(row: Row, budget: Budget, scale: _Scale, y: float) -> Iterator[svg.Element]:
    look = "kept" if budget.keeps(row.value) else "broken"
    ends = sorted(scale.x(budget.margin(found)) for found in row.spread)
    yield svg.Text(x=_LEFT - 12, y=y + 4, text=escape(row.name), text_anchor="end")
    yield svg.Line(x1=ends[0], x2=ends[1], y1=y, y2=y, stroke_width=5, opacity=0.45, class_=[look])
    yield svg.Circle(cx=scale.x(budget.margin(row.value)), cy=y, r=5, class_=[look])
    text = f"{figure(row.value)} {row.unit} ({budget})"
    yield svg.Text(x=_WIDTH - _RIGHT + 12, y=y + 4, text=escape(text), class_=["faint"])
