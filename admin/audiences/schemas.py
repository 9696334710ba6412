from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field, WithJsonSchema

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
            "description": "all, any, not, or a condition on a trait, on how often an event happened, or on being in"
            " another audience: see docs/rules.md; null: a static list of customers",
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
            {"event": "report.exported", "count": {"op": "gte", "value": 10}, "within": "14d"},
        ]
    },
}


_ANSWER: dict[str, Any] = {
    "id": "019b7f5e-0000-7000-8000-00000000000a",
    "description": "",
    "status": "preparing",
    "progress": 40,
    "problems": [],
    "createdAt": "2026-12-01T09:00:00.000Z",
    "updatedAt": "2026-12-01T09:00:00.000Z",
    **_EXAMPLE,
}
_COUNT: dict[str, Any] = {
    "count": 2,
    "exact": True,
    "sampled": None,
    "sample": [{"anonymousId": "1f6c9a3e"}, {"userId": "ada"}],
}


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


class AudienceProblem(BaseModel):
    pointer: str
    code: str
    message: str


class Audience(Answer):
    """`status` preparing: past events that its rule asks about are still being gathered, `progress` percent of them
    are; until then no message that needs it is shown. `problems`: why the stored rule cannot be used."""

    model_config = example(**_ANSWER)

    id: UUID
    name: str
    description: str
    rule: RuleJson
    status: Literal["ready", "preparing"]
    progress: Annotated[int, Field(ge=0, le=100)]
    problems: list[AudienceProblem]
    created_at: str
    updated_at: str


class Use(Answer):
    id: UUID
    name: str


class MessageUse(Use):
    """An archived message does not change any more: only deleting it lets go of the audience."""

    archived: bool


class Uses(Answer):
    """What names the audience; while anything does, it cannot be deleted."""

    messages: list[MessageUse]
    audiences: list[Use]


class Count(Answer):
    """`sample`: up to 10 of the members, none where finding them takes too long.

    `exact` false: counting took too long, and `count` is an estimate from `sampled` customers picked at random.
    """

    model_config = example(**_COUNT)

    count: int
    exact: bool
    sampled: int | None
    sample: list[CustomerRef]


class AudienceDetails(Audience):
    """`memberCount`, `exact`, `sampled`, `sample`: as a preview gives them; `memberCount` null: `problems` say why."""

    model_config = example(
        **_ANSWER,
        memberCount=1_204_000,
        exact=False,
        sampled=25_000,
        sample=_COUNT["sample"],
        usedBy={
            "messages": [{"id": "019b7f5e-0000-7000-8000-000000000001", "name": "Upgrade nudge", "archived": False}],
            "audiences": [],
        },
    )

    member_count: int | None
    exact: bool
    sampled: int | None
    sample: list[CustomerRef]
    used_by: Uses


class ConditionHeld(Answer):
    """`pointer`: the place of the `condition` in the rule; `decides`: it is one of those that alone make the answer."""

    pointer: str
    condition: dict[str, Any]
    holds: bool
    decides: bool


class MembershipAnswer(Answer):
    """`conditions`: every one of the rule, from left to right; none where a list says who is in."""

    model_config = example(
        member=False,
        conditions=[
            {
                "pointer": "/all/0",
                "condition": {"trait": "plan", "op": "eq", "value": "free"},
                "holds": True,
                "decides": False,
            },
            {
                "pointer": "/all/1",
                "condition": {
                    "event": "report.exported",
                    "count": {"op": "gte", "value": 10},
                    "within": "14d",
                },
                "holds": False,
                "decides": True,
            },
        ],
    )

    member: bool
    conditions: list[ConditionHeld]


class MembersChanged(Answer):
    """`memberCount` once the change is in; null while it is only `accepted`."""

    model_config = example(accepted=True, memberCount=3)

    accepted: bool = True
    member_count: int | None = None
