from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from admin.answers import Answer, example
from admin.fields import Moment

Interval = Literal["hour", "day"]


class OrgStatsQuery(BaseModel):
    """Takes nothing: these are totals of all time."""

    model_config = ConfigDict(extra="forbid")


class StatsQuery(BaseModel):
    """From `from` (by default 30 days before `to`) to before `to` (by default now), widened to whole intervals, UTC."""

    model_config = ConfigDict(extra="forbid")

    starts_ms: Annotated[Moment | None, Field(alias="from")] = None
    ends_ms: Annotated[Moment | None, Field(alias="to")] = None
    interval: Interval = "day"


_TOTALS: dict[str, Any] = {
    "impressions": 1200,
    "clicks": 180,
    "dismissals": 400,
    "uniqueImpressions": 800,
    "ctr": 0.15,
    "conversions": 60,
    "conversionRate": 0.075,
}


class Totals(Answer):
    """`uniqueImpressions`: people; `ctr`: clicks by impressions, 0 without any.

    `conversions`: people who reached the message's goal, each once a message, in the hour of the event that the goal
    names. `conversionRate`: the share of the people who saw the message that have reached its goal, 0 without any; of
    several messages together, of the pairs of a person and a message that they saw. An erased customer is taken out of
    the rate and of `uniqueImpressions`, while the other counts stay.
    """

    impressions: int
    clicks: int
    dismissals: int
    unique_impressions: int
    ctr: float
    conversions: int
    conversion_rate: float


class OrgStats(Totals):
    """`total`: messages that are not archived; `active`: messages that are live now."""

    model_config = example(**_TOTALS, total=12, active=5)

    total: int
    active: int


class Point(Answer):
    """What was counted from `at` on, for one interval."""

    at: str
    impressions: int
    clicks: int
    dismissals: int
    conversions: int


class MessageStats(Totals):
    """The totals are of all time; `series` has every interval of the range, empty ones too."""

    model_config = example(
        **_TOTALS,
        messageId="019b7f5e-0000-7000-8000-000000000001",
        interval="day",
        series=[
            {"at": "2026-12-01T00:00:00.000Z", "impressions": 120, "clicks": 18, "dismissals": 40, "conversions": 6}
        ],
    )

    message_id: UUID
    interval: Interval
    series: list[Point]
