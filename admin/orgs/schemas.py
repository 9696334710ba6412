from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from admin.fields import Answer, Name, Payload, Unique

Plan = Literal["free", "starter", "pro"]

_NEVER_SCHEMES = frozenset(
    {"about", "blob", "data", "file", "filesystem", "http", "https", "javascript", "vbscript", "view-source"}
)


def _harmless(scheme: str) -> str:
    if scheme in _NEVER_SCHEMES:
        raise PydanticCustomError("scheme_not_allowed", "is not a scheme of an app")
    return scheme


AppScheme = Annotated[str, Field(pattern=r"^[a-z][a-z0-9+.-]{1,31}$"), AfterValidator(_harmless)]


class NewOrg(Payload):
    name: Name
    plan: Plan


class OrgPatch(Payload):
    """What may be changed of an org. Its plan is set by the operator: `inapp org plan`."""

    name: Name | None = None
    app_schemes: Annotated[list[AppScheme], Field(max_length=20), Unique] | None = None
    require_identity_token: bool | None = None


class Org(Answer):
    id: UUID
    name: str
    plan: Plan
    app_schemes: list[str]
    require_identity_token: bool
    has_identity_secret: bool


class IdentitySecret(Answer):
    """Shown this once: HMAC-SHA256 key of the users' identity tokens."""

    identity_secret: str
