"""docs/errors.md lists what the sources emit, and pydantic's findings are told in our words."""

import re
from typing import Any, get_args

import pytest
from pydantic_core.core_schema import ErrorType

from edge.access import TOKEN_INVALID, TOKEN_MISSING
from service.http import HTTP_CODES
from service.payload import flaw_of
from tests.support.error_codes import ROOT, Failure, event_codes, failures, problem_codes
from wire import plain
from wire.intake import INVALID_EVENT_TYPE, TOO_LARGE

TEXT = (ROOT / "docs" / "errors.md").read_text()
ANSWERS, PROBLEMS, EVENTS = TEXT.split("\n## ")[1:]
LIMITS: dict[str, Any] = {
    "expected": "'a' or 'b'", "min_length": 1, "max_length": 5, "ge": 0, "gt": 0, "le": 5, "lt": 5,
}  # fmt: skip


def codes_in(section: str) -> list[str]:
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


def test_the_docs_list_every_problem_of_a_payload_once() -> None:
    listed = codes_in(PROBLEMS)
    assert listed == sorted(set(listed))
    assert set(listed) == problem_codes() - (event_codes() - {"event_type_missing", "invalid_timestamp"})


def test_the_docs_list_every_reason_to_reject_an_event_once() -> None:
    listed = codes_in(EVENTS)
    flaws = {value.code for value in vars(plain).values() if isinstance(value, plain.Flaw)}
    others = {INVALID_EVENT_TYPE.code, TOO_LARGE.code, TOKEN_INVALID, TOKEN_MISSING}
    assert listed == sorted(set(listed))
    assert set(listed) == event_codes() | flaws | others


def test_the_docs_list_every_failure_with_its_status() -> None:
    listed = {Failure(int(status), code) for status, code in re.findall(r"^\| (\d+) \| `(\w+)` \|", ANSWERS, re.M)}
    by_the_server = {Failure(status, code) for status, code in HTTP_CODES.items()}
    assert listed == failures() | by_the_server | {Failure(401, TOKEN_INVALID)}
    assert "`http_error`" in ANSWERS


@pytest.mark.parametrize("kind", sorted(get_args(ErrorType)))
def test_every_finding_of_pydantic_has_a_code_of_ours_and_a_sentence(kind: str) -> None:
    found = flaw_of({"type": kind, "msg": "Input should match '^[a-z]+$', not hunter2", "ctx": LIMITS})
    assert found.code in codes_in(PROBLEMS)
    assert found.message.endswith(".") and "hunter2" not in found.message and "'^" not in found.message


@pytest.mark.parametrize(
    ("kind", "code", "message"),
    [
        ("string_too_short", "too_short", "Give at least 1 character."),
        ("string_too_long", "too_long", "Use at most 5 characters."),
        ("too_long", "too_long", "Use at most 5 items."),
        ("literal_error", "unknown_value", "Must be 'a' or 'b'."),
        ("string_type", "wrong_type", "Must be text."),
        ("int_from_float", "wrong_type", "Must be a whole number."),
        ("greater_than_equal", "out_of_range", "Must be at least 0."),
        ("our_own", "our_own", "Ours."),
    ],
)
def test_a_sentence_says_what_to_do(kind: str, code: str, message: str) -> None:
    assert flaw_of({"type": kind, "msg": "Ours.", "ctx": LIMITS}) == (code, message)
