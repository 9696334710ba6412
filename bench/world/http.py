"""HTTP/1.1 as SDKs send it: whole requests as bytes."""

from typing import Final

FETCH: Final = "/api/v1/in-app-messages/fetch"
TRACK: Final = "/api/v1/events"
TRACK_BATCH: Final = "/api/v1/events/batch"


def post(path: str, key: str, body: bytes) -> bytes:
    """A whole request, as an SDK sends it."""
    return _head("POST", path, key, f"Content-Length: {len(body)}\r\n") + body


def get(path: str, key: str) -> bytes:
    """The same without a body, for servers that ignore what they are asked."""
    return _head("GET", path, key)


def _head(method: str, path: str, key: str, more: str = "") -> bytes:
    fixed = "Host: edge.example.com\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    return f"{method} {path} HTTP/1.1\r\n{fixed}X-API-Key: {key}\r\n{more}\r\n".encode()
