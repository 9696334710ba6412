import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import anyio
import httpx
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Query, Request, Response
from prometheus_client import REGISTRY
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse
from structlog.testing import capture_logs

from service.errors import ApiError, invalid_payload
from service.http import current_request_id, failure, install_http, success
from service.openapi import error_responses
from wire.problems import Problem

pytestmark = pytest.mark.anyio

LIMIT_BYTES = 1000
JSON = {"Content-Type": "application/json"}


class Banner(BaseModel):
    kind: Literal["banner"]
    title: str = Field(max_length=5)


class Modal(BaseModel):
    kind: Literal["modal"]
    body: str


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str
    starts_at: str = Field("now", alias="startsAt")
    content: Annotated[Banner | Modal, Field(discriminator="kind")] | None = None
    tags: list[int] = []


router = APIRouter(prefix="/orgs/{org_id}/messages")


@router.post("", responses=error_responses({403: "The plan does not allow it"}))
async def create(org_id: str, message: Message, limit: Annotated[int, Query(ge=1)] = 1) -> Response:
    return success(message, 201, {"Location": f"/{org_id}/{limit}"})


@router.get("/{message_id}")
async def read(org_id: str, message_id: str) -> Response:
    raise ApiError(404, "message_not_found", "There is no such message.", headers={"X-Org": org_id})


def build() -> FastAPI:
    app = FastAPI()
    install_http(app, max_body_bytes=LIMIT_BYTES, body_limits={"/batch": LIMIT_BYTES * 2})
    app.include_router(router, prefix="/api/v1")

    @app.post("/raw")
    @app.post("/batch")
    async def raw(request: Request) -> Response:
        return success({"bytes": len(await request.body()), "requestId": current_request_id()})

    @app.get("/boom")
    async def boom() -> Response:
        raise ValueError("the secret is hunter2")

    @app.get("/half")
    async def half() -> Response:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise ValueError("lost")

        return StreamingResponse(chunks())

    @app.get("/problems")
    async def problems() -> Response:
        raise invalid_payload([Problem("/a", "too_long", "is too long")])

    return app


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return build()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body.keys() == {"success", "error"}
    assert body["success"] is False
    error: dict[str, Any] = body["error"]
    assert error.keys() == {"code", "message", "requestId", "details"}
    assert error["requestId"] == response.headers["x-request-id"]
    return error


async def test_success_is_an_envelope_with_models_by_alias(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/orgs/o1/messages?limit=3", json={"name": "n"})
    assert answer.status_code == 201
    assert answer.headers["location"] == "/o1/3"
    assert answer.headers["content-type"] == "application/json"
    data: dict[str, Any] = {"name": "n", "startsAt": "now", "content": None, "tags": []}
    assert answer.json() == {"success": True, "data": data}


async def test_an_api_error_brings_its_status_code_and_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/orgs/o1/messages/m1")
    assert error_of(answer, 404)["code"] == "message_not_found"
    assert answer.headers["x-org"] == "o1"


async def test_details_of_an_api_error_are_listed(client: httpx.AsyncClient) -> None:
    error = error_of(await client.get("/problems"), 422)
    assert error["details"] == [{"pointer": "/a", "code": "too_long", "message": "is too long"}]


async def test_an_unknown_path_and_method_are_in_the_envelope(client: httpx.AsyncClient) -> None:
    assert error_of(await client.get("/nowhere"), 404)["code"] == "not_found"
    answer = await client.delete("/boom")
    assert error_of(answer, 405)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET"


async def test_every_error_of_a_payload_comes_at_once_by_pointer(client: httpx.AsyncClient) -> None:
    body = {"startsAt": 5, "content": {"kind": "banner", "title": "too long"}, "tags": [1, "x"], "a/b~c": 1}
    error = error_of(await client.post("/api/v1/orgs/o1/messages?limit=0", json=body), 422)
    assert error["code"] == "invalid_payload"
    assert {(detail["pointer"], detail["code"]) for detail in error["details"]} == {
        ("/query/limit", "out_of_range"),
        ("/name", "missing_field"),
        ("/startsAt", "wrong_type"),
        ("/content/title", "too_long"),
        ("/tags/1", "wrong_type"),
        ("/a~1b~0c", "unknown_field"),
    }


@pytest.mark.parametrize(
    "body",
    [
        {"name": {"x": "hunter2"}},
        {"name": "n", "content": {"kind": "hunter2"}},
        {"name": "n", "tags": ["hunter2"]},
        {"name": "n", "startsAt": ["hunter2"]},
        ["hunter2"],
        "hunter2",
    ],
)
async def test_a_422_never_repeats_the_input(client: httpx.AsyncClient, body: object) -> None:
    answer = await client.post("/api/v1/orgs/o1/messages?limit=hunter2", json=body)
    assert error_of(answer, 422)["details"]
    assert "hunter2" not in answer.text


async def test_a_hostile_body_does_not_get_an_endless_answer() -> None:
    app = FastAPI()
    install_http(app, max_body_bytes=10**6)

    @app.post("/")
    async def create(values: dict[str, list[int]]) -> Response:
        return success(values)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.post("/", json={"k" * 10_000: ["x"] * 5_000})
    assert len(error_of(answer, 422)["details"]) == 1000
    assert len(answer.content) < 10**6


@pytest.mark.parametrize(
    "body", [b"{", b"{'a':1}", b"\xff", b'{"name":NaN}', rb'{"name":"\ud800"}', b"[" * 900, b"[" * 450 + b"]" * 449]
)
async def test_broken_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/orgs/o1/messages", content=body, headers=JSON)
    assert error_of(answer, 400)["code"] == "invalid_json"


async def test_json_too_deep_for_python_is_a_400() -> None:
    app = FastAPI()
    install_http(app, max_body_bytes=10**6)

    @app.post("/")
    async def create(values: list[Any]) -> Response:
        return success(len(values))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        for depth in (1000, 1023, 100_000):
            answer = await client.post("/", content=b"[" * depth + b"]" * depth, headers=JSON)
            assert answer.status_code in (200, 400), depth
            if answer.status_code == 400:
                assert error_of(answer, 400)["code"] == "invalid_json"
        assert answer.status_code == 400


@pytest.mark.parametrize("headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "x"}])
async def test_a_json_body_under_another_type_is_a_415(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await client.post("/api/v1/orgs/o1/messages", content=b'{"name":"n"}', headers=headers)
    assert error_of(answer, 415)["code"] == "unsupported_media_type"


async def test_a_missing_body_is_a_422_at_the_root(client: httpx.AsyncClient) -> None:
    error = error_of(await client.post("/api/v1/orgs/o1/messages", headers=JSON), 422)
    assert error["details"] == [{"pointer": "", "code": "missing_field", "message": "This is required."}]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def test_a_body_at_its_limit_is_taken_and_one_byte_more_is_not(client: httpx.AsyncClient) -> None:
    assert (await client.post("/raw", content=b"x" * LIMIT_BYTES)).json()["data"]["bytes"] == LIMIT_BYTES
    answer = await client.post("/raw", content=b"x" * (LIMIT_BYTES + 1))
    assert error_of(answer, 413)["code"] == "payload_too_large"


async def test_a_chunked_body_is_counted_as_it_comes(client: httpx.AsyncClient) -> None:
    half = b"x" * (LIMIT_BYTES // 2)
    assert (await client.post("/raw", content=stream(half, half))).json()["data"]["bytes"] == LIMIT_BYTES
    answer = await client.post("/raw", content=stream(half, half, b"x"))
    assert error_of(answer, 413)["code"] == "payload_too_large"


async def test_a_path_can_have_its_own_limit(client: httpx.AsyncClient) -> None:
    assert (await client.post("/batch", content=b"x" * LIMIT_BYTES * 2)).status_code == 200
    assert (await client.post("/batch", content=b"x" * (LIMIT_BYTES * 2 + 1))).status_code == 413


async def test_a_refused_body_is_not_read_to_its_end(app: FastAPI) -> None:
    async def endless() -> dict[str, Any]:
        received.append(True)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    async def send(message: Any) -> None:
        sent.append(message)

    received, sent = list[bool](), list[Any]()
    scope = {"type": "http", "method": "POST", "path": "/raw", "query_string": b"", "headers": []}
    await app(scope, endless, send)
    assert len(received) == LIMIT_BYTES // 100 + 1
    assert sent[0]["status"] == 413


async def test_a_declared_length_over_the_limit_is_refused_unread(app: FastAPI) -> None:
    async def unwanted() -> dict[str, Any]:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    sent = list[Any]()
    headers = [(b"content-length", str(LIMIT_BYTES + 1).encode())]
    scope = {"type": "http", "method": "POST", "path": "/raw", "query_string": b"", "headers": headers}
    await app(scope, unwanted, send)
    assert sent[0]["status"] == 413


async def test_a_client_that_leaves_while_sending_gets_no_answer_and_no_error(app: FastAPI) -> None:
    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/raw", "query_string": b"", "headers": []}
    with capture_logs() as lines:
        await app(scope, left, send)
    assert [(line["event"], line["status"]) for line in lines] == [("request", None)]


async def test_a_sane_request_id_is_kept_and_echoed(client: httpx.AsyncClient) -> None:
    answer = await client.post("/raw", headers={"X-Request-Id": "trace-1.a_B"})
    assert answer.headers["x-request-id"] == answer.json()["data"]["requestId"] == "trace-1.a_B"


@pytest.mark.parametrize("offered", ["", "a b", "x" * 65, "a/b", '"', "a\tb"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, offered: str) -> None:
    answer = await client.post("/raw", headers={"X-Request-Id": offered})
    assert len(answer.headers["x-request-id"]) == 32
    assert offered not in answer.headers["x-request-id"] or not offered


async def test_requests_have_ids_of_their_own(client: httpx.AsyncClient) -> None:
    ids = {(await client.post("/raw")).headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert current_request_id() == ""


async def test_an_unhandled_exception_is_a_500_without_its_text(client: httpx.AsyncClient) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        answer = await client.get("/boom")
    error = error_of(answer, 500)
    assert error["code"] == "internal_error"
    assert "hunter2" not in answer.text
    assert "Traceback" not in answer.text
    (failed,) = (line for line in lines if line["event"] == "request_failed")
    assert failed["exc_info"]
    assert failed["request_id"] == error["requestId"]


async def test_an_exception_after_the_answer_began_is_logged_and_answered_no_second_time(app: FastAPI) -> None:
    async def receive() -> dict[str, Any]:
        if not asked:
            asked.append(True)
            return {"type": "http.request", "body": b"", "more_body": False}
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    asked, sent = list[bool](), list[Any]()
    scope = {"type": "http", "method": "GET", "path": "/half", "query_string": b"", "headers": []}
    with capture_logs() as lines:
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert "request_failed" in [line["event"] for line in lines]


async def test_the_access_line_has_no_query(client: httpx.AsyncClient) -> None:
    with capture_logs() as lines:
        await client.get("/api/v1/orgs/o1/messages/m1?apiKey=hunter2")
    (line,) = lines
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/api/v1/orgs/o1/messages/m1",
        "status": 404,
    }


async def test_a_quiet_app_tells_of_failures_alone_and_reads_its_bodies_itself() -> None:
    app = FastAPI()
    install_http(app, max_body_bytes=LIMIT_BYTES, strict_json=False, quiet=True)

    @app.post("/raw")
    async def raw(request: Request) -> Response:
        if b"boom" in await request.body():
            raise ValueError
        return success(None)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        with capture_logs() as lines:
            assert (await client.post("/raw", content=b"{", headers=JSON)).status_code == 200
            assert (await client.post("/raw", content=b"boom")).status_code == 500
    requests = [(line["log_level"], line["status"]) for line in lines if line["event"] == "request"]
    assert requests == [("debug", 200), ("info", 500)]


def requests_counted(method: str, route: str, status: str) -> float:
    labels = {"method": method, "route": route, "status": status}
    return REGISTRY.get_sample_value("inapp_http_requests_total", labels) or 0.0


async def test_requests_are_counted_by_template_never_by_path(client: httpx.AsyncClient) -> None:
    template = ("GET", "/api/v1/orgs/{org_id}/messages/{message_id}", "404")
    before = requests_counted(*template), requests_counted("other", "unmatched", "404")
    for number in range(3):
        await client.get(f"/api/v1/orgs/o{number}/messages/m{number}")
        await client.request(f"VERB{number}", f"/nowhere/{number}")
    after = requests_counted(*template), requests_counted("other", "unmatched", "404")
    assert (after[0] - before[0], after[1] - before[1]) == (3, 3)


async def test_openapi_shows_the_envelope_for_every_failure(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    responses = document["paths"]["/api/v1/orgs/{org_id}/messages"]["post"]["responses"]
    for status in ("403", "422"):
        schema = responses[status]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/ErrorEnvelope"}
    assert "HTTPValidationError" not in json.dumps(document)
    assert {"ErrorEnvelope", "ErrorInfo", "ErrorDetail"} <= document["components"]["schemas"].keys()


async def test_failure_can_be_returned_by_a_route() -> None:
    answer = failure(503, "spool_full", "Try later.", headers={"Retry-After": "5"})
    assert answer.headers["retry-after"] == "5"
    assert json.loads(bytes(answer.body))["error"]["code"] == "spool_full"
