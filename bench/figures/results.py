"""What one run of the bench found, as a file of JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.figures.rows import Row

FOLDER: Final = Path(__file__).parents[1] / "results"
LATEST: Final = FOLDER / "latest.json"
"""Of the latest full run of everything: what `make bench-check` judges and docs/performance.md shows."""


@dataclass(frozen=True, slots=True)
class Results:
    """`began`: ISO 8601. `machine`: see `bench.figures.machine`. `left_out`: what was not measured for want of
    something; `failed`: parts that went wrong."""

    began: str
    took_s: int
    size: str
    machine: dict[str, Any]
    rows: Sequence[Row]
    left_out: Sequence[str] = ()
    failed: Sequence[str] = ()

    def write(self, file: Path) -> None:
        fields = {
            "began": self.began,
            "tookSeconds": self.took_s,
            "size": self.size,
            "machine": self.machine,
            "leftOut": list(self.left_out),
            "failed": list(self.failed),
            "rows": [_row_fields(row) for row in self.rows],
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(fields, indent=1, ensure_ascii=False) + "\n")


def read_results(file: Path = LATEST) -> Results:
    """Raises OSError, ValueError, KeyError for a file that `Results.write` did not write."""
    fields = json.loads(file.read_text())
    rows = [Row(row["name"], tuple(row["rounds"]), row["unit"], row["note"], row["detail"]) for row in fields["rows"]]
    ran = (fields["began"], fields["tookSeconds"], fields["size"], fields["machine"])
    return Results(*ran, rows, fields["leftOut"], fields["failed"])


def _row_fields(row: Row) -> dict[str, Any]:
    """`value` and `spread` follow from `rounds`; they are there for whoever reads the file."""
    least, most = row.spread
    return {
        "name": row.name,
        "value": _short(row.value),
        "unit": row.unit,
        "spread": [_short(least), _short(most)],
        "rounds": [_short(found) for found in row.rounds],
        "note": row.note,
        "detail": {what: _short(figure) for what, figure in row.detail.items()},
    }


def _short(figure: float) -> float:
    """Five digits: what is behind them is chance."""
    return float(f"{figure:.5g}")
