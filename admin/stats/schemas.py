from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from admin.fields import Answer, Moment

Interval = Literal["hour", "day"]


class StatsQuery(BaseModel):
    """From `from` (by default 30 days before `to`) to before `to` (by default now), widened to whole intervals, UTC."""

    model_config = ConfigDict(extra="forbid")

    starts_ms: Annotated[Moment | None, Field(alias="from")] = None
    ends_ms: Annotated[Moment | None, Field(alias="to")] = None
    interval: Interval = "day"


class Totals(Answer):
    """`uniqueImpressions`: people; `ctr`: clicks by impressions, 0 without any."""

    impressions: int
    clicks: int
    dismissals: int
    unique_impressions: int
    ctr: float


class OrgStats(Totals):
    """`total`: messages that are not archived; `active`: messages that are live now."""

    total: int
    active: int


class Point(Answer):
    """What was counted from `at` on, for one interval."""

    at: str
    impressions: int
    clicks: int
    dismissals: int


class MessageStats(Totals):
    """The totals are of all time; `series` has every interval of the range, empty ones too."""

    message_id: UUID
    interval: Interval
    series: list[Point]
