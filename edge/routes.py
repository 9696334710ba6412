"""FastAPI routes over the SDK-facing functions, and their documentation."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from edge.access import sent_key
from edge.answers import Answer
from edge.fetch import Fetch
from edge.track import ACTIONS, Track
from service.openapi import error_responses

_ERRORS = error_responses(
    {
        400: "The body is not JSON",
        401: "No live public key, or a wrong identity token",
        403: "A secret key in a client",
        413: "The body is too large",
        422: "The payload has errors",
        503: "Cannot be done at the moment; see Retry-After",
    }
)
DESCRIPTION = """What SDKs talk to: which messages somebody gets now, and what they do.

Send a public key (`pk_…`) as `X-API-Key`, `Authorization: Bearer`, `?apiKey=` or `apiKey` in the body. Bodies are JSON,
also as `text/plain`, which browsers send without a preflight. Successes are `{"success": true, "data": …}`, failures
`{"success": false, "error": …}` with every problem of a payload at once.
"""
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, scheme_name="apiKey", description="A public key, pk_…")
_BEARER = HTTPBearer(auto_error=False, scheme_name="bearer", description="A public key, pk_…")

_KEY = {"apiKey": "pk_prod_…"}
_WHO: dict[str, Any] = {**_KEY, "userId": "ada", "anonymousId": "1f6c9a3e"}
_EVENT: dict[str, Any] = {
    "id": "5e1d-1",
    "eventType": "report.exported",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "properties": {"pages": 3},
    "userId": "ada",
}
_IDENTIFIED: dict[str, Any] = {
    "id": "5e1d-2",
    "eventType": "user.identified",
    "timestamp": "2026-01-02T03:04:06.000Z",
    "properties": {"plan": "free"},
    "userId": "ada",
    "anonymousId": "1f6c9a3e",
}
_FETCH = {**_WHO, "url": "https://app.example.com/pricing", "resolve": True, "traits": {"locale": "en"}}
_MESSAGE = {
    "id": "019b7f5e-0000-7000-8000-000000000001",
    "version": 3,
    "type": "banner",
    "slot": "banner:top",
    "priority": 50,
    "content": {"title": "Go Pro", "body": "More of everything.", "ctaText": "Upgrade", "ctaUrl": "https://…"},
    "appearance": {"position": "top", "theme": "auto"},
    "trigger": None,
    "frequencyCap": {"maxImpressions": 3, "perSeconds": 86400},
    "startsAt": None,
    "endsAt": None,
}
_MESSAGES = {
    "messages": [_MESSAGE],
    "revision": 42,
    "validUntil": "2026-01-02T03:19:05.678Z",
    "etag": "b1946ac92492d2347c6235b4",
}
_QUERY = {
    "apiKey": ("instead of the X-API-Key header", "pk_prod_…"),
    "userId": ("the app's own id of the user", "ada"),
    "anonymousId": ("the device's id of a visitor", "1f6c9a3e"),
    "identityToken": ("proves userId where the org asks for it: HMAC-SHA256 of it, in lowercase hex", "9b74c9897bac…"),
    "url": ("where the user is", "https://app.example.com/pricing"),
    "screen": ("where the user is", "Checkout"),
    "event": ('what just happened: an event type, or JSON {"type", "properties"}', "report.exported"),
    "traits": ("JSON object; counts for this answer only", '{"locale":"en"}'),
    "resolve": ("true: only the winner of each slot", "true"),
    "etag": ("of the last answer; if it holds, the answer is {unchanged: true}", "b1946ac92492d2347c6235b4"),
}


def _acknowledged(count: int) -> dict[str, Any]:
    """`rejected` has {"index", "code", "message"} of each event that was not taken."""
    return {"accepted": count, "rejected": []}


def _body(example: object) -> dict[str, Any]:
    """JSON, or the same as text/plain, which browsers send without a preflight."""
    content = {"schema": {"type": "object"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content, "text/plain": content}}}


def _query() -> dict[str, Any]:
    return {
        "parameters": [
            {"name": name, "in": "query", "description": text, "example": example, "schema": {"type": "string"}}
            for name, (text, example) in _QUERY.items()
        ]
    }


def _gives(example: object) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": {"success": True, "data": example}}}
    return {200: {"description": "Done", "content": content}, **_ERRORS}


def sdk_routes() -> APIRouter:
    """Their functions are `request.state.fetch` and `request.state.track`, which the lifespan provides."""
    documented = [Depends(_HEADER), Depends(_BEARER)]
    router = APIRouter(prefix="/api/v1", responses=_ERRORS, dependencies=documented)

    @router.post("/in-app-messages/fetch", responses=_gives(_MESSAGES), openapi_extra=_body(_FETCH), tags=["Messages"])
    async def fetch_messages(request: Request, key: Key, fetch: Fetching) -> Response:
        """The messages that somebody gets now, highest priority first."""
        return _response(await fetch.post(key, await request.body()))

    @router.get("/in-app-messages/active", responses=_gives(_MESSAGES), openapi_extra=_query(), tags=["Messages"])
    async def active_messages(request: Request, key: Key, fetch: Fetching) -> Response:
        """The same by a GET, with everything in the query."""
        return _response(await fetch.get(key, request.query_params))

    one = {**_KEY, **_EVENT}

    @router.post("/events", responses=_gives(_acknowledged(1)), openapi_extra=_body(one), tags=["Events"])
    async def track_event(request: Request, key: Key, track: Tracking) -> Response:
        """One event. `user.identified` carries traits as its properties."""
        return _response(await track.one(key, await request.body()))

    batch = {**_KEY, "events": [_EVENT, _IDENTIFIED]}

    @router.post("/events/batch", responses=_gives(_acknowledged(2)), openapi_extra=_body(batch), tags=["Events"])
    async def track_events(request: Request, key: Key, track: Tracking) -> Response:
        """Up to 1,000 events. Each is accepted, and then on disk, or listed in `rejected` with its index and why."""
        return _response(await track.batch(key, await request.body()))

    for action, what in _ACTIONS.items():
        router.add_api_route(
            f"/in-app-messages/{{message_id}}/{action}",
            _action_route(action),
            methods=["POST"],
            name=f"Track {action}",
            description=f"{what} Short for an `{ACTIONS[action]}` event.",
            responses=_gives(_acknowledged(1)),
            openapi_extra=_body(_WHO),
            tags=["Messages"],
        )
    return router


_ACTIONS = {
    "impressions": "Somebody was shown the message; this is what frequency caps count.",
    "clicks": "Somebody followed the message's call to action.",
    "dismissals": "Somebody closed the message.",
}


def _action_route(action: str) -> Callable[..., Awaitable[Response]]:
    async def track_action(message_id: MessageId, request: Request, key: Key, track: Tracking) -> Response:
        return _response(await track.action(message_id, action, key, await request.body()))

    return track_action


def _key(request: Request) -> str | None:
    return sent_key(request.headers, request.query_params)


def _fetch(request: Request) -> Fetch:
    fetch: Fetch = request.state.fetch
    return fetch


def _track(request: Request) -> Track:
    track: Track = request.state.track
    return track


MessageId = Annotated[str, Path(examples=[_MESSAGE["id"]], json_schema_extra={"format": "uuid"})]
Key = Annotated[str | None, Depends(_key)]
Fetching = Annotated[Fetch, Depends(_fetch)]
Tracking = Annotated[Track, Depends(_track)]


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, headers=dict(answer.headers))
