"""The hot routes inside uvicorn's protocol: an answer that is in memory goes out as soon as its request is read.

`_Cycle` has the shape of uvicorn's request cycle, so that uvicorn's own pipelining, keep-alive timer, flow control and
graceful shutdown go on as they are. Whatever is not for the lane is uvicorn's to handle, in every way.
"""

import asyncio
import time
from collections.abc import Awaitable
from typing import Any, Final

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge.answers import Answer
from edge.fetch import Fetched
from edge.lane import Call, Lane, answer_head, failed, new_request_id
from service.errors import ApiError
from service.http import INTERNAL_ERROR

log = structlog.get_logger("http")

Begun = Fetched | Answer | Awaitable[Answer]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request line and its fields."""

_HEAD_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)


class Fastlane(HttpToolsProtocol):
    """The app's lifespan state has the `lane`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lane: Lane = self.app_state["lane"]
        self.url = b""
        self._messages_begun = 0
        self._in_head = self._in_message = False
        self._head_bytes = self._later_bytes = 0
        self._active_s = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Leaves no circle of references: an edge looks for these rarely."""
        super().connection_lost(exc)
        self.cycle = None  # type: ignore[assignment]
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        is_idle = not self._in_message and not self._is_busy() and self.can_write()
        if is_idle and (self._answer_again(data) or self._call_again(data)):
            return
        self._messages_begun, self._head_bytes = 0, self._head_bytes + len(data)
        self._later_bytes += len(data) if self._in_head else 0
        super().data_received(data)
        if self._in_head and self._is_head_too_large():
            self.send_400_response("")
        elif is_idle and self._messages_begun == 1 and not self._in_message and isinstance(self.cycle, _Cycle):
            self.cycle.remember(data)

    def _answer_again(self, request: bytes) -> bool:
        """What answered the very same bytes."""
        fetched = self.lane.answers.get(request)
        if fetched is None:
            return False
        self._give(fetched, new_request_id())
        return True

    def _call_again(self, request: bytes) -> bool:
        """A request whose head came before need not be parsed; its body may be another."""
        again = self.lane.call_again(request)
        if again is None:
            return False
        call, body = again
        request_id = new_request_id()
        begun = begin(call, body, request_id)
        if isinstance(begun, Fetched):
            self._give(begun, request_id)
            self.lane.answers.offer(request, begun)
            return True
        cycle = _Cycle(self, call, request_id, keep_alive=True, is_first=True)
        self.cycle = cycle  # type: ignore[assignment]
        cycle.set()
        if not cycle.answer_at_once(begun):
            self._wait_for(cycle)
        return True

    def _give(self, fetched: Fetched, request_id: bytes) -> None:
        self.lane.count_fetched()
        self.send(fetched, request_id)
        self.note_answer()

    def send(self, fetched: Fetched, request_id: bytes) -> None:
        """In one piece: the kernel takes longer over many than it takes to join them."""
        head = self.lane.ok_head(fetched.body_bytes, self.server_state.default_headers, request_id)
        self.transport.write(fetched.after(head))

    def on_message_begin(self) -> None:
        """What uvicorn begins with here waits until it is known to be needed."""
        self._messages_begun += 1
        self._in_head = self._in_message = True
        self._later_bytes = 0
        self.url, self.headers = b"", []

    def on_headers_complete(self) -> None:
        if self._is_head_too_large():
            raise ValueError("the head is too large")
        self._in_head, self._head_bytes = False, 0
        call = None
        if self.parser.get_http_version() == "1.1":
            call = self.lane.read_head(self.parser.get_method(), self.url, self.headers)
        if call is None:
            self._leave_to_uvicorn()
            return
        is_first = not self._is_busy()
        request_id = call.request_id or new_request_id()
        cycle = _Cycle(self, call, request_id, keep_alive=self.parser.should_keep_alive(), is_first=is_first)
        self.cycle = cycle  # type: ignore[assignment]
        if not is_first:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))  # type: ignore[arg-type]

    def on_header(self, name: bytes, value: bytes) -> None:
        """None after a body: nobody looks at those, and nothing would bound them."""
        if not self._in_head:
            raise ValueError("no field may come after the body")
        self.headers.append((name.lower(), value))

    def _leave_to_uvicorn(self) -> None:
        self._unset_keepalive_if_required()
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        for name, value in headers:
            super().on_header(name, value)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A call's body is bounded by its route already."""
        if isinstance(self.cycle, _Cycle):
            self.cycle.body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        cycle = self.cycle
        if not isinstance(cycle, _Cycle):
            super().on_message_complete()
            return
        cycle.set()
        if cycle.is_first and not (self.can_write() and cycle.answer_at_once(cycle.begin())):
            self._wait_for(cycle)

    def _wait_for(self, cycle: "_Cycle") -> None:
        """The keep-alive timer runs only while nothing is waited for."""
        self._unset_keepalive_if_required()
        self._start_asgi_task(cycle, self.app)  # type: ignore[arg-type]

    def send_400_response(self, msg: str) -> None:
        if self._is_head_too_large():
            self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()
        else:
            super().send_400_response(msg)

    def timeout_keep_alive_handler(self) -> None:
        """The timer is not set anew for each answer that is given again: it asks when it is over."""
        rest_s = self._active_s + self.timeout_keep_alive - self.loop.time()
        if rest_s > 0 and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(rest_s, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def note_answer(self) -> None:
        """`on_response_complete`, but that a timer that runs already, as where nothing was parsed, goes on."""
        if self.timeout_keep_alive_task is None:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
            self._active_s = self.loop.time()

    def _is_head_too_large(self) -> bool:
        """Of as much of it as has come. Looked into only where that could be."""
        if self._head_bytes <= MAX_HEAD_BYTES:
            return False
        read_bytes = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        return max(read_bytes, self._later_bytes) > MAX_HEAD_BYTES

    def can_write(self) -> bool:
        return not self.flow.write_paused and not self.transport.is_closing()

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete


def begin(call: Call, body: bytes, request_id: bytes) -> Begun:
    try:
        return call.route.begin(call.key, body)
    except Exception as error:
        return answer_to(error, call, request_id)


def answer_to(error: Exception, call: Call, request_id: bytes) -> Answer:
    if isinstance(error, ApiError):
        return failed(error, request_id)
    method, path, id_ = call.method.decode(), call.route.template, request_id.decode()
    log.error("request_failed", method=method, path=path, request_id=id_, exc_info=error)
    return failed(INTERNAL_ERROR, request_id)


class _Cycle:
    """One request that the lane answers. `is_first`: no earlier one of its connection waits for an answer.

    What has no underscore is what uvicorn asks of a cycle, but for `is_first`, `begin` and `remember`.
    """

    __slots__ = (
        "_begun", "_call", "_protocol", "_request_id", "_waiting", "body", "disconnected", "is_first", "keep_alive",
        "more_body", "response_complete",
    )  # fmt: skip

    def __init__(self, protocol: Fastlane, call: Call, request_id: bytes, *, keep_alive: bool, is_first: bool) -> None:
        self._protocol = protocol
        self._call = call
        self._request_id = request_id
        self._begun: Begun | None = None
        self._waiting: asyncio.Future[None] | None = None
        self.body = b""
        self.more_body = True
        self.is_first = is_first
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False

    @property
    def message_event(self) -> "_Cycle":
        return self

    def set(self) -> None:
        """The body is complete, or the client is gone."""
        self.more_body = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def remember(self, request: bytes) -> None:
        """`request`: all of its bytes, as they were parsed."""
        if not self._call.can_come_again or not self.keep_alive:
            return
        self._protocol.lane.remember_call(request, self._call)
        if isinstance(self._begun, Fetched):
            self._protocol.lane.answers.offer(request, self._begun)

    def begin(self) -> Begun:
        return begin(self._call, self.body, self._request_id)

    def answer_at_once(self, begun: Begun) -> bool:
        """False when something has to be waited for, which `run_asgi` then does."""
        self._begun = begun
        if isinstance(begun, Fetched | Answer):
            self._finish(begun)
            return True
        return False

    async def run_asgi(self, _app: object) -> None:
        """As the protocol runs any cycle, here without the app."""
        if self.more_body:
            self._waiting = self._protocol.loop.create_future()
            await self._waiting
        if self.disconnected and self._begun is None:
            return
        began_s = time.perf_counter()
        begun = self._begun or self.begin()
        try:
            answer = begun if isinstance(begun, Fetched | Answer) else await begun
        except Exception as error:
            answer = answer_to(error, self._call, self._request_id)
        if self._protocol.flow.write_paused and not self.disconnected:
            await self._protocol.flow.drain()
        self._finish(answer, time.perf_counter() - began_s)

    def _finish(self, answer: Fetched | Answer, seconds: float | None = None) -> None:
        protocol = self._protocol
        protocol.lane.count(self._call, answer.status, seconds)
        self.response_complete = True
        if self.disconnected or protocol.transport.is_closing():
            return
        if isinstance(answer, Fetched) and self.keep_alive:
            protocol.send(answer, self._request_id)
        else:
            self._send_any(answer.answer if isinstance(answer, Fetched) else answer)
        protocol.note_answer()

    def _send_any(self, answer: Answer) -> None:
        protocol = self._protocol
        fields = protocol.server_state.default_headers
        first = answer_head(answer, fields, self._request_id, closes=not self.keep_alive)
        protocol.transport.write(first + answer.body)
        if not self.keep_alive:
            protocol.transport.close()
