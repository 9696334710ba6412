"""What the leaves of rules ask, said in as few kinds of conditions as possible."""

from functools import lru_cache
from typing import Final, NamedTuple

from wire.features import feature_id
from wire.literals import Version, duration_ms, moment_ms, version_parts
from wire.rule_tree import AllOf, EventCount, Not, Rule

_LONGEST_VERSION: Final = 40


class Listed(NamedTuple):
    """Being on the list of a static audience."""

    audience_id: str


class Happened(NamedTuple):
    """An event of a feature at least so many times, once or more, within the last so many ms; None: ever."""

    feature_id: str
    times: int
    within_ms: int | None


def happened(leaf: EventCount) -> Happened | None:
    """None: the leaf asks more than one such thing, see `at_least`. Raises ValueError for an unreadable duration."""
    if leaf.op != "gte" or leaf.count == 0:
        return None
    within_ms = None if leaf.within is None else length_ms(leaf.within)
    return Happened(feature_id(leaf.event, leaf.where), leaf.count, within_ms)


def at_least(leaf: EventCount) -> Rule:
    """The same condition, made of nothing but "at least so many, and that is more than none"."""
    as_many = EventCount(leaf.event, leaf.where, "gte", leaf.count, leaf.within) if leaf.count else AllOf(())
    more = EventCount(leaf.event, leaf.where, "gte", leaf.count + 1, leaf.within)
    match leaf.op:
        case "gte":
            return as_many
        case "lt":
            return Not(as_many)
        case "gt":
            return more
        case "lte":
            return Not(more)
        case "eq":
            return AllOf((as_many, Not(more)))
        case "neq":
            return Not(AllOf((as_many, Not(more))))


def as_moment(value: object) -> int | None:
    return moment_ms(value) if type(value) is str else None


def as_version(value: object) -> Version | None:
    return _version(value) if type(value) is str and len(value) <= _LONGEST_VERSION else None


@lru_cache(maxsize=1_024)
def _version(text: str) -> Version | None:
    """There are many customers and few versions."""
    return version_parts(text)


def length_ms(duration: object) -> int:
    """Raises ValueError."""
    found = duration_ms(duration) if isinstance(duration, str) else None
    if found is None:
        raise ValueError(f"not a duration: {duration!r}")
    return found
