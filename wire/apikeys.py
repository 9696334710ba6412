"""API keys: `<pk|sk>_<env>_<org, 22 base62 characters><secret, 32 base62 characters>`.

The text carries its org's id, so that no look-up is needed to find the org; the secret part has 190 bits.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Literal, cast
from uuid import UUID

Kind = Literal["pk", "sk"]
Env = Literal["prod", "staging", "dev"]

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {character: value for value, character in enumerate(_ALPHABET)}
_ORG_CHARACTERS = 22
_SECRET_CHARACTERS = 32
_SHAPE = re.compile(
    rf"(pk|sk)_(prod|staging|dev)_([0-9A-Za-z]{{{_ORG_CHARACTERS}}})[0-9A-Za-z]{{{_SECRET_CHARACTERS}}}"
)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key's text says by itself; whether it is valid only its digest tells."""

    kind: Kind
    env: Env
    org_id: UUID
    digest: bytes


def mint(kind: Kind, env: Env, org_id: UUID) -> str:
    """A new key's text, to be shown once."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))
    return f"{kind}_{env}_{_encode(org_id.int)}{secret}"


def digest(text: str) -> bytes:
    """SHA-256 of the key's text: what is stored and compared."""
    return hashlib.sha256(text.encode()).digest()


def parse(text: str) -> ApiKey | None:
    """The parts of a key's text, None when it does not have a key's shape."""
    match = _SHAPE.fullmatch(text)
    if match is None:
        return None
    number = _decode(match[3])
    if number >> 128:
        return None
    return ApiKey(cast(Kind, match[1]), cast(Env, match[2]), UUID(int=number), digest(text))


def _encode(number: int) -> str:
    characters = []
    for _ in range(_ORG_CHARACTERS):
        number, rest = divmod(number, 62)
        characters.append(_ALPHABET[rest])
    return "".join(reversed(characters))


def _decode(text: str) -> int:
    number = 0
    for character in text:
        number = number * 62 + _VALUE[character]
    return number
