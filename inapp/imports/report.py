"""The report of bad lines: NDJSON, beside the file, there only when it is whole."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from inapp.imports.reading.check import Rejected
from wire import codec

SHOWN_BYTES = 2048
"""Of a bad line."""


class ReportInUseError(Exception):
    """Another import writes this report."""


class ReportError(Exception):
    """The report cannot be written."""


class Report:
    """Written to `PATH.part`, which takes the place of PATH at the end. An import that goes on writes it anew.

    A context manager that holds the part against others. Raises ReportError, and ReportInUseError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self.lines = 0

    def __enter__(self) -> Self:
        # For our eyes: it repeats what the file says about people.
        with _named(self.path):
            self._file = os.fdopen(os.open(self._part, os.O_RDWR | os.O_CREAT, 0o600), "wb")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ReportInUseError from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _named(self.path):
            self._file.flush()
            if not os.fstat(self._file.fileno()).st_size:
                self._part.unlink(missing_ok=True)
            self._file.close()

    def begin(self) -> None:
        with _named(self.path):
            self._file.truncate(0)

    def add(self, rejected: Rejected) -> None:
        with _named(self.path):
            self._file.write(codec.to_json(_fields(rejected)) + b"\n")
        self.lines += 1

    def finish(self) -> None:
        """Puts it in its place, on disk; one without lines goes away."""
        with _named(self.path):
            if not self.lines:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._part.replace(self.path)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(f"The report {path} cannot be written: {error.strerror or error}") from error


def _fields(rejected: Rejected) -> dict[str, object]:
    pointer, code, message = rejected.problem
    text = rejected.data[:SHOWN_BYTES].decode(errors="replace").rstrip("\r\n")
    return {"line": rejected.line, "pointer": pointer, "code": code, "message": message, "text": text}
