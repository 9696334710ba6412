"""What a benchmark measured."""

from dataclasses import dataclass
from typing import Literal

Size = Literal["tiny", "nightly"]
"""`tiny` only shows that the harness works; figures worth reading come from `nightly`."""


@dataclass(frozen=True, slots=True)
class Row:
    """`target`: what was promised, in the same unit, and at most that; None: nothing was. `note`: of what, and how."""

    name: str
    value: float
    unit: str
    target: float | None = None
    note: str = ""
