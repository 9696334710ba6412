"""Frequency caps, to the millisecond."""

import pytest

from engine.caps import CAP_REACHED, STOPPED_BY_CLICK, STOPPED_BY_DISMISSAL, TOO_SOON, Withheld, withheld
from wire.bundle import FrequencyCap
from wire.userstate import Seen

NOW_MS = 10_000_000


def seen(*recent_ms: int, **counts: int) -> Seen:
    return Seen(impressions=counts.pop("impressions", len(recent_ms)), recent_ms=recent_ms, **counts)


@pytest.mark.parametrize(
    ("cap", "what", "expected"),
    [
        (FrequencyCap(None, None, None, ()), seen(NOW_MS, clicks=1), None),
        (FrequencyCap(2, None, None, ()), seen(1), None),
        (FrequencyCap(2, None, None, ()), seen(2, 1), Withheld(CAP_REACHED, None)),
        (FrequencyCap(2, 10, None, ()), seen(NOW_MS - 1, NOW_MS - 10_000), Withheld(CAP_REACHED, NOW_MS + 1)),
        (FrequencyCap(2, 10, None, ()), seen(NOW_MS - 1, NOW_MS - 10_001), None),
        (FrequencyCap(1, 10, None, ()), seen(NOW_MS, 1, impressions=500), Withheld(CAP_REACHED, NOW_MS + 10_001)),
        (FrequencyCap(None, None, 60, ()), seen(NOW_MS - 59_999), Withheld(TOO_SOON, NOW_MS + 1)),
        (FrequencyCap(None, None, 60, ()), seen(NOW_MS - 60_000), None),
        (FrequencyCap(None, None, None, ("click",)), seen(clicks=1), Withheld(STOPPED_BY_CLICK, None)),
        (FrequencyCap(None, None, None, ("click",)), seen(dismissals=1), None),
        (
            FrequencyCap(None, None, None, ("click", "dismiss")),
            seen(dismissals=1),
            Withheld(STOPPED_BY_DISMISSAL, None),
        ),
    ],
)
def test_a_cap_holds_back_until_its_moment(cap: FrequencyCap, what: Seen, expected: Withheld | None) -> None:
    assert withheld(cap, what, NOW_MS) == expected


def test_the_moment_that_is_named_is_the_first_at_which_it_is_free_again() -> None:
    cap, what = FrequencyCap(2, 10, None, ()), seen(NOW_MS - 1, NOW_MS - 9_000)
    held = withheld(cap, what, NOW_MS)
    assert held is not None
    assert held.until_ms is not None
    assert withheld(cap, what, held.until_ms - 1) is not None
    assert withheld(cap, what, held.until_ms) is None
