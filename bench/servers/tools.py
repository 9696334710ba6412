"""Programs of others that the bench needs, and how one gets them."""

import shutil
from collections.abc import Iterable
from typing import Final

_MISSING = "{name} is missing. Debian and Ubuntu: `apt install {debian}`. macOS: `brew install {name}`."
_DEBIAN: Final = {"wrk": "wrk", "nginx": "nginx-light"}
_ALSO_IN: Final = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
"""Debian keeps nginx where the PATH of a user who is not root does not lead."""


class MissingToolError(Exception):
    """The message says how to install it."""


def find(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=_ALSO_IN)


def path_of(name: str) -> str:
    """Raises MissingToolError."""
    path = find(name)
    if path is None:
        raise MissingToolError(how_to_get(name))
    return path


def how_to_get(name: str) -> str:
    return _MISSING.format(name=name, debian=_DEBIAN[name])


def missing(names: Iterable[str] = _DEBIAN) -> list[str]:
    """How to get each that is not there."""
    return [how_to_get(name) for name in names if find(name) is None]
