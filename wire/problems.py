"""What is wrong with a payload, said to its author."""

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing to mend: an RFC 6901 JSON pointer, a stable snake_case code, and a message that says what to do."""

    pointer: str
    code: str
    message: str


def child_pointer(pointer: str, *tokens: str | int) -> str:
    """`pointer` extended by keys and indexes. Lone surrogates are replaced, so that it always encodes."""
    return pointer + "".join("/" + _escape(str(token)) for token in tokens)


def _escape(token: str) -> str:
    encodable = token.encode("utf-8", "replace").decode()
    return encodable.replace("~", "~0").replace("/", "~1")
