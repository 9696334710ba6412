"""The file that is imported: what it is called, how it is read, and whether it stays as it is."""

import hashlib
import os
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from inapp.imports.reading.columns import Column
from inapp.imports.reading.csv_records import read_header_and_records
from inapp.imports.reading.lines import UnreadableFileError, read_lines, reading
from inapp.imports.reading.ndjson import read_ndjson
from inapp.imports.reading.records import Record

_PIECE_BYTES = 1024 * 1024


class Format(StrEnum):
    NDJSON = "ndjson"
    CSV = "csv"


_FORMATS = {".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON, ".csv": Format.CSV}


class FileChangedError(Exception):
    """Somebody writes to the file while it is read."""


class Source:
    """`columns` of a CSV file; None for NDJSON.

    Raises UnreadableFileError when nothing of it can be read; everything that reads raises FileReadError.
    """

    def __init__(self, file: BinaryIO, name: str, format_: Format) -> None:
        self.name = name
        self.columns: list[Column] | None = None
        self._file = file
        self._format = format_
        self._stamp = self._now()
        self.size_bytes = self._stamp[0]
        if not self.size_bytes:
            raise UnreadableFileError("The file is empty.")

    def digest(self, read: Callable[[int], None]) -> bytes:
        """SHA-256 of all bytes. `read` is told how many it has."""
        sha, done = hashlib.sha256(), 0
        for piece in self._pieces():
            sha.update(piece)
            done += len(piece)
            read(done)
        self.expect_unchanged()
        return sha.digest()

    def records(self) -> Iterator[Record]:
        """From the beginning. Raises UnreadableFileError."""
        self._file.seek(0)
        lines = read_lines(self._file)
        if self._format is Format.NDJSON:
            return read_ndjson(lines)
        self.columns, records = read_header_and_records(lines)
        return records

    def expect_unchanged(self) -> None:
        """Raises FileChangedError."""
        if self._now() != self._stamp:
            raise FileChangedError

    def _pieces(self) -> Iterator[bytes]:
        self._file.seek(0)
        with reading():
            while piece := self._file.read(_PIECE_BYTES):
                yield piece

    def _now(self) -> tuple[int, int]:
        with reading():
            status = os.fstat(self._file.fileno())
        return status.st_size, status.st_mtime_ns


def format_of(path: Path) -> Format | None:
    """What the file's name says."""
    return _FORMATS.get(path.suffix.lower())
