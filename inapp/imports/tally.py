"""What a dry run saw of a file, in bounded memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from inapp.imports.reading.check import Customer, Rejected
from inapp.imports.reading.columns import TEXT, USER_ID, Column, looks_like

MOST_TRAITS = 500
"""Named one by one; the others are only said to be there."""

TYPES = (TEXT, "number", "boolean", "list", "object", "null")


@dataclass(slots=True)
class Tally:
    """`first`: of each code of bad lines, the first one. `looks`: of each trait, what its texts could be meant as."""

    good: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    first: dict[str, Rejected] = field(default_factory=dict)
    traits: dict[str, Counter[str]] = field(default_factory=dict)
    looks: dict[str, set[str]] = field(default_factory=dict)
    more_traits: bool = False

    def add(self, outcome: Customer | Rejected) -> None:
        if isinstance(outcome, Rejected):
            self.bad[outcome.problem.code] += 1
            self.first.setdefault(outcome.problem.code, outcome)
            return
        self.good += 1
        for name, value in outcome.traits.items():
            self._add_trait(name, value)

    def advice(self, columns: Iterable[Column]) -> Iterator[str]:
        """For text columns that may be meant as another type."""
        for column in columns:
            looks = self.looks.get(column.name, set())
            if column.name != USER_ID and column.type == TEXT and len(looks) == 1 and TEXT not in looks:
                (meant,) = looks
                yield f"{column.name} is text. Write {column.name}:{meant} in the header if {meant}s are meant."

    def _add_trait(self, name: str, value: Any) -> None:
        types = self.traits.get(name)
        if types is None:
            if len(self.traits) >= MOST_TRAITS:
                self.more_traits = True
                return
            types = self.traits[name] = Counter()
        types[type_of(value)] += 1
        if isinstance(value, str):
            self.looks.setdefault(name, set()).add(looks_like(value))


def type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case str():
            return TEXT
        case bool():
            return "boolean"
        case int() | float():
            return "number"
    return "list" if isinstance(value, Sequence) else "object"
