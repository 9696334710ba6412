"""Writes the latest full run into docs/performance.md and draws its plot: `python -m bench.report`."""

from typing import Final

from bench.figures.budgets import read_budgets
from bench.figures.plot import write_plot
from bench.figures.results import FOLDER, LATEST, Results, read_results
from bench.figures.table import DOCUMENT, write_document
from inapp.console import out

PLOT: Final = FOLDER / "latest.svg"


def keep(results: Results) -> None:
    """As the latest, with its plot."""
    results.write(LATEST)
    write_plot(results.rows, read_budgets(), PLOT)


def main() -> None:
    """From the latest full run."""
    results, budgets = read_results(), read_budgets()
    write_plot(results.rows, budgets, PLOT)
    write_document(results, budgets)
    out.print(f"{DOCUMENT} and {PLOT}")


if __name__ == "__main__":
    main()
