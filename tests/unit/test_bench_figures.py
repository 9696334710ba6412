"""From what was measured to what is shown and judged."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4
from xml.etree import ElementTree

import pytest

from bench.figures.budgets import Budget, BudgetsError, complaints, read_budgets
from bench.figures.latencies import latency_ratio_row, latency_row
from bench.figures.plot import plot
from bench.figures.ratios import ratio_row
from bench.figures.results import Results, read_results
from bench.figures.rows import Row
from bench.figures.table import markdown, write_document
from bench.load.contest import in_turn
from bench.load.latency import Distribution, Latency, distribution
from bench.load.saturation import Saturation, SaturationError, read_output
from bench.servers.republish import edited
from tests.support.publishing import message
from wire.bundle import Bundle, Manifest, Version, sha_of

WRK = """Running 1s test @ http://127.0.0.1:1/
  1 threads and 64 connections
Requests/sec:  24365.81
bench requests=50000 us=2000000 connect=0 read=0 write=0 status=0 timeout=0
"""

FULL = Saturation(60_000, 16.0, 0.99, 0.5)
HALF = Saturation(30_000, 33.0, 0.99, 0.3)

ROWS = [
    Row("a × b & c", (1.0, 1.2, 0.9), "× nginx", "as <fast>", {"edge: requests/s": 60_000.0}),
    Row("slow", (3.0,), "ms"),
    Row("other", (7.0,), "MB"),
]
BUDGETS = {"a × b & c": Budget(at_least=1.0), "slow": Budget(at_most=1.0)}
MACHINE = {"commit": "abc", "cpu": "One", "cores": 2, "system": "Linux", "python": "3.11", "pinning": "two cores"}
RESULTS = Results("2026-03-15T12:00:00.000Z", 61, "full", MACHINE, ROWS, ["wrk is missing"], ["swaps: OSError: no"])


def test_the_output_of_wrk_is_read() -> None:
    assert read_output(WRK) == (50_000, 2.0)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param(WRK.replace("status=0", "status=3"), id="refused"),
        pytest.param(WRK.replace("read=0", "read=1"), id="cut off"),
        pytest.param(WRK.replace("timeout=0", "timeout=2"), id="not answered"),
        pytest.param(WRK.replace("requests=50000", "requests=0"), id="nothing"),
        pytest.param("PANIC: unprotected error in call to Lua API", id="no result"),
    ],
)
def test_anything_that_went_wrong_is_an_error(output: str) -> None:
    with pytest.raises(SaturationError):
        read_output(output)


def test_a_ratio_is_that_of_one_round() -> None:
    row = ratio_row("row", [{"edge": FULL, "nginx": HALF}, {"edge": HALF, "nginx": HALF}], "edge", "nginx")
    assert row.rounds == (2.0, 1.0)
    assert (row.value, row.spread) == (1.5, (1.0, 2.0))
    assert row.unit == "× nginx"
    assert row.detail["nginx: requests/s"] == 30_000


def test_a_rival_that_could_have_done_more_is_compared_by_cpu_time() -> None:
    waited_for = Saturation(30_000, 8.0, 0.24, 1.0)
    row = ratio_row("row", [{"edge": FULL, "nginx": waited_for}], "edge", "nginx")
    assert row.value == 0.5
    assert "wrk could not ask more" in row.note


def test_without_cpu_times_requests_are_compared() -> None:
    blind = Saturation(30_000, None, None, 0.5)
    assert ratio_row("row", [{"edge": blind, "nginx": blind}], "edge", "nginx").value == 1.0


@pytest.mark.parametrize(
    ("found", "limit"),
    [(FULL, "server"), (Saturation(1, 1.0, 0.7, 0.97), "generator"), (Saturation(1, 1.0, 0.7, 0.7), "neither")],
)
def test_what_limited_a_saturation_is_known(found: Saturation, limit: str) -> None:
    assert found.limit == limit


def test_every_other_round_goes_the_other_way_round() -> None:
    assert [in_turn("abc", number) for number in range(3)] == ["abc", "cba", "abc"]


def test_percentiles_come_out_of_a_histogram() -> None:
    found = distribution(range(1_000_000, 1_001_000_000, 1_000_000))
    assert found.p50 == pytest.approx(500, rel=0.002)
    assert found.p99 == pytest.approx(990, rel=0.002)
    assert found.p999 == pytest.approx(999, rel=0.002)
    assert found.longest == pytest.approx(1_000, rel=0.002)


def test_latencies_stand_beside_those_of_whoever_took_the_same_rate() -> None:
    quick, slow, late = (Distribution(p50, 10 * p50, 20 * p50, 30 * p50) for p50 in (0.1, 0.2, 0.05))
    rounds = [{"edge": Latency(100, quick, late), "nginx": Latency(100, slow, late)}] * 2
    row = latency_row("at half", "p99", rounds)
    assert (row.name, row.value, row.unit) == ("at half, p99", 1.0, "ms")
    assert "nginx 2 ms" in row.note
    assert "late by 0.5 ms" in row.note
    assert latency_ratio_row("ratio", "p99.9", rounds, "nginx", "edge").rounds == (2.0, 2.0)


@pytest.mark.parametrize(
    ("budget", "value", "kept"),
    [
        (Budget(at_least=1.0), 1.0, True),
        (Budget(at_least=1.0), 0.99, False),
        (Budget(at_most=2.0), 2.0, True),
        (Budget(at_most=2.0), 2.01, False),
    ],
)
def test_a_budget_is_kept_up_to_itself(budget: Budget, value: float, kept: bool) -> None:
    assert budget.keeps(value) is kept
    assert (budget.margin(value) >= 1) is kept


def test_what_is_past_its_budget_or_was_not_measured_is_complained_about() -> None:
    budgets = {**BUDGETS, "forgotten": Budget(at_most=1.0), "left out": Budget(at_most=1.0, apart=True)}
    assert complaints(ROWS, budgets) == ["slow: 3 ms, budget ≤ 1", "forgotten: was not measured"]


def test_budgets_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "budgets.toml").write_text('["a × b"]\nat_least = 2\n')
    assert read_budgets(tmp_path / "budgets.toml") == {"a × b": Budget(at_least=2.0)}


@pytest.mark.parametrize("fields", ["at_leest = 1", "at_least = 1\nat_most = 2", ""])
def test_a_budget_that_cannot_be_checked_is_refused(tmp_path: Path, fields: str) -> None:
    (tmp_path / "budgets.toml").write_text(f"[row]\n{fields}\n")
    with pytest.raises(BudgetsError):
        read_budgets(tmp_path / "budgets.toml")


def test_results_outlive_their_file(tmp_path: Path) -> None:
    RESULTS.write(tmp_path / "new" / "found.json")
    assert read_results(tmp_path / "new" / "found.json") == RESULTS


def test_the_plot_has_every_row_with_a_budget() -> None:
    drawn = ElementTree.fromstring(plot(ROWS, BUDGETS))
    texts = ["".join(each.itertext()) for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "a × b & c" in texts
    assert "slow" in texts
    assert "other" not in texts


def test_a_plot_of_nothing_is_well_formed() -> None:
    ElementTree.fromstring(plot([], {}))


def test_the_document_gets_the_figures_and_keeps_the_rest(tmp_path: Path) -> None:
    document = tmp_path / "performance.md"
    document.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    write_document(RESULTS, BUDGETS, document)
    write_document(RESULTS, BUDGETS, document)
    text = document.read_text()
    assert text.startswith("before\n<!-- figures -->\n")
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert text.count("| a × b & c | 1 × nginx | 0.9 – 1.2 | ≥ 1 | ✓ |") == 1
    assert "| slow | 3 ms |  | ≤ 1 | ✗ |" in text
    assert "old" not in text


def test_the_document_says_what_is_missing() -> None:
    text = markdown(RESULTS, BUDGETS)
    assert "- wrk is missing" in text
    assert "- swaps: OSError: no" in text


def test_an_edit_makes_one_other_bundle() -> None:
    bundles = [Bundle(id_, None, (message(version=3), message())) for id_ in (str(uuid4()), str(uuid4()))]
    encoded = {sha_of(bundle.encode()): bundle.encode() for bundle in bundles}
    shas = dict(zip([bundle.audience_id for bundle in bundles], encoded, strict=True))
    manifest = Manifest(Version(1, 2, 3), 4, shas, frozenset())
    first, other = bundles
    after, encoded_after = edited(manifest, encoded, first.audience_id)
    assert after.version == Version(1, 2, 4)
    assert after.bundles[other.audience_id] == shas[other.audience_id]
    assert set(after.bundles.values()) == set(encoded_after)
    changed = Bundle.decode_named(after.bundles[first.audience_id], encoded_after[after.bundles[first.audience_id]])
    assert [each.version for each in changed.messages] == [4, 1]
    assert changed.messages[1] == replace(first, messages=first.messages[1:]).messages[0]
