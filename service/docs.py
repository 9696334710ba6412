"""`/docs`: Swagger UI, whose files come from an installed package and are served from here, so it works offline."""

from collections.abc import Awaitable, Callable
from importlib import resources

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import Response

_PACKAGE = "fastapi_swagger.resources"
_SCRIPT = "swagger-ui-bundle.js"
_STYLE = "swagger-ui.css"
_ICON = "favicon-32x32.png"
_MEDIA_TYPES = {_SCRIPT: "text/javascript", _STYLE: "text/css", _ICON: "image/png"}
_HEADERS = {"Cache-Control": "public, max-age=86400"}


def docs_routes(title: str) -> APIRouter:
    """The page and its files. Its addresses are relative, so that it also works behind a proxy that adds a prefix."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url=f"docs/{_SCRIPT}",
            swagger_css_url=f"docs/{_STYLE}",
            swagger_favicon_url=f"docs/{_ICON}",
            swagger_ui_parameters={"persistAuthorization": True, "validatorUrl": None},
        )

    for name, media_type in _MEDIA_TYPES.items():
        router.add_api_route(f"/docs/{name}", _file(name, media_type))
    return router


def _file(name: str, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        content = resources.files(_PACKAGE).joinpath(name).read_bytes()
        return Response(content, media_type=media_type, headers=_HEADERS)

    return file
