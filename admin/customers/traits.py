"""What may be said about a customer."""

from collections.abc import Iterator, Mapping
from typing import Any

from wire import plain
from wire.problems import Problem, child_pointer
from wire.subjects import ID_MAX_CHARACTERS

MAX_TRAITS = 200
MAX_NAME_CHARACTERS = 128
_EVENT_DEPTH = 2
"""A trait's value travels two levels deep in its event."""


def trait_problems(traits: Mapping[str, Any], pointer: str) -> Iterator[Problem]:
    if len(traits) > MAX_TRAITS:
        yield Problem(pointer, "too_many_traits", f"Send at most {MAX_TRAITS} traits.")
    for name, value in traits.items():
        at = child_pointer(pointer, name[:MAX_NAME_CHARACTERS])
        if not 1 <= len(name) <= MAX_NAME_CHARACTERS:
            yield Problem(at, "invalid_trait_name", f"A trait's name has 1 to {MAX_NAME_CHARACTERS} characters.")
        if found := plain.text_flaw(name) or plain.flaw(value, _EVENT_DEPTH):
            yield Problem(at, found.code, found.message)


def user_id_problem(value: object, pointer: str) -> Problem | None:
    if not isinstance(value, str) or not 1 <= len(value) <= ID_MAX_CHARACTERS:
        return Problem(pointer, "invalid_user_id", f"userId is text of 1 to {ID_MAX_CHARACTERS} characters.")
    found = plain.text_flaw(value)
    return Problem(pointer, found.code, found.message) if found else None


def item_problem(item: object) -> Problem | None:
    """The first thing that is wrong with one customer of an import."""
    if not isinstance(item, dict):
        return Problem("", "not_an_object", "A customer is an object with userId and traits.")
    unknown = item.keys() - {"userId", "traits"}
    if unknown:
        return Problem("", "extra_forbidden", "A customer has userId and traits, and nothing else.")
    if problem := user_id_problem(item.get("userId"), "/userId"):
        return problem
    traits = item.get("traits")
    if traits is not None and not isinstance(traits, dict):
        return Problem("/traits", "not_an_object", "traits must be an object.")
    return next(trait_problems(traits or {}, "/traits"), None)
