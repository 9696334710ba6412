"""Figures as people read them."""

from bench.figures.rows import Row


def figure(value: float) -> str:
    """Three digits, or all of them before the point."""
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def spread(row: Row) -> str:
    """Empty where there is one round."""
    least, most = row.spread
    return f"{figure(least)} – {figure(most)}" if len(row.rounds) > 1 else ""
