"""Rules about a message that its schema cannot say, run over whatever part of the payload is readable."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any
from uuid import UUID

from admin.fields import read_id
from admin.messages import urls
from wire.literals import moment_ms
from wire.plain import Flaw
from wire.problems import EVENT_TYPE_MISSING, NO_AUDIENCE, Problem, child_pointer
from wire.rules import RuleError, parse_pattern, parse_where


class Readable:
    """A payload of which some places are known to be wrong: values of the others, by pointer."""

    def __init__(self, payload: Mapping[str, Any], wrong: Iterable[Problem]) -> None:
        self._payload = payload
        self._wrong = frozenset(problem.pointer for problem in wrong)

    def has(self, *pointers: str) -> bool:
        """Whether none of the places, nor anything around or inside them, is wrong."""
        return not any(_overlap(pointer, wrong) for pointer in pointers for wrong in self._wrong)

    def get(self, pointer: str) -> Any:
        """The value there; None where nothing is."""
        value: Any = self._payload
        for step in pointer.split("/")[1:]:
            value = value.get(step) if isinstance(value, dict) else None
        return value


def _overlap(pointer: str, other: str) -> bool:
    return pointer == other or pointer.startswith(other + "/") or other.startswith(pointer + "/")


Mentions = Mapping[str, UUID]
"""Pointer → the audience that is named there."""


def mentions(payload: Mapping[str, Any]) -> Mentions:
    """Every audience that the payload names by a well-formed id."""
    readable = Readable(payload, ())
    places = {pointer: readable.get(pointer) for pointer in ("/audienceId", "/trigger/audienceId")}
    excluded = readable.get("/excludeAudienceIds")
    if isinstance(excluded, list):
        places |= {child_pointer("/excludeAudienceIds", index): value for index, value in enumerate(excluded)}
    return {pointer: id_ for pointer, value in places.items() if (id_ := read_id(value))}


def audience_problems(named: Mentions, existing: Set[UUID]) -> Iterator[Problem]:
    for pointer, audience_id in named.items():
        if audience_id not in existing:
            yield Problem(pointer, *NO_AUDIENCE)


def url_problems(readable: Readable, app_schemes: Set[str]) -> Iterator[Problem]:
    yield from _url_problem(readable, "/content/ctaUrl", lambda url: urls.link_flaw(url, app_schemes))
    yield from _url_problem(readable, "/content/imageUrl", urls.image_flaw)


def rule_problems(readable: Readable) -> Iterator[Problem]:
    yield from _rule_problems(readable, "/trigger/where", lambda value, pointer: parse_where(value, pointer=pointer))
    yield from _rule_problems(readable, "/trigger/url", lambda value, pointer: parse_pattern(value, pointer=pointer))
    yield from _rule_problems(readable, "/trigger/screen", lambda value, pointer: parse_pattern(value, pointer=pointer))
    where, event_type = "/trigger/where", "/trigger/eventType"
    if readable.has(where, event_type) and readable.get(where) and readable.get(event_type) is None:
        yield Problem(where, *EVENT_TYPE_MISSING)


def goal_problems(readable: Readable) -> Iterator[Problem]:
    yield from _rule_problems(readable, "/goal/where", lambda value, pointer: parse_where(value, pointer=pointer))


def combination_problems(readable: Readable) -> Iterator[Problem]:
    for check in (_closable, _anchor, _window, _exclusions, _cap):
        yield from check(readable)


def _url_problem(readable: Readable, pointer: str, flaw: Callable[[str], Flaw | None]) -> Iterator[Problem]:
    url = readable.get(pointer)
    if url is not None and readable.has(pointer) and (found := flaw(url)):
        yield Problem(pointer, *found)


def _rule_problems(readable: Readable, pointer: str, parse: Callable[[object, str], object]) -> Iterator[Problem]:
    value = readable.get(pointer)
    if value is None or not readable.has(pointer):
        return
    try:
        parse(value, pointer)
    except RuleError as error:
        yield from error.problems


def _closable(readable: Readable) -> Iterator[Problem]:
    exits = ("/content/dismissible", "/content/ctaText", "/content/ctaUrl")
    if readable.has(*exits) and readable.get(exits[0]) is False and not any(map(readable.get, exits[1:])):
        message = "Nobody could close this message: make it dismissible, or give it a ctaText or ctaUrl."
        yield Problem(exits[0], "cannot_be_closed", message)


def _anchor(readable: Readable) -> Iterator[Problem]:
    pointer = "/appearance/anchor"
    if not readable.has("/type", pointer):
        return
    is_tooltip, anchor = readable.get("/type") == "tooltip", readable.get(pointer)
    if is_tooltip and anchor is None:
        message = "A tooltip needs an anchor: a CSS selector on the web, a testID on React Native."
        yield Problem(pointer, "anchor_missing", message)
    elif not is_tooltip and anchor is not None:
        yield Problem(pointer, "anchor_not_allowed", "Only a tooltip has an anchor; leave it out.")


def _window(readable: Readable) -> Iterator[Problem]:
    starts, ends = readable.get("/startsAt"), readable.get("/endsAt")
    if not starts or not ends or not readable.has("/startsAt", "/endsAt"):
        return
    if (moment_ms(ends) or 0) <= (moment_ms(starts) or 0):
        yield Problem("/endsAt", "ends_before_it_starts", "endsAt must lie after startsAt.")


def _exclusions(readable: Readable) -> Iterator[Problem]:
    audience_id = read_id(readable.get("/audienceId"))
    if audience_id is None or not readable.has("/excludeAudienceIds"):
        return
    for index, excluded in enumerate(readable.get("/excludeAudienceIds") or []):
        if read_id(excluded) == audience_id:
            pointer = child_pointer("/excludeAudienceIds", index)
            yield Problem(pointer, "audience_excluded", "This is the message's own audience; nobody would be left.")


def _cap(readable: Readable) -> Iterator[Problem]:
    pointers = ("/frequencyCap/perSeconds", "/frequencyCap/maxImpressions")
    if readable.has(*pointers) and readable.get(pointers[0]) is not None and readable.get(pointers[1]) is None:
        yield Problem(pointers[0], "max_impressions_missing", "Say in maxImpressions how many: perSeconds counts them.")
