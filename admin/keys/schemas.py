from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import ValidationInfo

from admin.answers import Answer, example
from admin.fields import Name
from admin.payloads import Payload
from wire.apikeys import Env, Kind

Role = Literal["admin", "editor", "viewer"]


_KEY: dict[str, Any] = {
    "id": "019b7f5e-0000-7000-8000-000000000011",
    "kind": "sk",
    "env": "prod",
    "role": "editor",
    "name": "Marketing",
    "hint": "x7Qp",
    "createdAt": "2026-12-01T09:00:00.000Z",
    "revokedAt": None,
}


class NewKey(Payload):
    """`role` is for secret keys, which need one."""

    model_config = example(kind="sk", env="prod", role="editor", name="Marketing")

    kind: Kind
    env: Env = "prod"
    role: Annotated[Role | None, Field(validate_default=True)] = None
    name: Name

    @field_validator("role")
    @classmethod
    def _for_secret_keys(cls, role: Role | None, info: ValidationInfo) -> Role | None:
        if info.data.get("kind") == "sk" and role is None:
            raise PydanticCustomError("role_missing", "Give a secret key a role: admin, editor or viewer.")
        if info.data.get("kind") == "pk" and role is not None:
            raise PydanticCustomError("role_not_allowed", "Leave it out: a public key has no role.")
        return role


class Key(Answer):
    """`hint`: the last 4 characters of the key."""

    model_config = example(**_KEY)

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

    model_config = example(**_KEY, key="sk_prod_…x7Qp")

    key: str
