"""What the lines of a file say, before it is checked."""

from typing import Any, NamedTuple

from inapp.imports.reading.lines import MAX_BYTES
from wire.problems import Problem

INVALID_JSON = Problem("", "invalid_json", "This line is not one JSON object.")


class Record(NamedTuple):
    """One customer's line, or lines: a CSV record may go over several.

    `line`: where it begins; `next_line` and `end_byte`: where the next one does. `item`: `{"userId", "traits"}` as the
    file has it, unless a `problem` kept it from being read. `data`: as it stands in the file.
    """

    line: int
    next_line: int
    end_byte: int
    data: bytes
    item: Any = None
    problem: Problem | None = None


def not_utf8(error: UnicodeDecodeError) -> Problem:
    return Problem("", "invalid_utf8", f"Byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8.")


def too_long(advice: str = "") -> Problem:
    return Problem("", "line_too_long", f"This has more than {MAX_BYTES:,} bytes{advice}.")
