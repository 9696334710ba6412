"""Which customers of a file are taken, as which events, and what a dry run says about them."""

import re
from pathlib import Path
from typing import Any

import pytest

from inapp.imports.event_ids import ids_of
from inapp.imports.reading.check import Customer, Rejected, check
from inapp.imports.reading.columns import Column
from inapp.imports.reading.records import Record
from inapp.imports.run import CHUNK_BYTES, CHUNK_RECORDS, chunks
from inapp.imports.tally import MOST_TRAITS, Tally
from tests.support.error_codes import ROOT
from wire.problems import Problem


def record(item: Any = None, *, line: int = 7, data: bytes = b"raw", problem: Problem | None = None) -> Record:
    return Record(line, line + 1, 100, data, item, problem)


def test_a_good_line_is_a_customer_with_its_traits_as_json() -> None:
    found = check(record({"userId": "ada", "traits": {"plan": "pro", "seats": 3}}))
    assert found == Customer(7, "ada", {"plan": "pro", "seats": 3}, b'{"plan":"pro","seats":3}')
    assert check(record({"userId": "ada"})) == Customer(7, "ada", {}, b"{}")


@pytest.mark.parametrize(
    ("item", "pointer", "code"),
    [
        (5, "", "wrong_type"),
        ({"traits": {}}, "/userId", "missing_field"),
        ({"userId": ""}, "/userId", "too_short"),
        ({"userId": "a", "admin": 1}, "/admin", "unknown_field"),
        ({"userId": "a", "traits": {"x": 2**53 + 1}}, "/traits/x", "integer_out_of_range"),
        ({"userId": "a", "traits": {"x": "y" * 33_000}}, "/traits", "too_large"),
    ],
)
def test_a_bad_line_keeps_its_place_its_text_and_the_reason(item: Any, pointer: str, code: str) -> None:
    found = check(record(item))
    assert isinstance(found, Rejected)
    assert (found.line, found.data, found.problem.pointer, found.problem.code) == (7, b"raw", pointer, code)


def test_ids_rise_with_the_lines_and_are_the_imports_own() -> None:
    id_of = ids_of(b"digest", 1)
    ids = [id_of(line) for line in (1, 2, 255, 256, 65_536, 10**9, 2**40)]
    assert [each.hex for each in ids] == sorted(each.hex for each in ids)
    assert ids == [ids_of(b"digest", 1)(line) for line in (1, 2, 255, 256, 65_536, 10**9, 2**40)]
    assert {each.version for each in ids} == {8}
    others = {ids_of(b"digest", 2)(1), ids_of(b"other", 1)(1), ids[0]}
    assert len(others) == 3


def test_a_chunk_has_bounded_records_and_bytes_and_none_is_lost() -> None:
    small = [record(line=n, data=b"x") for n in range(CHUNK_RECORDS * 2 + 1)]
    made = list(chunks(small))
    assert [len(chunk) for chunk in made] == [CHUNK_RECORDS, CHUNK_RECORDS, 1]
    assert [each for chunk in made for each in chunk] == small
    big = [record(data=b"x" * (CHUNK_BYTES // 2 + 1)), record(data=b"x" * (CHUNK_BYTES * 2)), record(data=b"y")]
    assert [len(chunk) for chunk in chunks(big)] == [1, 1, 1]
    halves = [record(data=b"x" * (CHUNK_BYTES // 2))] * 3
    assert [len(chunk) for chunk in chunks(halves)] == [2, 1]


def test_a_dry_run_counts_lines_codes_and_types() -> None:
    tally = Tally()
    values: list[Any] = ["x", 1, 2.5, True, None, [1], {"a": 1}]
    for value in values:
        tally.add(check(record({"userId": "a", "traits": {"t": value}})))
    for line in (3, 4):
        tally.add(check(record({}, line=line)))
    assert tally.good == 7
    assert tally.bad == {"missing_field": 2}
    assert tally.first["missing_field"].line == 3
    assert tally.traits["t"] == {"text": 1, "number": 2, "boolean": 1, "null": 1, "list": 1, "object": 1}


def test_a_dry_run_names_text_columns_that_are_all_of_another_type() -> None:
    tally = Tally()
    for seats, beta, mixed, typed in (("1", "TRUE", "1", 1), ("-2.5", "false", "x", 2)):
        traits = {"seats": seats, "beta": beta, "mixed": mixed, "typed": typed, "zip": "007"}
        tally.add(check(record({"userId": "1", "traits": traits})))
    names = ("userId", "seats", "beta", "mixed", "zip", "never")
    columns = [*(Column(name, "text") for name in names), Column("typed", "number")]
    advice = list(tally.advice(columns))
    assert len(advice) == 2
    assert "seats:number" in advice[0]
    assert "beta:boolean" in advice[1]


def test_a_dry_run_of_endless_trait_names_stays_small() -> None:
    tally = Tally()
    for n in range(MOST_TRAITS + 1):
        tally.add(check(record({"userId": "a", "traits": {f"t{n}": "x"}})))
    assert len(tally.traits) == len(tally.looks) == MOST_TRAITS
    assert tally.more_traits


def test_the_docs_list_every_code_that_an_import_has_of_its_own() -> None:
    text = (ROOT / "docs" / "import.md").read_text().split("## Bad lines")[1]
    listed = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    sources = "".join(path.read_text() for path in Path(ROOT / "inapp" / "imports").rglob("*.py"))
    ours = set(re.findall(r'(?:Flaw\(|Problem\("", )"(\w+)"', sources))
    assert len(ours) >= 7
    assert listed == sorted(ours)
