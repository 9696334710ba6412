"""The messages somebody gets now: request → decision → answer."""

from collections.abc import Awaitable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from edge import access
from edge.access import Org
from edge.answers import Answer, read_json
from edge.bundles import Bundles
from edge.listings import Listings
from edge.people import NOTHING_KNOWN, Basis, Known, People, Who
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
_OBJECTS = frozenset({"traits", "event"})
_MESSAGES = b'{"success":true,"data":{"messages":['
_UNCHANGED = b'{"success":true,"data":{"unchanged":true'
_DEGRADED = b',"degraded":true'
_TRUE = frozenset({"true", "1"})
_FALSE = frozenset({"false", "0", ""})


class FetchRequest(NamedTuple):
    user_id: str | None = None
    anonymous_id: str | None = None
    identity_token: str | None = None
    traits: Mapping[str, Any] = MappingProxyType({})
    context: Context = ANYWHERE
    etag: str | None = None


def read_request(body: object) -> FetchRequest:
    """Unknown fields are ignored: SDKs are older or newer than this edge. Raises ApiError with every problem."""
    if not isinstance(body, dict):
        raise invalid_payload([Problem("", *problems.NO_OBJECT)])
    return _read_plain(body) if all(map(_is_plain, body.items())) else _Reader(body, "").request()


def _is_plain(item: tuple[str, Any]) -> bool:
    """Whether a field surely has no problem, as those of nearly all requests: printable text, or a flag."""
    name, value = item
    most = _MOST_CHARACTERS.get(name)
    if most is not None:
        return type(value) is str and 0 < len(value) <= most and value.isprintable()
    return name not in _OBJECTS and (name != "resolve" or type(value) is bool)


def _read_plain(body: Mapping[str, Any]) -> FetchRequest:
    get = body.get
    url, screen, resolve = get("url"), get("screen"), get("resolve", False)
    context = Context(url, screen, None, resolve) if url or screen or resolve else ANYWHERE
    return FetchRequest(get("userId"), get("anonymousId"), get("identityToken"), {}, context, get("etag"))


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
        if self.problems:
            raise invalid_payload(self.problems)
        return request

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


class Fetched(NamedTuple):
    """A 200 whose body is these pieces, and until when the same request gets the same; 0: the next may get another.

    `table`: the number of the one by which it was decided.
    """

    pieces: Sequence[bytes]
    body_bytes: int
    org_id: UUID
    table: int
    basis: Basis | None = None
    until_ms: int = 0

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

    def holds(self, fetched: Fetched) -> bool:
        """Whether the request that was answered so would be answered so again."""
        table = self._bundles.table(fetched.org_id)
        return (
            self._now_ms() < fetched.until_ms
            and (fetched.basis is None or fetched.basis.stands())
            and table is not None
            and table.number == fetched.table
        )

    async def _later(self, org: Org, request: FetchRequest) -> Answer:
        """By the newest table, with a state that was read while it was the newest: one read before may lack events that
        its rules ask for."""
        who, verified = _who(org, request)
        while who is not None:
            read = await self._people.read(who)
            table = self._bundles.table(org.id) or org.table
            if table is org.table:
                break
            org = Org(org.id, table)
            who, verified = _who(org, request)
        fetched = self._at_once(org, request)
        if fetched is not None:
            return fetched.answer
        state = self._people.state(who, read, org.table.features) if who and read else None
        return self._from_state(org, state, request, verified=verified).answer

    def _at_once(self, org: Org, request: FetchRequest) -> Fetched | None:
        """From memory. What is known of somebody does not do where the request's traits count too, for this once."""
        table, now_ms = org.table, self._now_ms()
        who, verified = _who(org, request)
        if who is None:
            if request.user_id is not None:
                return self._fetched(org, eligible(table, _UNPROVEN, now_ms), request, now_ms)
            return self._from_state(org, NOTHING_KNOWN, request, verified=verified)
        known = None if request.traits else self._people.known(who, table, now_ms, verified=verified)
        return None if known is None else self._fetched(org, known.may_get(table, now_ms), request, now_ms, known)

    def _from_state(self, org: Org, state: UserState | None, request: FetchRequest, *, verified: bool) -> Fetched:
        """Not to be given again: the next request may bring other traits, or find a state that is unknown now."""
        now_ms = self._now_ms()
        somebody = NOBODY if state is None else person(org.table, state, request.traits, now_ms, verified=verified)
        may = eligible(org.table, somebody, now_ms)
        body = answer(self._listings, org.table, may, request, now_ms, degraded=state is None)
        return Fetched(*body, org.id, org.table.number)

    def _fetched(
        self, org: Org, may: Eligible, request: FetchRequest, now_ms: int, known: Known | None = None
    ) -> Fetched:
        pieces, body_bytes = answer(self._listings, org.table, may, request, now_ms)
        basis = None if known is None else known.basis
        until_ms = _until_ms(may, now_ms, REUSED_FOR_MS)
        return Fetched(pieces, body_bytes, org.id, org.table.number, basis, until_ms)


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
        times.to_iso(until_ms).encode(),
        etag,
        _DEGRADED if degraded else b"",
    )
    if request.etag is not None and request.etag.encode() == etag:
        return (_UNCHANGED, end), len(_UNCHANGED) + len(end)
    return (_MESSAGES, *listing.pieces, b"]", end), len(_MESSAGES) + listing.body_bytes + 1 + len(end)


def _until_ms(may: Eligible, now_ms: int, at_most_ms: int) -> int:
    latest_ms = now_ms + at_most_ms
    return latest_ms if may.changes_ms is None else min(latest_ms, may.changes_ms)
