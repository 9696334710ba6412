"""Ports of the loopback interface."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"

# Below the ranges that Linux and macOS hand out to clients: a client that keeps trying to reach a stopped server
# from such a range can end up connected to itself, and the port is lost.
_SERVER_PORTS = range(20_000, 32_768)


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens at this moment."""
    while not is_free(port := secrets.choice(_SERVER_PORTS)):
        pass
    return port


def candidates(kept: Path, tries: int) -> Iterator[int]:
    """The port of the last start if it is still free, then free ones; `tries` in all."""
    last = kept.read_text().strip() if kept.exists() else ""
    if last.isdecimal() and is_free(int(last)):
        yield int(last)
        tries -= 1
    for _ in range(tries):
        yield free_port()
