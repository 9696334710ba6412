"""The messages somebody gets now: request → decision → answer."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

from edge import access
from edge.answers import Answer, read_json
from edge.bundles import Bundles, Current, Org
from edge.fetch_request import FetchRequest, read_query, read_request
from edge.listings import Listing, Listings
from edge.people import NOTHING_KNOWN, Basis, People, Read, Who
from engine.decide import NOBODY, Eligible, Person, eligible, person
from service.clock import NowMs
from service.errors import ApiError
from wire import times
from wire.userstate import UserState

VALID_FOR_MS = 15 * 60 * 1000
REUSED_FOR_MS = 60 * 1000
"""An answer is given again for so long, in which `validUntil` comes that much nearer; then that is told anew."""
DEGRADED_VALID_FOR_MS = 10 * 1000
"""So that an SDK soon asks again when the state that was missing may be back."""

_MESSAGES = b'{"success":true,"data":{"messages":['
_END_OF_MESSAGES = b"]"
_AROUND_BYTES = len(_MESSAGES) + len(_END_OF_MESSAGES)
_UNCHANGED = b'{"success":true,"data":{"unchanged":true'
_DEGRADED = b',"degraded":true'


@dataclass(slots=True)
class Fetched:
    """A 200: the messages of `listing` and `end`, which tells revision, etag and until when it is valid.

    `current`: of the org; `number`: of the latest table by which it is known to be so; `alike`: as that table has it.
    `client_etag`: of what the client has; if that is the same, the messages are left out.
    `basis`: what of people it was made of, None where they did not matter. `changes_ms`: when it changes by itself.
    `until_ms`: until when the same request gets the same; 0: the next may get another.
    """

    current: Current
    number: int
    alike: int
    listing: Listing
    end: bytes
    client_etag: bytes | None = None
    basis: Basis | None = None
    changes_ms: int | None = None
    until_ms: int = 0

    def holds(self, now_ms: int) -> bool:
        """Whether the request that was answered so would be answered so again."""
        is_now = now_ms < self.until_ms and self.number == self.current.number
        return is_now and (self.basis is None or self.basis.stands())

    def renew(self, now_ms: int) -> None:
        """By the table of now, if that answers the same request alike, and by the time. Past `changes_ms` it still
        does not hold."""
        table = self.current.org.table
        if self.alike != table.alike:
            return
        self.number, self.listing = table.number, self.listing.of(table)
        until_ms = _until_ms(self.changes_ms, now_ms, VALID_FOR_MS)
        self.end = _end(table.version.revision, self.listing.etag, until_ms)
        self.until_ms = _until_ms(self.changes_ms, now_ms, REUSED_FOR_MS)
        if self.basis is not None:
            self.basis.use()

    @property
    def status(self) -> int:
        return 200

    @property
    def unchanged(self) -> bool:
        return self.client_etag == self.listing.etag

    @property
    def body_bytes(self) -> int:
        return (len(_UNCHANGED) if self.unchanged else _AROUND_BYTES + self.listing.body_bytes) + len(self.end)

    def after(self, head: bytes) -> bytes:
        """The body with something before it."""
        if self.unchanged:
            return b"".join((head, _UNCHANGED, self.end))
        return b"".join((head, _MESSAGES, *self.listing.pieces, _END_OF_MESSAGES, self.end))

    @property
    def answer(self) -> Answer:
        return Answer(200, self.after(b""))


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
        """`who` is None only once a table that was put in place meanwhile asks for proof."""
        fetched: Fetched | None = None
        while fetched is None:
            who, verified = _who(org, request)
            if who is None:
                fetched = self._of_nobody(org, request, verified=verified)
            else:
                fetched = await self._people.read(who, partial(self._once_read, org, request, who, verified))
                org = org.current.org
        return fetched.answer

    def _once_read(
        self, org: Org, request: FetchRequest, who: Who, verified: bool, read: Read | None
    ) -> Fetched | None:
        """None: it has to be read once more, as there is a newer table. A state that was read before that may lack
        events that its rules ask for."""
        if org.current.org is not org:
            return None
        fetched = self._of_somebody(org, request, who, verified=verified)
        if fetched is not None:
            return fetched
        state = self._people.state(who, read, org.table.features) if read else None
        return self._from_state(org, state, request, verified=verified)

    def _at_once(self, org: Org, request: FetchRequest) -> Fetched | None:
        who, verified = _who(org, request)
        if who is None:
            return self._of_nobody(org, request, verified=verified)
        return self._of_somebody(org, request, who, verified=verified)

    def _of_nobody(self, org: Org, request: FetchRequest, *, verified: bool) -> Fetched:
        """Who gave no id; or names a user without proof, on no known device."""
        if request.user_id is None:
            return self._from_state(org, NOTHING_KNOWN, request, verified=verified)
        now_ms = self._now_ms()
        return self._lasting(org, eligible(org.table, _UNPROVEN, now_ms), request, now_ms)

    def _of_somebody(self, org: Org, request: FetchRequest, who: Who, *, verified: bool) -> Fetched | None:
        """From memory. What is known of somebody does not do where the request's traits count too, for this once."""
        table, now_ms = org.table, self._now_ms()
        known = None if request.traits else self._people.known(who, table, now_ms, verified=verified)
        return None if known is None else self._lasting(org, known.may_get(table, now_ms), request, now_ms, known.basis)

    def _from_state(self, org: Org, state: UserState | None, request: FetchRequest, *, verified: bool) -> Fetched:
        """Not to be given again: the next request may bring other traits, or find a state that is unknown now."""
        table, now_ms = org.table, self._now_ms()
        somebody = NOBODY if state is None else person(table, state, request.traits, now_ms, verified=verified)
        may = eligible(table, somebody, now_ms)
        return answer(self._listings, org, may, request, now_ms, degraded=state is None)

    def _lasting(
        self, org: Org, may: Eligible, request: FetchRequest, now_ms: int, basis: Basis | None = None
    ) -> Fetched:
        """May be given again, as long as it holds."""
        fetched = answer(self._listings, org, may, request, now_ms)
        fetched.basis, fetched.until_ms = basis, _until_ms(may.changes_ms, now_ms, REUSED_FOR_MS)
        return fetched


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
    listings: Listings, org: Org, may: Eligible, request: FetchRequest, now_ms: int, *, degraded: bool = False
) -> Fetched:
    """What somebody who may get these messages is given for this once, without a clock or any I/O."""
    table = org.table
    listing = listings.within(table, may.messages, request.context)
    until_ms = _until_ms(may.changes_ms, now_ms, DEGRADED_VALID_FOR_MS if degraded else VALID_FOR_MS)
    return Fetched(
        org.current,
        table.number,
        table.alike,
        listing,
        _end(table.version.revision, listing.etag, until_ms, _DEGRADED if degraded else b""),
        None if request.etag is None else request.etag.encode(),
        changes_ms=may.changes_ms,
    )


def _end(revision: int, etag: bytes, until_ms: int, more: bytes = b"") -> bytes:
    return b',"revision":%d,"validUntil":"%b","etag":"%b"%b}}' % (revision, _iso(until_ms), etag, more)


def _until_ms(changes_ms: int | None, now_ms: int, at_most_ms: int) -> int:
    latest_ms = now_ms + at_most_ms
    return latest_ms if changes_ms is None else min(latest_ms, changes_ms)


@lru_cache(maxsize=1_024)
def _iso(at_ms: int) -> bytes:
    """Many ask within one millisecond."""
    return times.to_iso(at_ms).encode()
