"""Merge patches, and which parts of a payload are fit to be looked at."""

from typing import Any

import pytest

from admin.messages.checks import Readable
from admin.messages.document import merge
from wire.problems import Problem


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {"b": None}}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": "x"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": "x"}, {"a": "x"}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"b": {"c": 1, "d": 2}}}, {"a": {"b": {"c": 3}}}, {"a": {"b": {"c": 3, "d": 2}}}),
    ],
)
def test_a_patch_is_merged_field_by_field(target: Any, patch: Any, merged: Any) -> None:
    before = repr(target)
    assert merge(target, patch) == merged
    assert repr(target) == before


def test_a_patch_of_any_depth_is_merged() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep}
    assert merge({"a": 1}, deep) == deep


def test_a_place_is_sound_unless_it_or_something_around_or_inside_it_is_wrong() -> None:
    payload = {"a": {"b": 1, "bc": 2}, "d": [1]}
    sound = Readable(payload, [Problem("/a/b", "x", "x"), Problem("/d/0", "x", "x")])
    assert not sound.has("/a/b") and not sound.has("/a") and not sound.has("/a/b/c") and not sound.has("/d")
    assert sound.has("/a/bc", "/e")
    assert not sound.has("/a/bc", "/a/b")
    assert (sound.get("/a/bc"), sound.get("/a/x"), sound.get("/d/x"), sound.get("/x/y")) == (2, None, None, None)
