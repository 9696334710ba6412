"""How an API describes itself: the app that serves its OpenAPI document, and the failure envelope in that."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Lifespan

from service.docs import docs_routes

DISTRIBUTION = "sendora-inapp"

_UNUSED = ("HTTPValidationError", "ValidationError")
_INVALID = {
    "description": "The payload has errors",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorEnvelope"}}},
}
_FAILURE: dict[str, Any] = {
    "success": False,
    "error": {
        "code": "invalid_payload",
        "message": "The payload has errors; see details.",
        "requestId": "019b7f5e-0000-7000-8000-000000000009",
        "details": [{"pointer": "/content/body", "code": "missing_field", "message": "This is required."}],
    },
}


class ErrorDetail(BaseModel):
    """One problem of the payload."""

    pointer: str = Field(description="RFC 6901 pointer from the body's root; /query/… for a query parameter")
    code: str = Field(description="stable, for programs; docs/errors.md lists them")
    message: str = Field(description="for people: what to do")


class ErrorInfo(BaseModel):
    """What went wrong."""

    model_config = ConfigDict(populate_by_name=True)

    code: str = Field(description="stable, for programs")
    message: str = Field(description="for people")
    request_id: str = Field(alias="requestId")
    details: list[ErrorDetail]


class ErrorEnvelope(BaseModel):
    """Every failure of this API."""

    model_config = ConfigDict(json_schema_extra={"examples": [_FAILURE]})

    success: bool = Field(default=False, json_schema_extra={"const": False})
    error: ErrorInfo


def described_app(title: str, description: str, lifespan: Lifespan[FastAPI] | None = None) -> FastAPI:
    """An app of this distribution's version; its `/docs` loads nothing from elsewhere."""
    app = FastAPI(
        title=title,
        description=description,
        version=version(DISTRIBUTION),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(docs_routes(title))
    return app


def error_responses(statuses: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """For `responses=` of a route or router: status → description, each with the envelope as its schema."""
    return {status: {"model": ErrorEnvelope, "description": text} for status, text in statuses.items()}


def use_envelope_schema(app: FastAPI) -> None:
    """Every 422 of `app`'s document shows the envelope instead of FastAPI's own schema."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_envelope(original())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_envelope(document: dict[str, Any]) -> dict[str, Any]:
    for operations in document.get("paths", {}).values():
        for operation in operations.values():
            if _ref(operation.get("responses", {}).get("422", {})).endswith(f"/{_UNUSED[0]}"):
                operation["responses"]["422"] = _INVALID
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    own = ErrorEnvelope.model_json_schema(ref_template="#/components/schemas/{model}")
    for name, schema in {**own.pop("$defs"), "ErrorEnvelope": own}.items():
        schemas.setdefault(name, schema)
    return document


def _ref(response: dict[str, Any]) -> str:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", ""))
