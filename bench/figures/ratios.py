"""Saturation of one server as a ratio to that of another, round by round."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.figures.rows import Row
from bench.load.saturation import Limit, Saturation, Saturations

_WHY: Final[Mapping[Limit, str]] = {
    "generator": "wrk could not ask more",
    "neither": "its core was not its own, or waited",
    "unknown": "whether it was saturated is unknown",
}


def ratio_row(name: str, rounds: Sequence[Saturations], of: str, to: str, note: str = "") -> Row:
    """How much more one does on a core than another."""
    pairs = [(each[of], each[to]) for each in rounds]
    told = [_told(who, [each[who] for each in rounds]) for who in (of, to)]
    spent = [mine.cpu_us and its.cpu_us and its.cpu_us / mine.cpu_us for mine, its in pairs]
    by_cpu = [ratio for ratio in spent if ratio]
    told += [f"{median(by_cpu):.3g} × by CPU time"] if by_cpu else []
    detail = _detail(of, [mine for mine, _ in pairs]) | _detail(to, [its for _, its in pairs])
    told += [note] if note else []
    return Row(name, tuple(ratio(*pair) for pair in pairs), f"× {to}", "; ".join(told), detail)


def ratio(mine: Saturation, its: Saturation) -> float:
    """Of requests/s, when both had their core to themselves and full. Else of what they do with a second of CPU time.

    A server that could have done more, had wrk asked more or others left it its core, would make its rival look good.
    """
    if mine.cpu_us and its.cpu_us and {mine.limit, its.limit} != {"server"}:
        return its.cpu_us / mine.cpu_us
    return mine.requests_per_s / its.requests_per_s


def _told(who: str, found: Sequence[Saturation]) -> str:
    """Requests/s, what each costs, and what kept it from being more, unless that was the server."""
    text = f"{who} {median(each.requests_per_s for each in found):,.0f}/s"
    spent_us = [each.cpu_us for each in found if each.cpu_us is not None]
    if spent_us:
        text += f" at {median(spent_us):.1f} µs of CPU"
    why = sorted({_WHY[each.limit] for each in found if each.limit in _WHY})
    return text + (f" ({', '.join(why)})" if why else "")


def _detail(who: str, found: Sequence[Saturation]) -> dict[str, float]:
    figures = {
        "requests/s": [each.requests_per_s for each in found],
        "µs of CPU a request": [each.cpu_us for each in found if each.cpu_us is not None],
        "share of its core": [each.busy for each in found if each.busy is not None],
        "wrk's share of its core": [each.generator_busy for each in found],
    }
    return {f"{who}: {what}": median(each) for what, each in figures.items() if each}
