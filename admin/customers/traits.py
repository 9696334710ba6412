"""What may be said about a customer."""

from collections.abc import Iterator, Mapping
from typing import Any

from wire import plain
from wire.problems import MISSING, NO_OBJECT, UNKNOWN, Problem, child_pointer, text_flaw, too_long
from wire.subjects import ID_MAX_CHARACTERS

MAX_TRAITS = 200
MAX_NAME_CHARACTERS = 128
_EVENT_DEPTH = 2
"""A trait's value travels two levels deep in its event."""


def trait_problems(traits: Mapping[str, Any], pointer: str) -> Iterator[Problem]:
    if len(traits) > MAX_TRAITS:
        yield Problem(pointer, *too_long(MAX_TRAITS, "traits"))
    for name, value in traits.items():
        at = child_pointer(pointer, name[:MAX_NAME_CHARACTERS])
        for found in filter(None, (text_flaw(name, MAX_NAME_CHARACTERS), plain.flaw(value, _EVENT_DEPTH))):
            yield Problem(at, *found)


def user_id_problem(value: object, pointer: str) -> Problem | None:
    found = text_flaw(value, ID_MAX_CHARACTERS)
    return Problem(pointer, *found) if found else None


def item_problem(item: object) -> Problem | None:
    """The first thing that is wrong with one customer of an import."""
    if not isinstance(item, dict):
        return Problem("", *NO_OBJECT)
    if unknown := item.keys() - {"userId", "traits"}:
        return Problem(child_pointer("", min(unknown)), *UNKNOWN)
    if "userId" not in item:
        return Problem("/userId", *MISSING)
    if problem := user_id_problem(item["userId"], "/userId"):
        return problem
    traits = item.get("traits")
    if traits is not None and not isinstance(traits, dict):
        return Problem("/traits", *NO_OBJECT)
    return next(trait_problems(traits or {}, "/traits"), None)
