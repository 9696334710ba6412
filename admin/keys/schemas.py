from typing import Literal
from uuid import UUID

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from admin.fields import Answer, Name, Payload
from wire.apikeys import Env, Kind

Role = Literal["admin", "editor", "viewer"]


class NewKey(Payload):
    """`role` is for secret keys, which need one."""

    kind: Kind
    env: Env = "prod"
    role: Role | None = None
    name: Name

    @model_validator(mode="after")
    def _role_for_secret_keys(self) -> "NewKey":
        if self.kind == "sk" and self.role is None:
            raise PydanticCustomError("role_missing", "a secret key needs a role: admin, editor or viewer")
        if self.kind == "pk" and self.role is not None:
            raise PydanticCustomError("role_not_allowed", "a public key has no role")
        return self


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
