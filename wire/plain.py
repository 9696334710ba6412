"""Whether a JSON value can be stored and compared everywhere: Postgres, Python, JavaScript."""

import math
from typing import NamedTuple

import orjson

MAX_DEPTH = 10
MAX_SAFE_INTEGER = 2**53
_BRACE, _BRACKET, _BACKSLASH = b"{[\\"
_CANONICAL = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


class Flaw(NamedTuple):
    code: str
    message: str


NUL = Flaw("nul_character", "Text must not contain NUL characters (\\u0000).")
SURROGATE = Flaw("lone_surrogate", "Text must be valid Unicode; it has half of a surrogate pair.")
TOO_DEEP = Flaw("too_deep", f"Objects and lists may be nested {MAX_DEPTH} levels deep at most.")
UNSAFE_INTEGER = Flaw("integer_out_of_range", "Whole numbers must lie within ±2^53; send longer ones as text.")
NOT_FINITE = Flaw("number_not_finite", "Numbers must be finite.")


def text_flaw(text: str) -> Flaw | None:
    if "\0" in text:
        return NUL
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return SURROGATE
    return None


def sound_json(value: dict[str, object]) -> bytes | None:
    """The canonical JSON of an object that surely has no flaw; None: `flaw` has to be asked.

    One pass in C in place of one in Python. Half of a surrogate pair and a long integer cannot be written. What else
    may be wrong shows in the bytes: NUL as an escape, what is not finite as null, depth as the number of brackets.
    """
    try:
        data = orjson.dumps(value, option=_CANONICAL)
    except TypeError:
        return None
    if data.count(_BRACE) + (data.count(_BRACKET) if _BRACKET in data else 0) > MAX_DEPTH:
        return None
    return None if (_BACKSLASH in data and b"\\u0000" in data) or b"null" in data else data


def flaw(value: object, depth: int = 0) -> Flaw | None:
    """The first thing that makes a JSON value unfit, None when it is fine. An object or list is one level."""
    match value:
        case str():
            return text_flaw(value)
        case bool() | None:
            return None
        case int():
            return UNSAFE_INTEGER if abs(value) > MAX_SAFE_INTEGER else None
        case float():
            return None if math.isfinite(value) else NOT_FINITE
        case dict():
            return _container_flaw([*value.keys(), *value.values()], depth)
        case list():
            return _container_flaw(value, depth)
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def _container_flaw(items: list[object], depth: int) -> Flaw | None:
    if depth >= MAX_DEPTH:
        return TOO_DEEP
    for item in items:
        if item is None or (type(item) is str and item.isascii() and "\0" not in item):
            continue
        found = flaw(item, depth + 1)
        if found is not None:
            return found
    return None
