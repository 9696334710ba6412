"""CSV (RFC 4180): the first line names the columns, and a quoted cell may go over several lines."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from inapp.imports.reading.columns import USER_ID, CellError, Column, read_header, value_of
from inapp.imports.reading.lines import MAX_BYTES, Line, UnreadableFileError
from inapp.imports.reading.records import Record, not_utf8, too_long
from inapp.wording import counted
from wire.problems import MISSING, Problem, child_pointer

_NO_USER_ID = Problem("/userId", MISSING.code, "Fill in userId: whom the line is about.")
_OPEN_QUOTE = "A quote is opened here and never closed; close it, or double the quotes inside a cell."


class _Row(NamedTuple):
    """`lines`: those that it takes; `cells` is empty when there is a `problem`."""

    lines: Sequence[Line]
    cells: Sequence[str]
    problem: Problem | None


def read_header_and_records(lines: Iterable[Line]) -> tuple[list[Column], Iterator[Record]]:
    """Raises UnreadableFileError when the header is none."""
    rows = _rows(_Feed(iter(lines)))
    header = next(rows, None)
    if header is None:
        raise UnreadableFileError("The file is empty.")
    if header.problem:
        raise UnreadableFileError(f"The first line does not name columns: {header.problem.message}")
    columns = read_header(header.cells)
    return columns, (_record(row, columns) for row in rows)


class _TooLongError(Exception):
    """A record that does not end in time."""


class _Feed:
    """Gives the csv module its lines, and remembers which of them the record at hand has taken.

    `ended`: it has also asked for one after the last.
    """

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._size_bytes = 0
        self.taken: list[Line] = []
        self.undecodable: Problem | None = None
        self.ended = False

    def __iter__(self) -> "_Feed":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        self._size_bytes += len(line.data)
        if self._size_bytes > MAX_BYTES:
            raise _TooLongError
        try:
            return line.data.decode()
        except UnicodeDecodeError as error:
            self.undecodable = self.undecodable or not_utf8(error)
            return line.data.decode(errors="replace")

    def begin(self) -> None:
        self.taken = []
        self._size_bytes = 0
        self.undecodable = None
        self.ended = False

    def take_back(self) -> None:
        """All lines but the first are read anew: an open quote must not swallow the customers after it."""
        self._again.extendleft(reversed(self.taken[1:]))
        del self.taken[1:]


def _rows(feed: _Feed) -> Iterator[_Row]:
    """Empty lines are no rows."""
    reader = csv.reader(feed, strict=True)
    while True:
        feed.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, _TooLongError) as error:
            problem = _broken(error, feed)
            feed.take_back()
            yield _Row(feed.taken, (), problem)
            continue
        if feed.undecodable:
            yield _Row(feed.taken, (), feed.undecodable)
        elif cells:
            yield _Row(feed.taken, cells, None)


def _broken(error: Exception, feed: _Feed) -> Problem:
    """Only within quotes does the csv module read on after a line."""
    if isinstance(error, _TooLongError):
        return too_long(", or a quote is not closed")
    read_on = len(feed.taken) > 1 or feed.ended
    return Problem("", "invalid_csv", _OPEN_QUOTE if read_on else f"This is not CSV: {error}.")


def _record(row: _Row, columns: Sequence[Column]) -> Record:
    item, problem = (None, row.problem) if row.problem else _item(row.cells, columns)
    last = row.lines[-1]
    data = b"".join(line.data for line in row.lines)
    return Record(row.lines[0].number, last.number + 1, last.end_byte, data, item, problem)


def _item(cells: Sequence[str], columns: Sequence[Column]) -> tuple[Any, Problem | None]:
    """An empty cell says nothing about its trait."""
    if len(cells) != len(columns):
        message = (
            f"The first line names {counted(len(columns), 'column')}, and this one has {counted(len(cells), 'cell')}."
        )
        return None, Problem("", "wrong_cell_count", message)
    item: dict[str, Any] = {"traits": {}}
    for column, cell in zip(columns, cells, strict=True):
        if not cell:
            continue
        try:
            _place(item, column)[column.name] = value_of(cell, column.type)
        except CellError as error:
            return None, Problem(child_pointer("/traits", column.name), *error.flaw)
    return item, None if USER_ID in item else _NO_USER_ID


def _place(item: dict[str, Any], column: Column) -> dict[str, Any]:
    traits: dict[str, Any] = item["traits"]
    return item if column.name == USER_ID else traits
