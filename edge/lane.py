"""The hot routes without the framework: which requests they are, what answers them, and the bytes of the answers.

The functions are those of the FastAPI routes, and so are the bytes.
"""

import itertools
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from edge.access import sent_key
from edge.answers import JSON, Answer
from edge.cors import EXPOSED
from edge.fetch import Fetch, Fetched
from edge.recent import Recent
from edge.remembered import LONGEST_REQUEST, Remembered
from edge.track import ACTIONS, Track
from service.clock import NowMs
from service.errors import ApiError
from service.http import failure_body
from service.metrics import count_request, count_requests
from service.middleware import accepted_request_id

Lines = Sequence[tuple[bytes, bytes]]
"""Header fields: lowercase names and values."""

Begin = Callable[[str | None, bytes], Fetched | Awaitable[Answer]]
"""Takes the key that came in the head, and the body. What it awaits, and itself, may raise ApiError."""

MAX_BODY_BYTES: Final = 64 * 1024
MAX_BATCH_BYTES: Final = 512 * 1024
_CALLS_BYTES: Final = 4 * 1024 * 1024
_CALL_BYTES: Final = 500

_END_OF_HEAD: Final = b"\r\n\r\n"
_MESSAGES: Final = "/api/v1/in-app-messages"
_EVENTS: Final = "/api/v1/events"
_UNUSUAL: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})
_JSON_FIELDS: Final = b"".join([f"{name.lower()}: {value}\r\n".encode() for name, value in JSON.items()])
_CORS: Final = b"".join([b"%b: %b\r\n" % header for header in EXPOSED])
_MINE: Final = [os.urandom(10).hex().encode()]
_NUMBERS: Final = itertools.count()


def _draw_again() -> None:
    """A worker is a fork, and would give its requests the ids that its siblings give."""
    _MINE[0] = os.urandom(10).hex().encode()


os.register_at_fork(after_in_child=_draw_again)


class Route(NamedTuple):
    """`template`: the path as metrics name it."""

    template: str
    begin: Begin
    max_body_bytes: int = MAX_BODY_BYTES


@dataclass(slots=True)
class Call:
    """A request as far as its head tells. `request_id`: the client's own.

    `can_come_again`: whether the same bytes mean the same again: those of a POST without a request id.
    """

    route: Route
    method: bytes
    key: str | None
    request_id: bytes | None
    body_bytes: int
    can_come_again: bool


class Lane:
    """One for a process: all connections share it. `answers`: those that may be given again."""

    def __init__(self, fetch: Fetch, track: Track, now_ms: NowMs) -> None:
        self._fetch = fetch
        self._track = track
        self._routes = {
            (b"POST", f"{_MESSAGES}/fetch".encode()): Route(f"{_MESSAGES}/fetch", fetch.begin_post),
            (b"POST", _EVENTS.encode()): Route(_EVENTS, track.one),
            (b"POST", f"{_EVENTS}/batch".encode()): Route(f"{_EVENTS}/batch", track.batch, MAX_BATCH_BYTES),
        }
        self.answers = Remembered(now_ms)
        self._calls: Recent[bytes, Call] = Recent(_CALLS_BYTES, lambda head, _: len(head) + _CALL_BYTES)
        self._fields: Lines | None = None
        self._start = b""
        self._counts: Counter[tuple[bytes, str, int]] = Counter()
        self._fetched = 0

    def call_again(self, request: bytes) -> tuple[Call, bytes] | None:
        """The call and its body when the head came before, so that it need not be parsed. The body may be another."""
        head_bytes = request.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        call = self._calls.get(request[:head_bytes])
        if call is None or len(request) != head_bytes + call.body_bytes:
            return None
        return call, request[head_bytes:]

    def remember_call(self, request: bytes, call: Call) -> None:
        """`request`: all of its bytes, as they were parsed."""
        head_bytes = request.find(_END_OF_HEAD) + len(_END_OF_HEAD)
        if len(request) == head_bytes + call.body_bytes and head_bytes <= LONGEST_REQUEST:
            self._calls.keep(request[:head_bytes], call)

    def read_head(self, method: bytes, url: bytes, lines: Lines) -> Call | None:
        """None: it is for the framework, be it another route or something unusual about it."""
        headers = dict(lines)
        if len(headers) < len(lines) or not _UNUSUAL.isdisjoint(headers):
            return None
        query: dict[str, str] = {}
        route = self._routes.get((method, url))
        if route is None and b"#" not in url:
            path, _, text = url.partition(b"?")
            query = dict(parse_qsl(text.decode("latin-1"), keep_blank_values=True))
            route = self._routes.get((method, path)) or self._other_route(method, path, query)
        body_bytes = int(headers.get(b"content-length", b"0"))
        if route is None or body_bytes > route.max_body_bytes:
            return None
        offered = headers.get(b"x-request-id")
        request_id = accepted_request_id(offered.decode("latin-1")).encode() if offered else None
        can_come_again = offered is None and method == b"POST"
        return Call(route, method, _key(headers, query), request_id, body_bytes, can_come_again)

    def _other_route(self, method: bytes, path: bytes, query: Mapping[str, str]) -> Route | None:
        folder, _, name = path.decode("latin-1").rpartition("/")
        if method == b"GET" and folder == _MESSAGES and name == "active":
            return Route(f"{_MESSAGES}/active", lambda key, _: self._fetch.begin_get(key, query))
        messages, _, message_id = folder.rpartition("/")
        if method == b"POST" and messages == _MESSAGES and name in ACTIONS and message_id and "%" not in message_id:
            return Route(f"{_MESSAGES}/{{message_id}}/{name}", partial(self._track.action, message_id, name))
        return None

    def ok_head(self, body_bytes: int, fields: Lines, request_id: bytes) -> bytes:
        """Of a plain 200. `fields`: the server's own, the same object until they change, which is once a second."""
        if fields is not self._fields:
            self._fields = fields
            self._start = STATUS_LINE[200] + _joined(fields) + _JSON_FIELDS
        return b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n" % (self._start, body_bytes, request_id, _CORS)

    def count_fetched(self) -> None:
        """As `count`, of a POST that was fetched and given at once."""
        self._fetched += 1

    def count(self, call: Call, status: int, seconds: float | None) -> None:
        """`seconds`: None for an answer that was at hand; those are not timed."""
        if seconds is None:
            self._counts[call.method, call.route.template, status] += 1
        else:
            count_request(call.method.decode(), call.route.template, status, seconds)

    def tally(self) -> None:
        """Brings the metrics up to date."""
        counts, self._counts, fetched, self._fetched = self._counts, Counter(), self._fetched, 0
        counts[b"POST", f"{_MESSAGES}/fetch", 200] += fetched
        for (method, template, status), number in counts.items():
            count_requests(method.decode(), template, status, number)


def answer_head(answer: Answer, server_fields: Lines, request_id: bytes, *, closes: bool) -> bytes:
    """Of any response."""
    fields = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    fields.append((b"content-length", b"%d" % len(answer.body)))
    if "content-type" not in map(str.lower, answer.headers):
        fields.append((b"content-type", b"application/json"))
    closing = b"connection: close\r\n" if closes else b""
    return b"%b%b%bx-request-id: %b\r\n%b%b\r\n" % (
        STATUS_LINE[answer.status], _joined(server_fields), _joined(fields), request_id, _CORS, closing
    )  # fmt: skip


def failed(error: ApiError, request_id: bytes) -> Answer:
    body = failure_body(error.code, error.message, request_id.decode(), error.details)
    return Answer(error.status, body, error.headers or {})


def new_request_id() -> bytes:
    return b"%b%012x" % (_MINE[0], next(_NUMBERS))


def _key(headers: Mapping[bytes, bytes], query: Mapping[str, str]) -> str | None:
    key = headers.get(b"x-api-key")
    if key:
        return key.decode("latin-1")
    return sent_key({"authorization": headers.get(b"authorization", b"").decode("latin-1")}, query)


def _joined(lines: Lines) -> bytes:
    return b"".join([b"%b: %b\r\n" % line for line in lines])
