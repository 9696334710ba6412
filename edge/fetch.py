"""The messages somebody gets now: request → decision → answer."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge import access
from edge.access import Org
from edge.answers import Answer, read_json
from edge.bundles import Bundles
from edge.people import People
from engine.decide import NOBODY, Context, Decision, Occasion, Person, decide, person
from engine.table import OrgTable, PreparedMessage
from service.clock import NowMs
from service.errors import ApiError, invalid_payload
from wire import codec, plain, problems, subjects, times
from wire.intake import PROPERTIES_MAX_BYTES, TOO_LARGE, event_type_flaw
from wire.plain import Flaw
from wire.problems import Problem, child_pointer
from wire.userstate import UserState

URL_MAX_CHARACTERS = 8_192
SCREEN_MAX_CHARACTERS = 1_024
TOKEN_MAX_CHARACTERS = 1_024
ETAG_MAX_CHARACTERS = 128
VALID_FOR_MS = 15 * 60 * 1000
DEGRADED_VALID_FOR_MS = 10 * 1000
"""So that an SDK soon asks again when the state that was missing may be back."""

_DEGRADED = b',"degraded":true'
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0", ""})


@dataclass(frozen=True, slots=True)
class FetchRequest:
    user_id: str | None = None
    anonymous_id: str | None = None
    identity_token: str | None = None
    traits: Mapping[str, Any] = field(default_factory=dict)
    context: Context = field(default_factory=Context)
    etag: str | None = None


def read_request(body: object) -> FetchRequest:
    """Unknown fields are ignored: SDKs are older or newer than this edge. Raises ApiError with every problem."""
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", *problems.NO_OBJECT)])
    return _Reader(body, "").request()


def read_query(query: Mapping[str, str]) -> FetchRequest:
    """The same from a query: `traits` is JSON, `event` an event type or JSON as in a body, `resolve` true or false."""
    body: dict[str, Any] = dict(query)
    unreadable = []
    for name in ("traits", "event"):
        text = body.get(name, "")
        if name == "event" and not text.startswith("{"):
            body[name] = {"type": text} if text else None
            continue
        try:
            body[name] = read_json(text.encode("utf-8", "surrogatepass")) if text else None
        except ApiError:
            del body[name]
            unreadable.append(Problem(f"/query/{name}", "invalid_json", "Must be JSON."))
    resolve = body.get("resolve", "").lower()
    if resolve in _TRUE | _FALSE:
        body["resolve"] = resolve in _TRUE
    reader = _Reader(body, "/query")
    reader.problems += unreadable
    return reader.request()


class _Reader:
    """Reads fields of a body, collecting problems below `root`; null and the empty text mean absent."""

    def __init__(self, body: Mapping[str, Any], root: str) -> None:
        self._body = body
        self._root = root
        self.problems: list[Problem] = []

    def request(self) -> FetchRequest:
        """Raises ApiError."""
        request = FetchRequest(
            self.text("userId", subjects.ID_MAX_CHARACTERS),
            self.text("anonymousId", subjects.ID_MAX_CHARACTERS),
            self.text("identityToken", TOKEN_MAX_CHARACTERS),
            self.object("traits"),
            Context(
                self.text("url", URL_MAX_CHARACTERS),
                self.text("screen", SCREEN_MAX_CHARACTERS),
                self.occasion("event"),
                self.flag("resolve"),
            ),
            self.text("etag", ETAG_MAX_CHARACTERS),
        )
        if self.problems:
            raise invalid_payload(self.problems)
        return request

    def text(self, name: str, most_characters: int) -> str | None:
        value = self._body.get(name)
        if value is None or value == "":
            return None
        if flaw := problems.text_flaw(value, most_characters):
            self._report(name, flaw)
            return None
        return str(value)

    def flag(self, name: str) -> bool:
        value = self._body.get(name)
        if not isinstance(value, bool | None):
            self._report(name, problems.NO_BOOLEAN)
        return value is True

    def object(self, name: str) -> Mapping[str, Any]:
        return self._plain_object(self._body.get(name), name)

    def occasion(self, name: str) -> Occasion | None:
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self._report(name, problems.NO_OBJECT)
            return None
        type_ = value.get("type")
        if not isinstance(type_, str):
            self._report(f"{name}/type", problems.MISSING if type_ is None else problems.NO_TEXT)
            type_ = ""
        elif flaw := event_type_flaw(type_):
            self._report(f"{name}/type", flaw)
        return Occasion(type_, self._plain_object(value.get("properties"), f"{name}/properties"))

    def _plain_object(self, value: Any, name: str) -> Mapping[str, Any]:
        flaw = None if value is None else _object_flaw(value)
        if flaw:
            self._report(name, flaw)
        return {} if value is None or flaw else value

    def _report(self, name: str, flaw: Flaw) -> None:
        self.problems.append(Problem(child_pointer(self._root, *name.split("/")), *flaw))


def _object_flaw(value: object) -> Flaw | None:
    if not isinstance(value, dict):
        return problems.NO_OBJECT
    if flaw := plain.flaw(value):
        return flaw
    return TOO_LARGE if len(codec.to_json(value)) > PROPERTIES_MAX_BYTES else None


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
        user_id, verified = _proven(org, request)
        if not verified and user_id is None and request.user_id is not None and request.anonymous_id is None:
            now_ms = self._now_ms()
            return answer(org.table, _UNPROVEN, request, now_ms)
        table, state = await self._known(org, user_id, request.anonymous_id)
        now_ms = self._now_ms()
        if state is None:
            return answer(table, NOBODY, request, now_ms, degraded=True)
        return answer(table, person(table, state, request.traits, now_ms, verified=verified), request, now_ms)

    async def _known(
        self, org: Org, user_id: str | None, anonymous_id: str | None
    ) -> tuple[OrgTable, UserState | None]:
        """The newest table, with a state that was read while it was the newest: one read before may lack events that
        its rules ask for."""
        table = self._bundles.table(org.id) or org.table
        while True:
            state = await self._people.state(org.id, user_id, anonymous_id, table.features)
            newest = self._bundles.table(org.id) or table
            if newest is table:
                return table, state
            table = newest


_UNPROVEN = Person(0, {}, known=False, verified=False)
"""A user who may be anyone: not even what they have seen can be told."""


def _proven(org: Org, request: FetchRequest) -> tuple[str | None, bool]:
    """(the user whose state may be used, whether they are who they say they are). Raises ApiError (401).

    Where an org asks for proof, somebody who does not name a user has not proven to be anybody.
    """
    settings = org.table.settings
    if request.user_id is None:
        return None, not settings.require_identity_token
    problem = access.token_problem(settings, request.user_id, request.identity_token)
    if problem == access.TOKEN_INVALID:
        raise ApiError(401, problem, "identityToken is not the HMAC-SHA256 of this userId under the org's secret.")
    return (request.user_id, True) if problem is None else (None, False)


def answer(table: OrgTable, somebody: Person, request: FetchRequest, now_ms: int, *, degraded: bool = False) -> Answer:
    """The whole response, without a clock or any I/O."""
    decision = decide(table, somebody, request.context, now_ms)
    etag = etag_of(decision.messages)
    if request.etag == etag:
        messages = b'"unchanged":true'
    else:
        messages = b'"messages":[' + b",".join([prepared.message.json for prepared in decision.messages]) + b"]"
    valid_until = times.to_iso(_valid_until_ms(decision, now_ms, degraded=degraded))
    return Answer(
        200,
        b'{"success":true,"data":{%b,"revision":%d,"validUntil":"%b","etag":"%b"%b}}'
        % (messages, table.version.revision, valid_until.encode(), etag.encode(), _DEGRADED if degraded else b""),
    )


def etag_of(messages: Sequence[PreparedMessage]) -> str:
    """Names a list of messages by their ids and versions, in order."""
    names = "\n".join([f"{prepared.message.id}:{prepared.message.version}" for prepared in messages])
    return hashlib.blake2b(names.encode(), digest_size=12).hexdigest()


def _valid_until_ms(decision: Decision, now_ms: int, *, degraded: bool) -> int:
    latest_ms = now_ms + (DEGRADED_VALID_FOR_MS if degraded else VALID_FOR_MS)
    return latest_ms if decision.changes_ms is None else min(latest_ms, decision.changes_ms)
