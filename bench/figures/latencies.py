"""How long answers took, as rows."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.figures.rows import Row
from bench.load.latency import PERCENTILES, Latency

_NOTICEABLE: Final = 0.2
"""What part of a percentile may be the generator's own lateness without a word about it."""


def latency_row(name: str, percentile: str, rounds: Sequence[Mapping[str, Latency]]) -> Row:
    """Of the edge, in ms; beside it those who could take the same rate in every round."""
    place = PERCENTILES[percentile]
    everywhere = [who for who in rounds[0] if all(who in each for each in rounds)]
    figures = {who: median(each[who].took[place] for each in rounds) for who in everywhere}
    rate = median(each["edge"].rate_per_s for each in rounds)
    late = median(each["edge"].late[place] for each in rounds)
    beside = "".join(f"; {who} {figure:.3g} ms" for who, figure in figures.items() if who != "edge")
    blame = f"; the generator itself was late by {late:.3g} ms" if late > _NOTICEABLE * figures["edge"] else ""
    detail = {"requests/s": rate, "generator late, ms": late} | {f"{who}, ms": ms for who, ms in figures.items()}
    took_ms = tuple(each["edge"].took[place] for each in rounds)
    return Row(f"{name}, {percentile}", took_ms, "ms", f"at {rate:,.0f}/s{beside}{blame}", detail)


def latency_ratio_row(name: str, percentile: str, rounds: Sequence[Mapping[str, Latency]], of: str, to: str) -> Row:
    """One percentile under two conditions, round by round. `name` says which."""
    place = PERCENTILES[percentile]
    ratios = tuple(each[of].took[place] / each[to].took[place] for each in rounds)
    mine, its = (median(each[who].took[place] for each in rounds) for who in (of, to))
    late = max(median(each[who].late[place] for each in rounds) for who in (of, to))
    rate = median(each[of].rate_per_s for each in rounds)
    note = f"{of} {mine:.3g} ms, {to} {its:.3g} ms, at {rate:,.0f}/s; the generator itself was late by {late:.3g} ms"
    detail = {"requests/s": rate, f"{of}, ms": mine, f"{to}, ms": its, "generator late, ms": late}
    return Row(name, ratios, f"× {to}", note, detail)
