"""Frequency caps: whether one more impression is allowed, and from when."""

from typing import NamedTuple

from wire.bundle import FrequencyCap
from wire.userstate import Seen

STOPPED_BY_CLICK = "stopped_by_click"
STOPPED_BY_DISMISSAL = "stopped_by_dismissal"
CAP_REACHED = "cap_reached"
TOO_SOON = "too_soon"


class Withheld(NamedTuple):
    """`until_ms`: the first moment at which the reason no longer holds; None: never by itself."""

    reason: str
    until_ms: int | None


def withheld(cap: FrequencyCap, seen: Seen, now_ms: int) -> Withheld | None:
    if "click" in cap.stop_after and seen.clicks:
        return Withheld(STOPPED_BY_CLICK, None)
    if "dismiss" in cap.stop_after and seen.dismissals:
        return Withheld(STOPPED_BY_DISMISSAL, None)
    return _reached(cap, seen, now_ms) or _too_soon(cap, seen, now_ms)


def _reached(cap: FrequencyCap, seen: Seen, now_ms: int) -> Withheld | None:
    most = cap.max_impressions
    if most is None or seen.impressions < most:
        return None
    if cap.per_s is None:
        return Withheld(CAP_REACHED, None)
    if len(seen.recent_ms) < most:
        return None
    free_ms = seen.recent_ms[most - 1] + cap.per_s * 1000 + 1
    return Withheld(CAP_REACHED, free_ms) if now_ms < free_ms else None


def _too_soon(cap: FrequencyCap, seen: Seen, now_ms: int) -> Withheld | None:
    if cap.min_interval_s is None or not seen.recent_ms:
        return None
    free_ms = seen.recent_ms[0] + cap.min_interval_s * 1000
    return Withheld(TOO_SOON, free_ms) if now_ms < free_ms else None
