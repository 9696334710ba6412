import re
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from admin.answers import Answer, example
from admin.fields import Name, Unique
from admin.payloads import Payload
from service.payload import refusing
from wire.plain import Flaw

Plan = Literal["free", "starter", "pro"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]{1,31}")
_NEVER_SCHEMES = frozenset({
    "about", "blob", "chrome", "content", "data", "feed", "file", "filesystem", "ftp", "http", "https", "intent",
    "jar", "javascript", "mailto", "ms-msdt", "resource", "search-ms", "smb", "sms", "tel", "vbscript",
    "view-source", "ws", "wss",
})  # fmt: skip
"""Those of browsers, systems and other people's programs: a link with one could reach anything on a device."""

_NOT_AN_APPS = "Give a scheme that your own app registers, such as acme for links like acme://offers."


def _scheme_flaw(scheme: str) -> Flaw | None:
    if not _SCHEME.fullmatch(scheme):
        return Flaw(
            "invalid_scheme", "A scheme is 2 to 32 lowercase letters, digits and + . - and begins with a letter."
        )
    if scheme in _NEVER_SCHEMES:
        return Flaw("scheme_not_allowed", _NOT_AN_APPS)
    return None


AppScheme = Annotated[str, refusing(_scheme_flaw)]


class NewOrg(Payload):
    name: Name
    plan: Plan


class OrgPatch(Payload):
    """What may be changed of an org. Its plan is set by the operator: `inapp org plan`."""

    model_config = example(name="Acme Reports", appSchemes=["acme"], requireIdentityToken=False)

    name: Name | None = None
    app_schemes: Annotated[list[AppScheme], Field(max_length=20), Unique] | None = None
    require_identity_token: bool | None = None


class Org(Answer):
    model_config = example(
        id="019b7f5e-0000-7000-8000-000000000031",
        name="Acme Reports",
        plan="starter",
        appSchemes=["acme"],
        requireIdentityToken=False,
        hasIdentitySecret=True,
    )

    id: UUID
    name: str
    plan: Plan
    app_schemes: list[str]
    require_identity_token: bool
    has_identity_secret: bool


class IdentitySecret(Answer):
    """Shown this once: HMAC-SHA256 key of the users' identity tokens."""

    model_config = example(identitySecret="9b74c9897bac…")

    identity_secret: str
