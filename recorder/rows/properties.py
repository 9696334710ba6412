"""The properties of a transaction's events, read when they are asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from wire import codec
from wire.codec import DecodeError
from wire.events import Event

Properties = Callable[[Event], Mapping[str, Any]]


class PropertiesOnce:
    """Reads those of each event at most once."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, Any], Mapping[str, Any]] = {}

    def __call__(self, event: Event) -> Mapping[str, Any]:
        key = (event.org_id, event.id_bytes)
        if key not in self._known:
            self._known[key] = read_properties(event)
        return self._known[key]


def read_properties(event: Event) -> Mapping[str, Any]:
    """Postgres takes numbers that no double holds; an object with one counts as empty."""
    try:
        properties = codec.from_json(event.properties)
    except DecodeError:
        return {}
    return properties if isinstance(properties, dict) else {}
