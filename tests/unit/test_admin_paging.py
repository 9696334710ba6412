"""Cursors."""

from uuid import uuid4

import pytest

from admin.paging import encode_cursor, read_place, read_subject
from service.errors import ApiError


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    id_ = uuid4()
    assert read_place(encode_cursor(1_780_000_000_000, str(id_))) == (1_780_000_000_000, id_)
    for subject in ("u:ada", "a:ü/?&=+%", "u:" + "𝔘" * 256):
        cursor = encode_cursor(subject)
        assert read_subject(cursor) == subject
        assert cursor.isascii() and not set(cursor) & set("+/=&")


def test_no_cursor_is_the_first_page() -> None:
    assert read_place(None) is None
    assert read_subject(None) is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "ü", "e30", "!!!!", encode_cursor(1), encode_cursor(2**63, str(uuid4())), encode_cursor(1, "no-id")],
)
def test_anything_else_is_refused(cursor: str) -> None:
    for read in (read_place, read_subject):
        with pytest.raises(ApiError) as raised:
            read(cursor)
        assert [problem.code for problem in raised.value.details] == ["invalid_cursor"]


def test_a_subject_that_postgres_cannot_hold_is_refused() -> None:
    with pytest.raises(ApiError):
        read_subject(encode_cursor("u:\0"))
