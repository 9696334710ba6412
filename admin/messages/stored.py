"""JSON columns read so that no row, whatever stands in it, keeps the others from being shown."""

from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Text, TypeDecorator, cast, type_coerce
from sqlalchemy.engine import Dialect

from wire import codec, plain
from wire.codec import DecodeError


def readable(column: Column[Any]) -> ColumnElement[Any]:
    """The column for a SELECT; JSON is parsed here and not by the driver, which would fail the whole query."""
    if not isinstance(column.type, JSON):
        return column
    return type_coerce(cast(column, Text), _Stored()).label(column.name)


class _Stored(TypeDecorator[Any]):
    """The value; the text itself where it cannot be held or written, which is no object and so fits nowhere."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Any:
        if value is None:
            return None
        try:
            parsed = codec.from_json(value)
        except DecodeError:
            return value
        return value if plain.flaw(parsed) else parsed
