import pytest

from bench.load.answers import Answers, BadAnswerError

ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 11\r\nETag: y\r\n\r\nhello world"


def fed(answers: Answers, *parts: bytes) -> list[int | None]:
    return [answers.feed(bytearray(part.ljust(len(part) + 9, b"#")), len(part)) for part in parts]


def test_an_answer_is_complete_with_its_last_byte() -> None:
    assert fed(Answers(), ANSWER) == [11]


@pytest.mark.parametrize("cut", range(1, len(ANSWER)))
def test_an_answer_may_come_in_two_parts(cut: int) -> None:
    assert fed(Answers(), ANSWER[:cut], ANSWER[cut:]) == [None, 11]


def test_an_answer_may_come_byte_by_byte() -> None:
    assert fed(Answers(), *(ANSWER[place : place + 1] for place in range(len(ANSWER))))[-2:] == [None, 11]


def test_one_answer_after_the_other() -> None:
    small = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    assert fed(Answers(), ANSWER[:60], ANSWER[60:], small, ANSWER) == [None, 11, 2, 11]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 503 Away\r\ncontent-length: 2\r\n\r\n{}", id="not a 200"),
        pytest.param(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", id="without a length"),
        pytest.param(b"", id="closed"),
    ],
)
def test_what_is_no_good_answer_is_an_error(answer: bytes) -> None:
    with pytest.raises(BadAnswerError):
        fed(Answers(), answer)
