from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.patterns import text_test
from wire.literals import glob_literals

TEXTS = st.text("ab*\\%", max_size=12)


def by_definition(pattern: str, text: str) -> bool:
    """Globs as docs/rules.md defines them, without any cleverness."""

    @cache
    def matches(at: int, start: int) -> bool:
        if at == len(pattern):
            return start == len(text)
        if pattern[at] == "*":
            return matches(at + 1, start) or (start < len(text) and matches(at, start + 1))
        literal = at + 1 if pattern[at] == "\\" else at
        return start < len(text) and text[start] == pattern[literal] and matches(literal + 1, start + 1)

    return matches(0, 0)


@settings(max_examples=1_000, deadline=None)
@given(pattern=st.lists(st.sampled_from(["*", "a", "b", "%", "\\*", "\\\\"]), max_size=8).map("".join), text=TEXTS)
def test_a_glob_matches_what_its_definition_says(pattern: str, text: str) -> None:
    assert text_test("glob", pattern)(text) == by_definition(pattern, text)


@given(text=TEXTS)
def test_a_text_with_its_specials_escaped_matches_only_itself(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace("*", "\\*")
    test = text_test("glob", escaped)
    assert test(text)
    assert not test(text + "a")


def test_a_glob_made_to_backtrack_ends() -> None:
    hostile = text_test("glob", "*a" * 500 + "*b")
    assert not hostile("a" * 100_000)
    assert hostile("a" * 100_000 + "b")


@pytest.mark.parametrize("pattern", ["\\", "a\\b", "*\\?"])
def test_an_escape_of_nothing_special_is_no_glob(pattern: str) -> None:
    assert glob_literals(pattern) is None
    with pytest.raises(ValueError, match="not a glob"):
        text_test("glob", pattern)
