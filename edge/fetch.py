"""The messages somebody gets now: request → decision → answer."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge import access
from edge.access import Org
from edge.answers import Answer, read_json
from edge.bundles import Bundles
from edge.clock import NowMs
from edge.people import People
from engine.decide import NOBODY, Context, Decision, Occasion, Person, decide, person
from engine.table import PreparedMessage
from service.errors import ApiError, invalid_payload
from wire import codec, plain, subjects, times
from wire.intake import EVENT_TYPE, PROPERTIES_MAX_BYTES
from wire.problems import Problem, child_pointer

URL_MAX_CHARACTERS = 8_192
SCREEN_MAX_CHARACTERS = 1_024
VALID_FOR_MS = 15 * 60 * 1000
DEGRADED_VALID_FOR_MS = 10 * 1000
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0", ""})
"""So that an SDK soon asks again when the state that was missing may be back."""


@dataclass(frozen=True, slots=True)
class FetchRequest:
    user_id: str | None = None
    anonymous_id: str | None = None
    identity_token: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    context: Context = Context()
    etag: str | None = None


def read_request(body: object) -> FetchRequest:
    """Unknown fields are ignored: SDKs are older or newer than this edge. Raises ApiError with every problem."""
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", "wrong_type", "The body must be an object.")])
    reader = _Reader(body)
    request = FetchRequest(
        reader.text("userId", subjects.ID_MAX_CHARACTERS),
        reader.text("anonymousId", subjects.ID_MAX_CHARACTERS),
        reader.text("identityToken", URL_MAX_CHARACTERS),
        reader.object("traits"),
        Context(
            reader.text("url", URL_MAX_CHARACTERS),
            reader.text("screen", SCREEN_MAX_CHARACTERS),
            reader.occasion("event"),
            reader.flag("resolve"),
        ),
        reader.text("etag", SCREEN_MAX_CHARACTERS),
    )
    if reader.problems:
        raise invalid_payload(reader.problems)
    return request


def read_query(query: Mapping[str, str]) -> FetchRequest:
    """The same from a query: `traits` is JSON, `event` an event type or JSON as in a body, `resolve` true or false."""
    body: dict[str, Any] = dict(query)
    problems = []
    for name in ("traits", "event"):
        text = body.get(name, "")
        if name == "event" and not text.startswith("{"):
            body[name] = {"type": text} if text else None
            continue
        try:
            body[name] = read_json(text.encode("utf-8", "surrogatepass")) if text else None
        except ApiError:
            del body[name]
            problems.append(Problem(f"/{name}", "invalid_json", "must be JSON"))
    resolve = body.get("resolve", "").lower()
    if resolve in _TRUE | _FALSE:
        body["resolve"] = resolve in _TRUE
    try:
        request = read_request(body)
    except ApiError as error:
        raise invalid_payload([*problems, *error.details]) from None
    if problems:
        raise invalid_payload(problems)
    return request


class _Reader:
    """Reads fields of a body, collecting problems; null and the empty text mean absent."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self.problems: list[Problem] = []

    def text(self, name: str, most_characters: int) -> str | None:
        value = self._body.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            return self._report(name, "wrong_type", "must be text")
        if len(value) > most_characters:
            return self._report(name, "too_long", f"may have {most_characters} characters at most")
        if (flaw := plain.text_flaw(value)) is not None:
            return self._report(name, flaw.code, flaw.message)
        return value

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if not isinstance(value, bool | None):
            self._report(name, "wrong_type", "must be true or false")
        return value is True

    def object(self, name: str) -> Mapping[str, Any]:
        return self._plain_object(self._body.get(name), name)

    def occasion(self, name: str) -> Occasion | None:
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            return self._report(name, "wrong_type", "must be an object with type and properties")
        type_ = value.get("type")
        if not isinstance(type_, str) or not EVENT_TYPE.fullmatch(type_):
            self._report(f"{name}/type", "invalid_event_type", "must be an event type such as report.exported")
            type_ = ""
        return Occasion(type_, self._plain_object(value.get("properties"), f"{name}/properties"))

    def _plain_object(self, value: Any, name: str) -> Mapping[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._report(name, "wrong_type", "must be an object")
        elif (flaw := plain.flaw(value)) is not None:
            self._report(name, flaw.code, flaw.message)
        elif len(codec.to_json(value)) > PROPERTIES_MAX_BYTES:
            self._report(name, "too_large", f"may have {PROPERTIES_MAX_BYTES} bytes at most")
        else:
            return value
        return {}

    def _report(self, name: str, code: str, message: str) -> None:
        self.problems.append(Problem(child_pointer("", *name.split("/")), code, message))


class Fetch:
    """Both ways to fetch. Raises ApiError for what is answered in the failure envelope."""

    def __init__(self, bundles: Bundles, people: People, now_ms: NowMs) -> None:
        self._bundles = bundles
        self._people = people
        self._now_ms = now_ms

    async def post(self, key: str | None, body: bytes) -> Answer:
        org = await access.admit(self._bundles, key) if key else None
        parsed = read_json(body)
        org = org or await access.admit(self._bundles, access.body_key(parsed))
        return await self._answer(org, read_request(parsed))

    async def get(self, key: str | None, query: Mapping[str, str]) -> Answer:
        org = await access.admit(self._bundles, key)
        return await self._answer(org, read_query(query))

    async def _answer(self, org: Org, request: FetchRequest) -> Answer:
        subject, degraded = await self._person(org, request)
        now_ms = self._now_ms()
        decision = decide(org.table, subject(now_ms), request.context, now_ms)
        return answer(decision, org.table.version.revision, request.etag, now_ms, degraded=degraded)
