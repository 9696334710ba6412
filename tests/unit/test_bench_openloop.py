"""The generator, against a server whose pauses are known."""

import socket
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.load.answers import BadAnswerError
from bench.load.latency import distribution
from bench.load.openloop import all_at_once, play, schedule_ns

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
STALL_S = 0.5


@contextmanager
def serving(answer: Callable[[int], bytes]) -> Iterator[int]:
    """The port of a server with one thread for one connection: the n-th request gets `answer(n)`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_serve, args=(listener, answer), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)


def _serve(listener: socket.socket, answer: Callable[[int], bytes]) -> None:
    connection, _ = listener.accept()
    number = 0
    with connection:
        while connection.recv(65_536):
            connection.sendall(answer(number))
            number += 1


def stalls_at(number: int) -> Callable[[int], bytes]:
    def answer(asked: int) -> bytes:
        if asked == number:
            time.sleep(STALL_S)
        return ANSWER

    return answer


def test_everybody_who_would_have_waited_for_a_stall_counts() -> None:
    """One answer in 500 is slow. A generator that waits for it would find one slow answer, and a p99 without it."""
    with serving(stalls_at(100)) as port:
        played = play(port, [REQUEST], schedule_ns(500, 1.0), connections=1)
    assert distribution(played.took_ns).p99 > 1_000 * STALL_S * 0.8


def test_waiting_for_a_busy_connection_is_no_lateness_of_the_generator() -> None:
    with serving(stalls_at(100)) as port:
        played = play(port, [REQUEST], schedule_ns(500, 1.0), connections=1)
    waited_ns = [took - late for took, late in zip(played.took_ns, played.late_ns, strict=True)]
    assert distribution(waited_ns).p99 > 1_000 * STALL_S * 0.8


def test_every_request_is_answered_and_counted() -> None:
    with serving(lambda _: ANSWER) as port:
        played = play(port, [REQUEST], all_at_once(300), connections=1)
    assert list(played.bytes) == [5] * 300
    assert all(took_ns > 0 for took_ns in played.took_ns)


def test_a_bad_answer_ends_it() -> None:
    bad = b"HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"
    with serving(lambda number: bad if number == 20 else ANSWER) as port, pytest.raises(BadAnswerError, match="500 Oh"):
        play(port, [REQUEST], all_at_once(300), connections=1)


def test_nothing_is_sent_before_it_is_due() -> None:
    with serving(lambda _: ANSWER) as port:
        played = play(port, [REQUEST], array("q", [0, 100_000_000, 200_000_000]), connections=1)
    assert min(played.took_ns) > 0


def test_a_schedule_is_the_same_for_all_who_are_compared() -> None:
    first, second = schedule_ns(1_000, 2.0), schedule_ns(1_000, 2.0)
    assert first == second
    assert list(first) == sorted(first)
    assert len(first) == pytest.approx(2_000, rel=0.1)
    assert first[0] > 0
    assert first[-1] < 2e9
