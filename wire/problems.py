"""What is wrong with a payload, said to its author."""

from typing import Final, NamedTuple

from wire import plain
from wire.plain import Flaw


class Problem(NamedTuple):
    """One thing to mend: an RFC 6901 JSON pointer, a stable snake_case code, and a message that says what to do."""

    pointer: str
    code: str
    message: str


NO_UUID: Final = Flaw("invalid_uuid", "Must be an id, a UUID of 36 characters.")
NO_TEXT: Final = Flaw("wrong_type", "Must be text.")
NO_OBJECT: Final = Flaw("wrong_type", "Must be an object.")
NO_LIST: Final = Flaw("wrong_type", "Must be a list.")
NO_BOOLEAN: Final = Flaw("wrong_type", "Must be true or false.")
MISSING: Final = Flaw("missing_field", "This is required.")
UNKNOWN: Final = Flaw("unknown_field", "There is no such field; leave it out.")
NO_AUDIENCE: Final = Flaw("audience_not_found", "There is no audience with this id.")
EVENT_TYPE_MISSING: Final = Flaw("event_type_missing", "Name the event in eventType: 'where' looks at its properties.")


def too_short(least: int, unit: str) -> Flaw:
    """`unit`: in the number that `least` needs."""
    return Flaw("too_short", f"Give at least {least} {unit}.")


def too_long(most: int, unit: str) -> Flaw:
    return Flaw("too_long", f"Use at most {most:,} {unit}.")


def text_flaw(value: object, most_characters: int) -> Flaw | None:
    """Why the value is not text of 1 to `most_characters` characters that everything can hold."""
    if not isinstance(value, str):
        return NO_TEXT
    if not value:
        return too_short(1, "character")
    return too_long(most_characters, "characters") if len(value) > most_characters else plain.text_flaw(value)


def child_pointer(pointer: str, *tokens: str | int) -> str:
    """`pointer` extended by keys and indexes. Lone surrogates are replaced, so that it always encodes."""
    return pointer + "".join("/" + _escape(str(token)) for token in tokens)


def _escape(token: str) -> str:
    encodable = token.encode("utf-8", "replace").decode()
    return encodable.replace("~", "~0").replace("/", "~1")
