"""Which errors of a transaction are the data's fault, and which pass by themselves."""

import re

from sqlalchemy.exc import DBAPIError

_REFUSED = re.compile(r"(22|23|54)...")
_FAULTY = re.compile(r"(0A|22|23|42|54)...")
_CONFLICT = frozenset({"40001", "40P01", "55P03"})
"""Serialization failure, deadlock, lock not available in time."""


class RefusedError(Exception):
    """Postgres does not take a value. `reason`: SQLSTATE and the name of the condition, nothing of the value."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def refusal(error: DBAPIError) -> RefusedError | None:
    """What to declare lost for, when the error is of SQLSTATE class 22 (data), 23 (integrity) or 54 (limits)."""
    sqlstate = _sqlstate(error)
    if not _REFUSED.fullmatch(sqlstate):
        return None
    cause = error.orig.__cause__ if error.orig else None
    return RefusedError(f"{sqlstate} {type(cause).__name__}")


def is_conflict(error: DBAPIError) -> bool:
    """Whether two transactions got in each other's way, so that trying again at once makes sense."""
    return _sqlstate(error) in _CONFLICT


def is_faulty(error: Exception) -> bool:
    """Whether it is about the one thing that was to be done, so that other things may go on."""
    if isinstance(error, DBAPIError):
        return _FAULTY.fullmatch(_sqlstate(error)) is not None
    return isinstance(error, ValueError | TypeError | RefusedError)


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")
