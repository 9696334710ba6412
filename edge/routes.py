"""FastAPI routes over the SDK-facing functions, and their documentation."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

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
_WHO: dict[str, Any] = {"apiKey": "pk_prod_…", "userId": "ada", "anonymousId": "1f6c…"}
_EVENT: dict[str, Any] = {
    "eventType": "report.exported",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "properties": {"pages": 3},
    "userId": "ada",
    "id": "5e1d…",
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
_ACKNOWLEDGED = {
    "accepted": 1,
    "rejected": [{"index": 1, "code": "event_type_missing", "message": "eventType is missing."}],
}
_QUERY = {
    "apiKey": "instead of the X-API-Key header",
    "userId": "",
    "anonymousId": "",
    "identityToken": "",
    "url": "where the user is",
    "screen": "where the user is",
    "event": 'an event type, or JSON: {"type","properties"}',
    "traits": "JSON object; counts for this answer only",
    "resolve": "true: only the winner of each slot",
    "etag": "of the last answer; if it holds, the answer is {unchanged: true}",
}


def _body(example: object) -> dict[str, Any]:
    """JSON, or the same as text/plain, which browsers send without a preflight."""
    content = {"schema": {"type": "object"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content, "text/plain": content}}}


def _query() -> dict[str, Any]:
    return {
        "parameters": [
            {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
            for name, text in _QUERY.items()
        ]
    }


def _gives(example: object) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"example": {"success": True, "data": example}}}
    return {200: {"description": "Done", "content": content}, **_ERRORS}


def sdk_routes() -> APIRouter:
    """Their functions are `request.state.fetch` and `request.state.track`, which the lifespan provides."""
    router = APIRouter(prefix="/api/v1", responses=_ERRORS)

    @router.post("/in-app-messages/fetch", responses=_gives(_MESSAGES), openapi_extra=_body(_FETCH), tags=["Messages"])
    async def fetch_messages(request: Request, key: Key, fetch: Fetching) -> Response:
        """The messages that somebody gets now, highest priority first."""
        return _response(await fetch.post(key, await request.body()))

    @router.get("/in-app-messages/active", responses=_gives(_MESSAGES), openapi_extra=_query(), tags=["Messages"])
    async def active_messages(request: Request, key: Key, fetch: Fetching) -> Response:
        """The same as a GET."""
        return _response(await fetch.get(key, request.query_params))

    @router.post("/events", responses=_gives(_ACKNOWLEDGED), openapi_extra=_body(_EVENT), tags=["Events"])
    async def track_event(request: Request, key: Key, track: Tracking) -> Response:
        """One event. `user.identified` carries traits as its properties."""
        return _response(await track.one(key, await request.body()))

    batch = {"apiKey": "pk_prod_…", "events": [_EVENT]}

    @router.post("/events/batch", responses=_gives(_ACKNOWLEDGED), openapi_extra=_body(batch), tags=["Events"])
    async def track_events(request: Request, key: Key, track: Tracking) -> Response:
        """Up to 1,000 events. Each is accepted or rejected by itself; what is accepted is on disk."""
        return _response(await track.batch(key, await request.body()))

    for action in ACTIONS:
        router.add_api_route(
            f"/in-app-messages/{{message_id}}/{action}",
            _action_route(action),
            methods=["POST"],
            name=f"Track {action}",
            responses=_gives(_ACKNOWLEDGED),
            openapi_extra=_body(_WHO),
            tags=["Messages"],
        )
    return router


def _action_route(action: str) -> Callable[..., Awaitable[Response]]:
    async def track_action(message_id: str, request: Request, key: Key, track: Tracking) -> Response:
        """What somebody did with a message: short for an `in_app.…` event."""
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


Key = Annotated[str | None, Depends(_key)]
Fetching = Annotated[Fetch, Depends(_fetch)]
Tracking = Annotated[Track, Depends(_track)]


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, headers=dict(answer.headers))
