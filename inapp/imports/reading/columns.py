"""The columns of a CSV file, as its header names them, and what their cells mean."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from inapp.imports.reading.lines import UnreadableFileError
from wire import codec
from wire.codec import DecodeError
from wire.plain import Flaw

USER_ID: Final = "userId"
TEXT: Final = "text"

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS: Final = {"true": True, "false": False}

INVALID_NUMBER = Flaw("invalid_number", "Write a number such as 12, -3.5 or 1e6, or leave the cell empty.")
INVALID_BOOLEAN = Flaw("invalid_boolean", "Write true or false, or leave the cell empty.")
INVALID_CELL = Flaw("invalid_json", "This cell is not JSON.")


class CellError(ValueError):
    """A cell that is not of its column's type."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.message)
        self.flaw = flaw


class Column(NamedTuple):
    name: str
    type: str


def read_header(cells: Sequence[str]) -> list[Column]:
    """Raises UnreadableFileError with every problem."""
    columns, problems = [], []
    for place, cell in enumerate(cells, 1):
        try:
            columns.append(_column(cell, place))
        except UnreadableFileError as error:
            problems.append(str(error))
    names = [column.name for column in columns]
    problems += [f"There are two columns {name}." for name in sorted(set(names)) if names.count(name) > 1]
    if not problems and USER_ID not in names:
        problems.append(_no_user_id(cells))
    if problems:
        raise UnreadableFileError("\n  ".join(problems))
    return columns


def looks_like(cell: str) -> str:
    """The type that a text cell might have been meant as."""
    if is_number(cell):
        return "number"
    return "boolean" if cell.lower() in _BOOLEANS else TEXT


def is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None


def value_of(cell: str, type_: str) -> Any:
    """Raises CellError."""
    return _READERS[type_](cell)


def _column(cell: str, place: int) -> Column:
    name, colon, type_ = cell.rpartition(":")
    if not colon:
        name, type_ = cell, TEXT
    if not name:
        raise UnreadableFileError(f"Column {place} has no name.")
    if type_ not in _READERS:
        raise UnreadableFileError(
            f"Column {place}, {cell}: {type_ or 'nothing'} is no type. Types are {', '.join(_READERS)}; "
            f"if the colon belongs to the trait's name, write {cell}:{TEXT}."
        )
    if name == USER_ID and type_ != TEXT:
        raise UnreadableFileError(f"Column {place}, {cell}: ids are text; write {USER_ID}.")
    return Column(name, type_)


def _no_user_id(cells: Sequence[str]) -> str:
    if len(cells) == 1 and any(separator in cells[0] for separator in ";\t|"):
        return f"There is no column {USER_ID}: columns are separated by commas."
    return f"There is no column {USER_ID} in the first line, which names the columns."


def _number(cell: str) -> Any:
    if not is_number(cell):
        raise CellError(INVALID_NUMBER)
    return codec.from_json(cell)


def _boolean(cell: str) -> bool:
    try:
        return _BOOLEANS[cell.lower()]
    except KeyError:
        raise CellError(INVALID_BOOLEAN) from None


def _json(cell: str) -> Any:
    try:
        return codec.from_json(cell)
    except DecodeError:
        raise CellError(INVALID_CELL) from None


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {TEXT: str, "number": _number, "boolean": _boolean, "json": _json}
