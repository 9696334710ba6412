"""What every figure has to keep to: `budgets.toml`, by the names of rows."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from bench.figures.rows import Row

_LIMITS: Final = {"at_least", "at_most"}
FILE: Final = Path(__file__).parents[1] / "budgets.toml"


class Budget(NamedTuple):
    """One limit is given, in the unit of the row. `apart`: of a part that a full run leaves out."""

    at_least: float | None = None
    at_most: float | None = None
    apart: bool = False

    def keeps(self, value: float) -> bool:
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is None or value <= self.at_most

    def margin(self, value: float) -> float:
        """How many times better than it must be; below 1: a budget that is not kept."""
        if self.at_least is not None:
            return value / self.at_least
        return (self.at_most or 0.0) / max(value, 1e-9)

    def __str__(self) -> str:
        return f"≥ {self.at_least:,g}" if self.at_least is not None else f"≤ {self.at_most:,g}"


class BudgetsError(Exception):
    """The file says something that nobody can check."""


def read_budgets(file: Path = FILE) -> dict[str, Budget]:
    """By name of row. Raises BudgetsError."""
    found = {}
    for name, fields in tomllib.loads(file.read_text()).items():
        if not fields.keys() <= set(Budget._fields) or len(fields.keys() & _LIMITS) != 1:
            raise BudgetsError(f"{name}: give either at_least or at_most")
        found[name] = Budget(**fields)
    return found


def complaints(rows: Sequence[Row], budgets: Mapping[str, Budget]) -> list[str]:
    """A line for each budget that is not kept, also when there should be a figure for it and is none."""
    figures = {row.name: row for row in rows}
    lines = []
    for name, budget in budgets.items():
        row = figures.get(name)
        if row is None and not budget.apart:
            lines.append(f"{name}: was not measured")
        elif row is not None and not budget.keeps(row.value):
            lines.append(f"{name}: {row.value:.4g} {row.unit}, budget {budget}")
    return lines
