"""What can be stored and compared everywhere, found out the quick way and the thorough one."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wire import codec, plain
from wire.plain import MAX_DEPTH, MAX_SAFE_INTEGER

INTEGERS = st.integers(-(2**70), 2**70) | st.sampled_from(
    [sign * (MAX_SAFE_INTEGER + d) for sign in (1, -1) for d in (-1, 0, 1)]
)
TEXTS = st.text(st.characters() | st.sampled_from(["\0", "\ud800", "\\", "u", "0", "{", "é"]), max_size=8)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=20
)


def nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for level in range(levels):
        value = {"a": value} if level % 2 else [value]
    return {"a": value}


@given(st.dictionaries(TEXTS, VALUES, max_size=5))
@example({"a": float("inf")})
@example({"a": "\0"})
@example({"a": "\ud800"})
@example({"\ud800": 1})
@example({"a": MAX_SAFE_INTEGER + 1})
@example({"a": -MAX_SAFE_INTEGER - 1})
@example(nested(MAX_DEPTH - 1))
@example(nested(MAX_DEPTH))
def test_what_is_quickly_found_to_be_sound_has_no_flaw(value: dict[str, Any]) -> None:
    data = plain.sound_json(value)
    assert data is None or plain.flaw(value) is None
    assert data is None or data == codec.canonical_json(value)


@pytest.mark.parametrize(
    "value",
    [{}, {"b": 1, "a": [True, 1.5, "é", {"c": MAX_SAFE_INTEGER - 1}]}, {"text": "a\nb\\"}, nested(MAX_DEPTH - 1)],
)
def test_the_quick_way_is_taken_for_what_usually_comes(value: dict[str, Any]) -> None:
    assert (
        plain.sound_json(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    )


@pytest.mark.parametrize("levels", [MAX_DEPTH, 600])
def test_what_is_nested_deeper_than_can_be_written_is_too_deep(levels: int) -> None:
    assert plain.sound_json(nested(levels)) is None
    assert plain.flaw(nested(levels)) == plain.TOO_DEEP


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"a": [None, "\0"]}, "nul_character"),
        ({"a": {"\ud800": 1}}, "lone_surrogate"),
        ({"a": [1, float("-inf")]}, "number_not_finite"),
        ({"a": [MAX_SAFE_INTEGER + 1]}, "integer_out_of_range"),
        ({"a": [{} for _ in range(MAX_DEPTH)], "b": None, "c": MAX_SAFE_INTEGER, "d": "\\u0000"}, None),
    ],
)
def test_the_thorough_way_says_what_is_wrong(value: dict[str, Any], code: str | None) -> None:
    found = plain.flaw(value)
    assert (found.code if found else None) == code
