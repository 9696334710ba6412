from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, Field, WithJsonSchema

from admin.fields import Answer, Name, Payload, Sound, Unique
from admin.subjects import CustomerRef
from wire.subjects import ID_MAX_CHARACTERS

MAX_MEMBERS_AT_ONCE = 10_000

Description = Annotated[str, Field(max_length=2_000), Sound]
RuleJson = Annotated[
    Any,
    WithJsonSchema(
        {
            "type": ["object", "null"],
            "description": "all, any, not, a trait or an audience: see docs/rules.md; null: a static list of customers",
        }
    ),
]
UserId = Annotated[str, Field(min_length=1, max_length=ID_MAX_CHARACTERS), Sound]
UserIds = Annotated[list[UserId], Field(max_length=MAX_MEMBERS_AT_ONCE), Unique]

_EXAMPLE: dict[str, Any] = {
    "name": "Free plan, exports a lot",
    "rule": {
        "all": [
            {"trait": "plan", "op": "eq", "value": "free"},
            {"trait": "exports", "op": "gte", "value": 10},
        ]
    },
}


class NewAudience(Payload):
    """`rule` null or left out: a static audience, whose members are listed."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    description: Description = ""
    rule: RuleJson = None


class AudiencePatch(Payload):
    """A `rule` takes the place of the one before as a whole. A static audience stays one, as does a ruled one."""

    name: Name | None = None
    description: Description = ""
    rule: RuleJson = None


class Preview(Payload):
    model_config = ConfigDict(json_schema_extra={"examples": [{"rule": _EXAMPLE["rule"]}]})

    rule: RuleJson


class MembersChange(Payload):
    """User ids, at most 10,000 in all."""

    add: UserIds = Field(default_factory=list)
    remove: UserIds = Field(default_factory=list)


class Audience(Answer):
    id: UUID
    name: str
    description: str
    rule: dict[str, Any] | None
    created_at: str
    updated_at: str


class Use(Answer):
    id: UUID
    name: str


class Uses(Answer):
    """What names the audience; while anything does, it cannot be deleted."""

    messages: list[Use]
    audiences: list[Use]


class Count(Answer):
    """`count` is exact; `sample`: up to 10 of the members."""

    count: int
    sample: list[CustomerRef]


class AudienceDetails(Audience):
    member_count: int
    sample: list[CustomerRef]
    used_by: Uses


class MembersChanged(Answer):
    """`memberCount` once the change is in; null while it is only `accepted`."""

    accepted: bool = True
    member_count: int | None = None
