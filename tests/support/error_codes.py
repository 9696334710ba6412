"""The error codes that the sources can emit, read from their syntax."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
_ENVIRONMENT = ROOT / "service" / "settings.py"
"""What it finds is told to the operator, not in an answer."""

PACKAGES = ("wire", "service", "admin", "compiler", "edge")
_PLACE_OF_CODE = {"Flaw": 0, "PydanticCustomError": 0, "EventError": 0, "Problem": 1, "report": 1, "refused": 1}
"""Calls that make one problem → which argument is its code."""

_PLACE_OF_FAILURE = {"ApiError": 1, "failure": 1, "conflict": 0, "_unavailable": 0}
"""Calls that make a whole answer."""

_STATUS = {"conflict": 409, "_unavailable": 503}


class Failure(NamedTuple):
    status: int
    code: str


def problem_codes() -> set[str]:
    """Of one problem of a payload, or of one rejected event."""
    return {code for call, name in _calls() for code in _strings(call, _PLACE_OF_CODE.get(name))}


def event_codes() -> set[str]:
    """Those that only `wire.intake` has."""
    return {code for call, name in _calls() if name == "EventError" for code in _strings(call, 0)}


def failures() -> set[Failure]:
    """Status and code of whole answers."""
    return {
        Failure(_STATUS.get(name) or _status(call), code)
        for call, name in _calls()
        for code in _strings(call, _PLACE_OF_FAILURE.get(name))
    }


def _calls() -> Iterator[tuple[ast.Call, str]]:
    for package in PACKAGES:
        for path in set((ROOT / package).rglob("*.py")) - {_ENVIRONMENT}:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                    yield node, node.func.id if isinstance(node.func, ast.Name) else node.func.attr


def _strings(call: ast.Call, place: int | None) -> Iterator[str]:
    """The constant there, or both of `a if … else b`."""
    if place is None or len(call.args) <= place:
        return
    argument = call.args[place]
    for node in (argument.body, argument.orelse) if isinstance(argument, ast.IfExp) else (argument,):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _status(call: ast.Call) -> int:
    status = call.args[0]
    return int(status.value) if isinstance(status, ast.Constant) and isinstance(status.value, int) else 0
