from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from admin.fields import Answer, Name, Payload
from wire.apikeys import Env, Kind

Role = Literal["admin", "editor", "viewer"]


class NewKey(Payload):
    """`role` is for secret keys, which need one."""

    kind: Kind
    env: Env = "prod"
    role: Annotated[Role | None, Field(validate_default=True)] = None
    name: Name

    @field_validator("role")
    @classmethod
    def _for_secret_keys(cls, role: Role | None, info: ValidationInfo) -> Role | None:
        if info.data.get("kind") == "sk" and role is None:
            raise PydanticCustomError("role_missing", "a secret key needs a role: admin, editor or viewer")
        if info.data.get("kind") == "pk" and role is not None:
            raise PydanticCustomError("role_not_allowed", "a public key has no role")
        return role


class Key(Answer):
    """`hint`: the last 4 characters of the key."""

    id: UUID
    kind: Kind
    env: Env
    role: Role | None
    name: str
    hint: str
    created_at: str
    revoked_at: str | None


class CreatedKey(Key):
    """`key` is the text, shown this once."""

    key: str
