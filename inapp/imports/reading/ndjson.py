"""NDJSON: one `{"userId", "traits"}` a line, the shape that `POST /customers/bulk` takes."""

from collections.abc import Iterable, Iterator
from typing import Any

from inapp.imports.reading.lines import Line
from inapp.imports.reading.records import INVALID_JSON, Record, not_utf8, too_long
from wire import codec
from wire.codec import DecodeError
from wire.problems import Problem


def read_ndjson(lines: Iterable[Line]) -> Iterator[Record]:
    """Lines of nothing but spaces are no records."""
    for line in lines:
        if line.data.strip():
            item, problem = _read(line)
            yield Record(line.number, line.number + 1, line.end_byte, line.data, item, problem)


def _read(line: Line) -> tuple[Any, Problem | None]:
    if not line.whole:
        return None, too_long()
    try:
        return codec.from_json(line.data.decode()), None
    except UnicodeDecodeError as error:
        return None, not_utf8(error)
    except DecodeError:
        return None, INVALID_JSON
