"""Reading one jsonb value as a string, a number, a moment or a version: NULL when it is none, and never an error."""

import math
import operator
import struct
from collections.abc import Callable
from decimal import Context, Decimal
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Double,
    Integer,
    Numeric,
    Text,
    and_,
    case,
    cast,
    extract,
    func,
    literal,
    literal_column,
    or_,
)
from sqlalchemy.dialects.postgresql import array

from wire.literals import MOMENT_SHAPE, VERSION_SHAPE

Column = ColumnElement[Any]

_PRECISE: Final = Context(prec=1_200)
"""Digits enough for the exact sum of any two neighbouring doubles."""

_OVERFLOW: Final = literal(Decimal(2**1024 - 2**970), Numeric)
"""The least number that rounds to infinity as a double."""
_UNDERFLOW: Final = literal(_PRECISE.power(Decimal(2), -1075), Numeric)
"""The greatest number that rounds to zero as a double."""

_EDGES: Final = {
    "gte": (-math.inf, operator.ge, operator.gt),
    "gt": (math.inf, operator.gt, operator.ge),
    "lt": (-math.inf, operator.lt, operator.le),
    "lte": (math.inf, operator.le, operator.lt),
}
"""On which side of a bound decimals begin to round to something that is beyond it, and how they compare with that edge
where the bound is an even double, and where it is odd."""

_MOMENT: Final = literal(f"^({MOMENT_SHAPE})$", Text)
_VERSION: Final = literal(f"^({VERSION_SHAPE})$", Text)
_FINER_THAN_MS: Final = literal(r"(\.[0-9]{3})[0-9]+", Text)


class JsonbValue:
    """`json` may be SQL NULL: a missing value."""

    def __init__(self, json: Column) -> None:
        self.json = json
        self.kind: ColumnElement[str] = func.jsonb_typeof(json, type_=Text)

    def if_kind(self, kind: str, reading: Column) -> Column:
        """`reading`, computed only where the value is of this kind."""
        return case((self.kind == literal_column(f"'{kind}'"), reading))

    @property
    def text(self) -> Column:
        """The string, comparing by code point."""
        content = self.json.op("#>>", return_type=Text())(literal_column("'{}'::text[]"))
        return self.if_kind("string", content).collate("C")

    @property
    def number(self) -> Column:
        """The double nearest to the number; one beyond all doubles is no number."""
        exact = cast(self.json, Numeric)
        double = case(
            (or_(exact >= _OVERFLOW, exact <= -_OVERFLOW), None),
            (func.abs(exact) <= _UNDERFLOW, 0.0),
            else_=cast(self.json, Double),
        )
        return self.if_kind("number", double)

    def beyond(self, op: str, bound: float) -> Column:
        """Whether the number is gt, gte, lt or lte `bound`, without making a double of each as `number` does."""
        towards, order_if_even, order_if_odd = _EDGES[op]
        order: Callable[[Any, Any], Column] = order_if_even if _is_even(bound) else order_if_odd
        exact = cast(self.json, Numeric)
        is_finite = exact > -_OVERFLOW if op in ("lt", "lte") else exact < _OVERFLOW
        return self.if_kind("number", and_(order(exact, literal(_edge(bound, towards), Numeric)), is_finite))

    @property
    def moment_ms(self) -> Column:
        """As `wire.literals.moment_ms` reads it."""
        text = self.text
        midnight = case((func.length(text) == 10, text.concat("T00:00Z")), else_=text)
        iso = func.regexp_replace(midnight, _FINER_THAN_MS, r"\1", type_=Text)
        ms = cast(extract("epoch", cast(iso, DateTime(timezone=True))) * 1_000, BigInteger)
        return case((text.regexp_match(_MOMENT), case((func.pg_input_is_valid(iso, "timestamptz"), ms))))

    @property
    def version(self) -> Column:
        """As `wire.literals.version_parts` reads it: an array of four."""
        padded = func.ltrim(self.text, "v").concat(".0.0.0")
        parts = [cast(func.split_part(padded, ".", place), Integer) for place in (1, 2, 3, 4)]
        return case((self.text.regexp_match(_VERSION), array(parts)))


def _edge(bound: float, towards: float) -> Decimal:
    """Between `bound` and the next double, where decimals stop rounding to `bound`."""
    beyond = math.nextafter(bound, towards)
    neighbour = Decimal(beyond) if math.isfinite(beyond) else Decimal(2**1024).copy_sign(Decimal(towards))
    return _PRECISE.divide(_PRECISE.add(Decimal(bound), neighbour), Decimal(2))


def _is_even(double: float) -> bool:
    """A decimal just between two doubles rounds to the even one."""
    return struct.pack("<d", double)[0] % 2 == 0
