"""Requests by a schedule that is fixed in advance, each timed from the moment at which it was due.

A generator that waits for answers before it asks again asks less while a server stalls, and then knows nothing of all
those who would have waited: its percentiles leave out what is worst ("coordinated omission"). Here a request that is
due while every connection is busy waits for one, and that wait counts.

One thread that does nothing else, on `select`: the timers of asyncio and libuv count in milliseconds, which is longer
than most answers take.
"""

import ctypes
import gc
import selectors
import socket
import sys
from array import array
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from random import Random
from select import select
from time import perf_counter_ns

from bench.load.answers import Answers

_BUFFER_BYTES = 256 * 1024
_GIVE_UP_NS = 10_000_000_000
_SEED = 11
_PR_SET_TIMERSLACK = 29


class StalledError(Exception):
    """For ten seconds no answer came that somebody waited for."""


def schedule_ns(rate_per_s: float, seconds: float) -> "array[int]":
    """When each request is due, in ns from the start: at random, as people come, and the same at every call."""
    random, due, at_s = Random(_SEED), array("q"), 0.0  # noqa: S311
    while (at_s := at_s + random.expovariate(rate_per_s)) < seconds:
        due.append(int(at_s * 1e9))
    return due


def all_at_once(count: int) -> "array[int]":
    """A schedule that keeps every connection busy."""
    return array("q", bytes(8 * count))


@dataclass(slots=True)
class Played:
    """By number of request: `took_ns` from when it was due to the end of its answer, `bytes` of the answer's body.

    `late_ns`: how long a request that was due, and had a free connection, was left waiting by the generator itself.
    """

    took_ns: "array[int]"
    late_ns: "array[int]"
    bytes: "array[int]"


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    answers: Answers = field(default_factory=Answers)
    request: int = -1
    free_ns: int = 0


def play(port: int, requests: Sequence[bytes], due_ns: "array[int]", connections: int = 64) -> Played:
    """Sends `requests`, in turn and from the start again, when they are due. Raises BadAnswerError, StalledError.

    Each is the bytes of a whole request; every answer must be a 200 with a Content-Length.
    """
    count = len(due_ns)
    played = Played(*(array("q", bytes(8 * count)) for _ in range(3)))
    with ExitStack() as stack:
        stack.enter_context(_undisturbed())
        pool = [_Connection(stack.enter_context(_connected(port))) for _ in range(min(connections, count))]
        selector = stack.enter_context(selectors.DefaultSelector())
        for connection in pool:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        _Player(requests, due_ns, selector, deque(pool), played).run()
    return played


class _Player:
    def __init__(
        self,
        requests: Sequence[bytes],
        due_ns: "array[int]",
        selector: selectors.DefaultSelector,
        idle: deque[_Connection],
        played: Played,
    ) -> None:
        self._requests = requests
        self._due_ns = due_ns
        self._selector = selector
        self._idle = idle
        self._played = played
        self._buffer = bytearray(_BUFFER_BYTES)
        self._sent = 0
        self._began_ns = 0

    def run(self) -> None:
        count, answered, latest_ns = len(self._due_ns), 0, 0
        self._began_ns = perf_counter_ns()
        while answered < count:
            self._send_due()
            self._wait()
            completed = sum(self._receive(key.data) for key, _ in self._selector.select(0))
            answered += completed
            latest_ns = self._now_ns() if completed or self._sent == answered else latest_ns
            if self._now_ns() - latest_ns > _GIVE_UP_NS:
                raise StalledError(f"{count - answered} of {count} requests are not answered")

    def _now_ns(self) -> int:
        return perf_counter_ns() - self._began_ns

    def _send_due(self) -> None:
        due, idle = self._due_ns, self._idle
        while idle and self._sent < len(due) and due[self._sent] <= (now_ns := self._now_ns()):
            connection, number = idle.popleft(), self._sent
            self._sent += 1
            self._played.late_ns[number] = now_ns - max(due[number], connection.free_ns)
            connection.request = number
            connection.socket.sendall(self._requests[number % len(self._requests)])

    def _wait(self) -> None:
        """Until an answer is there, or a request is due for which a connection is free."""
        wait_s = 0.1
        if self._idle and self._sent < len(self._due_ns):
            wait_s = max(0.0, (self._due_ns[self._sent] - self._now_ns()) / 1e9)
        select([self._selector.fileno()], [], [], wait_s)

    def _receive(self, connection: _Connection) -> bool:
        """Whether the answer is complete."""
        size = connection.socket.recv_into(self._buffer)
        length = connection.answers.feed(self._buffer, size)
        if length is None:
            return False
        now_ns, number = self._now_ns(), connection.request
        self._played.took_ns[number] = now_ns - self._due_ns[number]
        self._played.bytes[number] = length
        connection.free_ns = now_ns
        self._idle.append(connection)
        return True


@contextmanager
def _connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage collection, and timers that are not rounded up by 50 µs."""
    gc.collect()
    gc.freeze()
    gc.disable()
    _set_timer_slack(1)
    try:
        yield
    finally:
        _set_timer_slack(0)
        gc.enable()
        gc.unfreeze()


def _set_timer_slack(ns: int) -> None:
    """0: the usual."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, ns)
