"""A feature: one kind of event, by type and properties, of which user states keep the newest moments."""

import hashlib
from dataclasses import dataclass
from typing import Any

from wire import codec
from wire.rule_tree import Compare, to_json
from wire.rules import parse_where

MOST_FEATURES = 200
"""Of one org: each is a test of every event of its type, and a ring in the states of those who did it."""

MOST_MOMENTS = 5_000
"""Of one org, over all its features: what the state of a customer who does everything grows to."""


@dataclass(frozen=True, slots=True)
class Feature:
    """`event` may be ANY_EVENT; `kept`: of how many of the newest events the moments are kept."""

    event: str
    where: tuple[Compare, ...]
    kept: int

    @property
    def id(self) -> str:
        """The same for the same event and conditions, whatever their order; 16 hex digits."""
        return feature_id(self.event, self.where)

    def fields(self) -> list[Any]:
        """As it crosses to another process."""
        return [self.event, [to_json(part, leaf="property") for part in self.where], self.kept]

    @classmethod
    def from_fields(cls, fields: list[Any]) -> "Feature":
        """Raises ValueError or TypeError."""
        event, where, kept = fields
        if not isinstance(event, str) or type(kept) is not int:
            raise TypeError("not a feature")
        return cls(event, parse_where(where), kept)


def feature_id(event: str, where: tuple[Compare, ...]) -> str:
    conditions = sorted({codec.canonical_json(to_json(part, leaf="property")) for part in where})
    named = event.encode() + b"\0" + b"\0".join(conditions)
    return hashlib.sha256(named).hexdigest()[:16]
