from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, WithJsonSchema

from admin.answers import Answer, example
from admin.fields import Name, Sound, Unique
from admin.payloads import Payload
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


_ANSWER: dict[str, Any] = {
    "id": "019b7f5e-0000-7000-8000-00000000000a",
    "description": "",
    "createdAt": "2026-12-01T09:00:00.000Z",
    "updatedAt": "2026-12-01T09:00:00.000Z",
    **_EXAMPLE,
}
_COUNT: dict[str, Any] = {"count": 2, "sample": [{"anonymousId": "1f6c9a3e"}, {"userId": "ada"}]}


class NewAudience(Payload):
    """`rule` null or left out: a static audience, whose members are listed."""

    model_config = example(**_EXAMPLE)

    name: Name
    description: Description = ""
    rule: RuleJson = None


class AudiencePatch(Payload):
    """A `rule` takes the place of the one before as a whole. A static audience stays one, as does a ruled one."""

    model_config = example(description="Who exports ten reports or more on the free plan")

    name: Name | None = None
    description: Description = ""
    rule: RuleJson = None


class Preview(Payload):
    model_config = example(rule=_EXAMPLE["rule"])

    rule: RuleJson


class MembersChange(Payload):
    """User ids, at most 10,000 in all."""

    model_config = example(add=["ada", "grace"], remove=["linus"])

    add: UserIds = Field(default_factory=list)
    remove: UserIds = Field(default_factory=list)


class Audience(Answer):
    model_config = example(**_ANSWER)

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

    model_config = example(**_COUNT)

    count: int
    sample: list[CustomerRef]


class AudienceDetails(Audience):
    model_config = example(
        **_ANSWER,
        memberCount=_COUNT["count"],
        sample=_COUNT["sample"],
        usedBy={
            "messages": [{"id": "019b7f5e-0000-7000-8000-000000000001", "name": "Upgrade nudge"}],
            "audiences": [],
        },
    )

    member_count: int
    sample: list[CustomerRef]
    used_by: Uses


class MembersChanged(Answer):
    """`memberCount` once the change is in; null while it is only `accepted`."""

    model_config = example(accepted=True, memberCount=3)

    accepted: bool = True
    member_count: int | None = None
