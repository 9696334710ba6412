"""What an edge keeps in memory of answers: bounded, and never longer than it holds."""

from edge.era import Era
from edge.fetch import Fetched
from edge.recent import Recent
from edge.remembered import LONGEST_REQUEST, Remembered


def test_what_was_not_asked_for_longest_goes_first() -> None:
    recent: Recent[str, int] = Recent(100)
    recent.keep("a", 1, 40)
    recent.keep("b", 2, 40)
    assert recent.get("a") == 1
    recent.keep("c", 3, 40)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_bytes_are_counted_once_and_given_back() -> None:
    recent: Recent[str, int] = Recent(100)
    for number in range(10):
        recent.keep("a", number, 60)
    recent.drop("a")
    recent.drop("a")
    recent.keep("b", 1, 100)
    assert recent.get("b") == 1
    recent.keep("b", 2, 101)
    assert recent.get("b") is None
    recent.keep("c", 1, 100)
    assert recent.get("c") == 1


def fetched(**options: int) -> Fetched:
    return Fetched((b"{}",), 2, Era(), **options)  # type: ignore[arg-type]


def test_an_answer_is_kept_once_its_request_comes_again() -> None:
    remembered, answer = Remembered(), fetched()
    remembered.remember(b"request", answer)
    assert remembered.get(b"request") is None
    remembered.remember(b"request", answer)
    assert remembered.get(b"request") is answer
    assert remembered.get(b"another") is None


def test_a_long_request_is_not_kept() -> None:
    remembered = Remembered()
    for request in (b"x" * LONGEST_REQUEST, b"x" * (LONGEST_REQUEST + 1)):
        remembered.remember(request, fetched())
        remembered.remember(request, fetched())
        assert (remembered.get(request) is not None) == (len(request) <= LONGEST_REQUEST)


def test_an_answer_holds_until_its_time_or_its_table_is_over() -> None:
    answer = fetched(until_ms=10)
    assert answer.holds(9) and not answer.holds(10)
    assert not fetched().holds(0)
    answer.era.over = True
    assert not answer.holds(9)
