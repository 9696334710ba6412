"""The messages somebody gets now: request → decision → answer."""

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

from edge import access
from edge.answers import Answer, read_json
from edge.bundles import Bundles, Org
from edge.era import Era
from edge.listings import Listings
from edge.people import NOTHING_KNOWN, Basis, People, Read, Who
from engine.decide import ANYWHERE, NOBODY, Context, Eligible, Occasion, Person, eligible, person
from engine.table import OrgTable
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
REUSED_FOR_MS = 60 * 1000
"""An answer is given again for so long, in which `validUntil` comes that much nearer."""
DEGRADED_VALID_FOR_MS = 10 * 1000
"""So that an SDK soon asks again when the state that was missing may be back."""

_MOST_CHARACTERS = {
    "userId": subjects.ID_MAX_CHARACTERS,
    "anonymousId": subjects.ID_MAX_CHARACTERS,
    "identityToken": TOKEN_MAX_CHARACTERS,
    "url": URL_MAX_CHARACTERS,
    "screen": SCREEN_MAX_CHARACTERS,
    "etag": ETAG_MAX_CHARACTERS,
}
_MESSAGES = b'{"success":true,"data":{"messages":['
_UNCHANGED = b'{"success":true,"data":{"unchanged":true'
_DEGRADED = b',"degraded":true'
NO_TRAITS: Mapping[str, Any] = MappingProxyType({})
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0", ""})


class FetchRequest(NamedTuple):
    user_id: str | None = None
    anonymous_id: str | None = None
    identity_token: str | None = None
    traits: Mapping[str, Any] = NO_TRAITS
    context: Context = ANYWHERE
    etag: str | None = None


def read_request(body: object) -> FetchRequest:
    """Unknown fields are ignored: SDKs are older or newer than this edge. Raises ApiError with every problem."""
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", *problems.NO_OBJECT)])
    return _read_plain(body) if _is_plain(body) else _Reader(body, "").request()


def _is_plain(body: Mapping[str, object]) -> bool:
    """Whether no text and no flag can have a problem, as those of nearly all requests: printable, of a fair length."""
    for name, value in body.items():
        most = _MOST_CHARACTERS.get(name)
        if most is None:
            if name == "resolve" and type(value) is not bool:
                return False
        elif type(value) is not str or not 0 < len(value) <= most or not value.isprintable():
            return False
    return True


def _read_plain(body: Mapping[str, Any]) -> FetchRequest:
    get = body.get
    url, screen, resolve, traits, event = get("url"), get("screen"), get("resolve", False), NO_TRAITS, None
    if "traits" in body or "event" in body:
        reader = _Reader(body, "")
        traits, event = reader.object("traits"), reader.occasion("event")
        reader.end()
    context = Context(url, screen, event, resolve) if url or screen or resolve or event else ANYWHERE
    return FetchRequest(get("userId"), get("anonymousId"), get("identityToken"), traits, context, get("etag"))


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
            self.text("userId"),
            self.text("anonymousId"),
            self.text("identityToken"),
            self.object("traits"),
            Context(
                self.text("url"),
                self.text("screen"),
                self.occasion("event"),
                self.flag("resolve"),
            ),
            self.text("etag"),
        )
        self.end()
        return request

    def end(self) -> None:
        """Raises ApiError."""
        if self.problems:
            raise invalid_payload(self.problems)

    def text(self, name: str) -> str | None:
        value = self._body.get(name)
        if value is None or value == "":
            return None
        if flaw := problems.text_flaw(value, _MOST_CHARACTERS[name]):
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


@dataclass(slots=True)
class Fetched:
    """A 200 whose body is these pieces. `until_ms`: until when the same request gets the same; 0: the next may get
    another.

    `era`: that of the table by which it was decided; `basis`: what of people, None where they did not matter.
    """

    pieces: Sequence[bytes]
    body_bytes: int
    era: Era
    basis: Basis | None = None
    until_ms: int = 0

    def holds(self, now_ms: int) -> bool:
        """Whether the request that was answered so would be answered so again."""
        return now_ms < self.until_ms and not self.era.over and (self.basis is None or self.basis.stands())

    @property
    def status(self) -> int:
        return 200

    @property
    def answer(self) -> Answer:
        return Answer(200, b"".join(self.pieces))


class Fetch:
    """Both ways to fetch. Raises ApiError for what is answered in the failure envelope."""

    def __init__(self, bundles: Bundles, people: People, now_ms: NowMs) -> None:
        self._bundles = bundles
        self._people = people
        self._listings = Listings()
        self._now_ms = now_ms

    def begin_post(self, key: str | None, body: bytes) -> Fetched | Awaitable[Answer]:
        """What is in memory is answered at once, the rest has to be waited for."""
        org = access.admit_at_once(self._bundles, key) if key else None
        if org is None and key:
            return self._post_later(key, body)
        parsed = read_json(body)
        org = org or access.admit_at_once(self._bundles, access.body_key(parsed))
        return self._post_later(key, body) if org is None else self._begin(org, read_request(parsed))

    def begin_get(self, key: str | None, query: Mapping[str, str]) -> Fetched | Awaitable[Answer]:
        """The same by a GET."""
        org = access.admit_at_once(self._bundles, key)
        return self._get_later(key, query) if org is None else self._begin(org, read_query(query))

    async def post(self, key: str | None, body: bytes) -> Answer:
        return await _answer_of(self.begin_post(key, body))

    async def get(self, key: str | None, query: Mapping[str, str]) -> Answer:
        return await _answer_of(self.begin_get(key, query))

    async def _post_later(self, key: str | None, body: bytes) -> Answer:
        """Once the org's bundles are there."""
        org = await access.admit(self._bundles, key or access.body_key(read_json(body)))
        return await _answer_of(self._begin(org, read_request(read_json(body))))

    async def _get_later(self, key: str | None, query: Mapping[str, str]) -> Answer:
        org = await access.admit(self._bundles, key)
        return await _answer_of(self._begin(org, read_query(query)))

    def _begin(self, org: Org, request: FetchRequest) -> Fetched | Awaitable[Answer]:
        return self._at_once(org, request) or self._later(org, request)

    async def _later(self, org: Org, request: FetchRequest) -> Answer:
        fetched: Fetched | None = None
        while fetched is None:
            who, verified = _who(org, request)
            if who is None:
                fetched = self._of_nobody(org, request, verified=verified)
            else:
                fetched = await self._people.read(who, partial(self._once_read, org, request, who, verified))
                org = self._newest(org)
        return fetched.answer

    def _once_read(
        self, org: Org, request: FetchRequest, who: Who, verified: bool, read: Read | None
    ) -> Fetched | None:
        """None: it has to be read once more, as there is a newer table. A state that was read before that may lack
        events that its rules ask for."""
        if self._newest(org) is not org:
            return None
        fetched = self._of_somebody(org, request, who, verified=verified)
        if fetched is not None:
            return fetched
        state = self._people.state(who, read, org.table.features) if read else None
        return self._from_state(org, state, request, verified=verified)

    def _newest(self, org: Org) -> Org:
        return self._bundles.org(org.id) or org if org.era.over else org

    def _at_once(self, org: Org, request: FetchRequest) -> Fetched | None:
        who, verified = _who(org, request)
        if who is None:
            return self._of_nobody(org, request, verified=verified)
        return self._of_somebody(org, request, who, verified=verified)

    def _of_nobody(self, org: Org, request: FetchRequest, *, verified: bool) -> Fetched:
        if request.user_id is None:
            return self._from_state(org, NOTHING_KNOWN, request, verified=verified)
        now_ms = self._now_ms()
        return self._fetched(org, eligible(org.table, _UNPROVEN, now_ms), request, now_ms)

    def _of_somebody(self, org: Org, request: FetchRequest, who: Who, *, verified: bool) -> Fetched | None:
        """From memory. What is known of somebody does not do where the request's traits count too, for this once."""
        table, now_ms = org.table, self._now_ms()
        known = None if request.traits else self._people.known(who, table, now_ms, verified=verified)
        return None if known is None else self._fetched(org, known.may_get(table, now_ms), request, now_ms, known.basis)

    def _from_state(self, org: Org, state: UserState | None, request: FetchRequest, *, verified: bool) -> Fetched:
        """Not to be given again: the next request may bring other traits, or find a state that is unknown now."""
        now_ms = self._now_ms()
        somebody = NOBODY if state is None else person(org.table, state, request.traits, now_ms, verified=verified)
        may = eligible(org.table, somebody, now_ms)
        return Fetched(*answer(self._listings, org.table, may, request, now_ms, degraded=state is None), org.era)

    def _fetched(
        self, org: Org, may: Eligible, request: FetchRequest, now_ms: int, basis: Basis | None = None
    ) -> Fetched:
        pieces, body_bytes = answer(self._listings, org.table, may, request, now_ms)
        return Fetched(pieces, body_bytes, org.era, basis, _until_ms(may, now_ms, REUSED_FOR_MS))


async def _answer_of(begun: Fetched | Awaitable[Answer]) -> Answer:
    return begun.answer if isinstance(begun, Fetched) else await begun


_UNPROVEN = Person(0, {}, known=False, verified=False)
"""A user who may be anyone: not even what they have seen can be told."""


def _who(org: Org, request: FetchRequest) -> tuple[Who | None, bool]:
    """(whose state may be used, if anybody's; whether they are who they say they are). Raises ApiError (401).

    Where an org asks for proof, somebody who does not name a user has not proven to be anybody.
    """
    user_id, verified = request.user_id, True
    if org.table.settings.require_identity_token:
        problem: str | None = access.TOKEN_MISSING
        if user_id is not None:
            problem = access.token_problem(org.table.settings, user_id, request.identity_token)
        if problem == access.TOKEN_INVALID:
            raise ApiError(401, problem, "identityToken is not the HMAC-SHA256 of this userId under the org's secret.")
        if problem is not None:
            user_id, verified = None, False
    if user_id is None and request.anonymous_id is None:
        return None, verified
    return Who(org.id, user_id, request.anonymous_id), verified


def answer(
    listings: Listings, table: OrgTable, may: Eligible, request: FetchRequest, now_ms: int, *, degraded: bool = False
) -> tuple[Sequence[bytes], int]:
    """The body of the response, in pieces, and its length, without a clock or any I/O."""
    listing = listings.within(table, may.messages, request.context)
    etag, until_ms = listing.etag, _until_ms(may, now_ms, DEGRADED_VALID_FOR_MS if degraded else VALID_FOR_MS)
    end = b',"revision":%d,"validUntil":"%b","etag":"%b"%b}}' % (
        table.version.revision,
        _iso(until_ms),
        etag,
        _DEGRADED if degraded else b"",
    )
    if request.etag is not None and request.etag.encode() == etag:
        return (_UNCHANGED, end), len(_UNCHANGED) + len(end)
    return (_MESSAGES, *listing.pieces, b"]", end), len(_MESSAGES) + listing.body_bytes + 1 + len(end)


def _until_ms(may: Eligible, now_ms: int, at_most_ms: int) -> int:
    latest_ms = now_ms + at_most_ms
    return latest_ms if may.changes_ms is None else min(latest_ms, may.changes_ms)


@lru_cache(maxsize=1_024)
def _iso(at_ms: int) -> bytes:
    """Many ask within one millisecond."""
    return times.to_iso(at_ms).encode()
