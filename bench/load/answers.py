"""Where one HTTP/1.1 answer ends in what comes over a connection: no more of HTTP than a benchmark needs."""

import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200"


class BadAnswerError(Exception):
    """An answer that is no 200, or a connection that was closed; the message has its beginning."""


class Answers:
    """Those of one connection on which one request is answered at a time."""

    __slots__ = ("_head", "_length", "_missing")

    def __init__(self) -> None:
        self._head = b""
        self._length = 0
        self._missing = 0

    def feed(self, buffer: bytearray, size: int) -> int | None:
        """Takes the first `size` bytes of `buffer`; bytes of the body once an answer is complete, else None.

        Raises BadAnswerError.
        """
        if size == 0:
            raise BadAnswerError("the connection was closed")
        if self._missing == 0:
            return self._begin(buffer, size)
        self._missing -= size
        return self._length if self._missing == 0 else None

    def _begin(self, buffer: bytearray, size: int) -> int | None:
        """With the head, or more of one of which some was there already."""
        if self._head:
            buffer, size = bytearray(self._head + buffer[:size]), len(self._head) + size
        end = buffer.find(_HEAD_END, 0, size)
        if end < 0:
            self._head = bytes(buffer[:size])
            return None
        self._head = b""
        length = _LENGTH.search(buffer, 0, end)
        if not buffer.startswith(_OK) or length is None:
            raise BadAnswerError(bytes(buffer[: min(size, 600)]).decode(errors="replace"))
        self._length = int(length[1])
        self._missing = end + len(_HEAD_END) + self._length - size
        return self._length if self._missing == 0 else None
