"""Rules about a message that its schema cannot say, run over whatever part of the payload is sound."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any
from uuid import UUID

from admin.fields import read_id
from admin.messages import urls
from wire.literals import moment_ms
from wire.problems import Problem, child_pointer
from wire.rules import RuleError, parse_pattern, parse_where


class Sound:
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
    sound = Sound(payload, ())
    places = {pointer: sound.get(pointer) for pointer in ("/audienceId", "/trigger/audienceId")}
    excluded = sound.get("/excludeAudienceIds")
    if isinstance(excluded, list):
        places |= {child_pointer("/excludeAudienceIds", index): value for index, value in enumerate(excluded)}
    return {pointer: id_ for pointer, value in places.items() if (id_ := read_id(value))}


def audience_problems(named: Mentions, existing: Set[UUID]) -> Iterator[Problem]:
    for pointer, audience_id in named.items():
        if audience_id not in existing:
            yield Problem(pointer, "audience_not_found", "There is no audience with this id.")


def url_problems(sound: Sound, app_schemes: Set[str]) -> Iterator[Problem]:
    yield from _url_problem(sound, "/content/ctaUrl", lambda url: urls.link_flaw(url, app_schemes))
    yield from _url_problem(sound, "/content/imageUrl", urls.image_flaw)


def rule_problems(sound: Sound) -> Iterator[Problem]:
    yield from _rule_problems(sound, "/trigger/where", lambda value, pointer: parse_where(value, pointer=pointer))
    yield from _rule_problems(sound, "/trigger/url", lambda value, pointer: parse_pattern(value, pointer=pointer))
    yield from _rule_problems(sound, "/trigger/screen", lambda value, pointer: parse_pattern(value, pointer=pointer))
    where, event_type = "/trigger/where", "/trigger/eventType"
    if sound.has(where, event_type) and sound.get(where) and sound.get(event_type) is None:
        yield Problem(where, "event_type_missing", "Name the event in eventType: 'where' looks at its properties.")


def combination_problems(sound: Sound) -> Iterator[Problem]:
    for check in (_closable, _anchor, _window, _exclusions, _cap):
        yield from check(sound)


def _url_problem(sound: Sound, pointer: str, flaw: Callable[[str], urls.UrlFlaw | None]) -> Iterator[Problem]:
    url = sound.get(pointer)
    if url is not None and sound.has(pointer) and (found := flaw(url)):
        yield Problem(pointer, found.code, found.message)


def _rule_problems(sound: Sound, pointer: str, parse: Callable[[object, str], object]) -> Iterator[Problem]:
    value = sound.get(pointer)
    if value is None or not sound.has(pointer):
        return
    try:
        parse(value, pointer)
    except RuleError as error:
        yield from error.problems


def _closable(sound: Sound) -> Iterator[Problem]:
    exits = ("/content/dismissible", "/content/ctaText", "/content/ctaUrl")
    if sound.has(*exits) and sound.get(exits[0]) is False and not any(map(sound.get, exits[1:])):
        message = "Nobody could close this message: make it dismissible, or give it a ctaText or ctaUrl."
        yield Problem(exits[0], "cannot_be_closed", message)


def _anchor(sound: Sound) -> Iterator[Problem]:
    pointer = "/appearance/anchor"
    if not sound.has("/type", pointer):
        return
    is_tooltip, anchor = sound.get("/type") == "tooltip", sound.get(pointer)
    if is_tooltip and anchor is None:
        message = "A tooltip needs an anchor: a CSS selector on the web, a testID on React Native."
        yield Problem(pointer, "anchor_missing", message)
    elif not is_tooltip and anchor is not None:
        yield Problem(pointer, "anchor_not_allowed", "Only a tooltip has an anchor; leave it out.")


def _window(sound: Sound) -> Iterator[Problem]:
    starts, ends = sound.get("/startsAt"), sound.get("/endsAt")
    if not starts or not ends or not sound.has("/startsAt", "/endsAt"):
        return
    if (moment_ms(ends) or 0) <= (moment_ms(starts) or 0):
        yield Problem("/endsAt", "ends_before_it_starts", "endsAt must lie after startsAt.")


def _exclusions(sound: Sound) -> Iterator[Problem]:
    audience_id = read_id(sound.get("/audienceId"))
    if audience_id is None or not sound.has("/excludeAudienceIds"):
        return
    for index, excluded in enumerate(sound.get("/excludeAudienceIds") or []):
        if read_id(excluded) == audience_id:
            pointer = child_pointer("/excludeAudienceIds", index)
            yield Problem(pointer, "audience_excluded", "This is the message's own audience; nobody would be left.")


def _cap(sound: Sound) -> Iterator[Problem]:
    pointers = ("/frequencyCap/perSeconds", "/frequencyCap/maxImpressions")
    if sound.has(*pointers) and sound.get(pointers[0]) is not None and sound.get(pointers[1]) is None:
        yield Problem(pointers[0], "max_impressions_missing", "perSeconds needs maxImpressions.")
