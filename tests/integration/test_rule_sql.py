import json
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, get_args
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from engine.clauses import compile_clause
from store.rule_sql import rule_condition
from store.tables import customers
from tests.support.rule_cases import AUDIENCE_IDS, NOW_MS, STATIC_ID, UNDER_TEST, Happening, Somebody, load_groups
from tests.support.stored_people import ORG_ID, OTHER_ORG_ID, StoredPeople, stored_people
from wire.rule_tree import AllOf, Compare, CountOp, EventCount, InAudience, Not, Rule


@pytest.fixture
def stored(database_url: str) -> Iterator[StoredPeople]:
    with stored_people(database_url) as people:
        yield people


def answer_of_traits(stored: StoredPeople, rule: Rule, *documents: str) -> list[bool | None]:
    stored.replace_traits(documents)
    return stored.answer(rule, NOW_MS)


def test_a_condition_holds_for_exactly_the_customers_that_the_vectors_name(stored: StoredPeople) -> None:
    wrong = []
    for group in load_groups():
        everyone = (*group.holds, *group.fails)
        stored.replace(everyone, group.static)
        answers = stored.answers({UNDER_TEST: group.rule}, group.rules, group.now_ms)
        for place, (somebody, answer) in enumerate(zip(everyone, answers, strict=True)):
            if answer[UNDER_TEST] is not (place < len(group.holds)):
                wrong.append((group.name, somebody, answer[UNDER_TEST]))
    assert wrong == []


NUMBER_BEYOND_DOUBLES = ['{"x": 1e400}', '{"x": -1e400}', '{"x": ' + "9" * 400 + "}"]


@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte", "eq"])
def test_a_number_beyond_all_doubles_is_no_number_and_no_error(stored: StoredPeople, op: Any) -> None:
    assert answer_of_traits(stored, Compare("x", op, 1), *NUMBER_BEYOND_DOUBLES) == [False] * 3


def test_a_number_too_small_for_a_double_is_zero_and_no_error(stored: StoredPeople) -> None:
    documents = ['{"x": 1e-400}', '{"x": -1e-4000}', '{"x": 2.4703282292062327e-324}', '{"x": 2.4703282292062328e-324}']
    assert answer_of_traits(stored, Compare("x", "eq", 0), *documents) == [
        float(json.loads(one)["x"]) == 0 for one in documents
    ]


@pytest.mark.parametrize(
    "literal", ["0.1000000000000000055", "0.10000000000000000555111512312578270211815834045410156250"]
)
def test_stored_decimals_compare_as_the_doubles_that_they_round_to(stored: StoredPeople, literal: str) -> None:
    assert answer_of_traits(stored, Compare("x", "eq", 0.1), f'{{"x": {literal}}}') == [True]
    assert answer_of_traits(stored, Compare("x", "contains", 0.1), f'{{"x": ["a", {literal}]}}') == [True]
    assert answer_of_traits(stored, Compare("x", "gt", 0.1), f'{{"x": {literal}}}') == [False]


def test_members_of_another_org_are_not_listed(stored: StoredPeople) -> None:
    stored.replace([Somebody()], [STATIC_ID])
    other = rule_condition(InAudience(STATIC_ID), org_id=uuid4(), rules={}, now_ms=NOW_MS)
    listed = rule_condition(InAudience(STATIC_ID), org_id=ORG_ID, rules={}, now_ms=NOW_MS)
    rows = stored.run(stored.connection.execute(select(listed, other).select_from(customers)))
    assert [tuple(row) for row in rows] == [(True, False)]


def test_the_largest_rule_that_is_accepted_runs(stored: StoredPeople) -> None:
    numbers = tuple(float(number) for number in range(500))
    rule: Rule = AllOf(tuple(Not(Compare(f"t{place}", "in", (*numbers[1:], "a"))) for place in range(200)))
    for _ in range(9):
        rule = Not(rule)
    assert answer_of_traits(stored, rule, "{}", '{"t7": 3}') == [False, True]


def test_a_long_chain_of_audiences_runs_and_one_too_long_is_refused(stored: StoredPeople) -> None:
    ids = [f"018f0000-0000-7000-8000-0000000001{place:02d}" for place in range(60)]
    chain: dict[str, Rule] = {ids[0]: Compare("x", "eq", 1)}
    chain |= {later: Not(InAudience(earlier)) for earlier, later in pairwise(ids)}
    stored.replace([Somebody({"x": 1}), Somebody()])
    assert stored.answers({"it": InAudience(ids[50])}, chain, NOW_MS) == [{"it": True}, {"it": False}]
    with pytest.raises(ValueError, match="too large"):
        rule_condition(InAudience(ids[59]), org_id=ORG_ID, rules=chain, now_ms=NOW_MS)


def test_audiences_that_double_at_each_step_are_refused(stored: StoredPeople) -> None:
    first, second, third = AUDIENCE_IDS
    many: dict[str, Rule] = {
        first: AllOf((Compare("x", "exists"),) * 100),
        second: AllOf((InAudience(first),) * 10),
        third: AllOf((InAudience(second), InAudience(first))),
    }
    rule_condition(InAudience(second), org_id=ORG_ID, rules=many, now_ms=NOW_MS)
    with pytest.raises(ValueError, match="too large"):
        rule_condition(InAudience(third), org_id=ORG_ID, rules=many, now_ms=NOW_MS)


@pytest.mark.parametrize("op", ["gt", "lt"])
def test_strings_compare_by_code_point_whatever_the_database_is_set_to(op: Any) -> None:
    condition = rule_condition(Compare("x", op, "b"), org_id=ORG_ID, rules={}, now_ms=NOW_MS)
    assert 'COLLATE "C"' in str(condition.compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]


HALFWAY = [
    "0.1000000000000000124900090270330610871315002441406250",  # between 0.1 (even) and the next double (odd)
    "0.09999999999999999861222121921855432447046041488647460937500",  # between 0.1 and the double before it
    "2.4703282292062327e-324",  # between 0 (even) and the least double: a little less, a little more
    "2.4703282292062328e-324",
    "1.7976931348623157e308",
    "1.797693134862315808e308",
    "3",
    "2.9999999999999997",
    "2.99999999999999977795539507496869191527366638183593750000",
    "2.9999999999999997779",
]


@pytest.mark.parametrize("bound", [0.1, math.nextafter(0.1, 1), 0.0, 5e-324, 1.7976931348623157e308, 3, -3.0])
@pytest.mark.parametrize("op", ["gt", "gte", "lt", "lte"])
def test_decimals_that_stand_between_two_doubles_compare_as_the_one_that_they_round_to(
    stored: StoredPeople, op: Any, bound: float
) -> None:
    texts = [*HALFWAY, *(f"-{text}" for text in HALFWAY)]
    compare = Compare("x", op, bound)
    expected = [compile_clause(compare)({"x": float(text)}) for text in texts]
    assert answer_of_traits(stored, compare, *(f'{{"x": {text}}}' for text in texts)) == expected


@pytest.mark.parametrize("op", get_args(CountOp))
@pytest.mark.parametrize("within", [None, "2s"])
def test_events_of_another_org_and_of_another_customer_do_not_count(
    stored: StoredPeople, op: Any, within: str | None
) -> None:
    stored.replace([Somebody(), Somebody()])
    past = [("0", Happening("e", NOW_MS))] * 3
    stored.run(stored.add_events(OTHER_ORG_ID, past))
    stored.run(stored.add_events(ORG_ID, [*past[:2], ("2", Happening("e", NOW_MS))]))
    answers = stored.answer(EventCount("e", (), op, 2, within), NOW_MS)
    assert answers == [op in ("gte", "lte", "eq"), op in ("lt", "lte", "neq")]
