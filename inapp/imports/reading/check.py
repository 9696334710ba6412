"""Records → customers that the recorder will take, or why not."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from admin.customers.traits import item_problem
from inapp.imports.reading.records import Record
from wire import codec
from wire.intake import PROPERTIES_MAX_BYTES, TOO_LARGE
from wire.problems import Problem


class Customer(NamedTuple):
    """`properties`: the traits as JSON."""

    line: int
    user_id: str
    traits: Mapping[str, Any]
    properties: bytes


class Rejected(NamedTuple):
    line: int
    problem: Problem
    data: bytes


def check(record: Record) -> Customer | Rejected:
    """By the rules of `POST /customers/bulk`, its first problem."""
    problem = record.problem or item_problem(record.item)
    if problem:
        return Rejected(record.line, problem, record.data)
    traits = record.item.get("traits") or {}
    properties = codec.to_json(traits)
    if len(properties) > PROPERTIES_MAX_BYTES:
        return Rejected(record.line, Problem("/traits", *TOO_LARGE), record.data)
    return Customer(record.line, record.item["userId"], traits, properties)
