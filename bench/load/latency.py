"""How long answers took, as percentiles out of an HdrHistogram."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from hdrh.histogram import HdrHistogram

_MOST_US: Final = 60_000_000
_DIGITS: Final = 3


class Distribution(NamedTuple):
    """Milliseconds."""

    p50: float
    p99: float
    p999: float
    longest: float


class Latency(NamedTuple):
    """At `rate_per_s`. `late`: by how much the generator itself sent late, which is part of `took`."""

    rate_per_s: float
    took: Distribution
    late: Distribution


PERCENTILES: Final = {"p50": 0, "p99": 1, "p99.9": 2}
"""Their places in a Distribution."""


def distribution(found_ns: Iterable[int]) -> Distribution:
    histogram = HdrHistogram(1, _MOST_US, _DIGITS)
    for took_ns in found_ns:
        histogram.record_value(max(took_ns // 1_000, 1))
    p50, p99, p999 = (histogram.get_value_at_percentile(percentile) / 1_000 for percentile in (50, 99, 99.9))
    return Distribution(p50, p99, p999, histogram.get_max_value() / 1_000)
