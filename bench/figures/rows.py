"""What a benchmark measured."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `name`: as in `budgets.toml`, where there is a budget for it. `rounds`: what each round found.

    `unit`: `× nginx` and the like for a ratio to a baseline of the same round, `µs of CPU`, `ms`, `MB`, `events/s`…
    `note`: of what, and how. `detail`: what else is worth knowing, such as the figures behind a ratio.
    """

    name: str
    rounds: tuple[float, ...]
    unit: str
    note: str = ""
    detail: Mapping[str, float] = field(default_factory=dict)

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest of the rounds."""
        return min(self.rounds), max(self.rounds)
