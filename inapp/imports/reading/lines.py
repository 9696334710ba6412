"""A file's lines, each with a bounded number of bytes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, NamedTuple

MAX_BYTES: Final = 128 * 1024
"""Of one record. What a customer may carry is far less; a longer one is a mistake, and must not fill the memory. The
csv module takes no longer cells either."""

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


class UnreadableFileError(ValueError):
    """Why nothing of the file can be read, and what to do."""


class FileReadError(UnreadableFileError):
    """The disk or the network under the file fails."""


class Line(NamedTuple):
    """`number` counts from 1; `end_byte`: where the next line begins. `whole` False: `data` is only its beginning."""

    number: int
    data: bytes
    end_byte: int
    whole: bool


@contextmanager
def reading() -> Iterator[None]:
    """Tells the file's own failures from those of other things. Raises FileReadError."""
    try:
        yield
    except OSError as error:
        raise FileReadError(f"The file cannot be read: {error.strerror or error}.") from error


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """The lines with their ends, the byte order mark left out. Raises FileReadError; UnreadableFileError for UTF-16."""
    number = end_byte = 0
    with reading():
        while data := file.readline(MAX_BYTES + 1):
            number += 1
            end_byte += len(data)
            whole = len(data) <= MAX_BYTES or data.endswith(b"\n")
            if not whole:
                end_byte += _skip_rest(file)
            yield Line(number, _without_mark(data) if number == 1 else data, end_byte, whole)


def _skip_rest(file: BinaryIO) -> int:
    skipped = 0
    while data := file.readline(MAX_BYTES):
        skipped += len(data)
        if data.endswith(b"\n"):
            break
    return skipped


def _without_mark(data: bytes) -> bytes:
    if data.startswith(_UTF16_BOMS):
        raise UnreadableFileError("The file is UTF-16. Save it as UTF-8, and import that.")
    return data.removeprefix(_UTF8_BOM)
