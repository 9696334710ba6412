"""What an edge keeps in memory of answers: bounded, and never longer than it holds."""

from edge.era import Era
from edge.fetch import Fetched
from edge.people import Basis
from edge.recent import Recent
from edge.remembered import LONGEST_REQUEST, Remembered
from edge.users import Entry


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


def fetched(until_ms: int = 10) -> Fetched:
    return Fetched((b"{}",), 2, Era(), until_ms=until_ms)


def remembered(now_ms: int = 0) -> Remembered:
    return Remembered(lambda: now_ms)


def how_many(answers: Remembered) -> int:
    return sum(len(part._kept) for part in answers._parts)


def test_an_answer_is_kept_once_its_request_comes_again() -> None:
    answers, answer = remembered(), fetched()
    answers.offer(b"request", answer)
    assert answers.get(b"request") is None
    answers.offer(b"request", answer)
    assert answers.get(b"request") is answer
    assert answers.get(b"another") is None


def test_of_many_requests_that_come_once_hardly_any_is_kept() -> None:
    answers = remembered()
    for number in range(20_000):
        answers.offer(b"%d" % number, fetched())
    assert how_many(answers) < 200


def test_a_long_request_is_not_kept() -> None:
    answers = remembered()
    for request in (b"x" * LONGEST_REQUEST, b"x" * (LONGEST_REQUEST + 1)):
        for _ in range(2):
            answers.offer(request, fetched())
        assert (answers.get(request) is not None) == (len(request) <= LONGEST_REQUEST)


def test_an_answer_that_holds_for_this_once_is_not_kept() -> None:
    answers = remembered()
    for _ in range(2):
        answers.offer(b"request", fetched(until_ms=0))
    assert how_many(answers) == 0


def test_an_answer_holds_until_its_time_its_table_or_its_people_are_over() -> None:
    answer = fetched()
    assert answer.holds(9) and not answer.holds(10)
    answer.era.over = True
    assert not answer.holds(9)
    entry = Entry(1, b"", Era())
    of_somebody = Fetched((b"{}",), 2, Era(), Basis([entry, Entry(1, b"", Era())]), until_ms=10)
    assert of_somebody.holds(9)
    entry.era.over = True
    assert not of_somebody.holds(9)


def test_an_answer_that_does_not_hold_is_given_again_once_it_does() -> None:
    answers, entry = remembered(), Entry(1, b"", Era())
    basis = Basis([entry])
    answer = Fetched((b"{}",), 2, Era(), basis, until_ms=10)
    for _ in range(2):
        answers.offer(b"request", answer)
    entry.change()
    assert answers.get(b"request") is None
    basis.rest_on([entry])
    assert answers.get(b"request") is answer


def test_another_answer_takes_the_place_of_one_that_does_not_hold() -> None:
    answers, answer, new = remembered(), fetched(), fetched()
    for _ in range(2):
        answers.offer(b"request", answer)
    answer.era.over = True
    assert answers.get(b"request") is None
    answers.offer(b"request", new)
    assert answers.get(b"request") is new and how_many(answers) == 1


def test_all_answers_together_are_bounded_in_bytes() -> None:
    answers = Remembered(lambda: 0, most_bytes=640_000)
    for number in range(20_000):
        for _ in range(2):
            answers.offer(b"%d" % number, fetched())
    assert 0.7 * 640_000 / 708 < how_many(answers) <= 640_000 / 708
