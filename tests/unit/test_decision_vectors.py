"""The engine decides as the shared cases say. The tests of sdk/core run the same cases on a device's code."""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import get_args

import pytest

from tests.support.decision_cases import (
    GENERATED,
    OUTRANKED,
    DecisionCase,
    generated,
    load_decisions,
    reasons,
    table_of,
    to_text,
    winners,
)
from wire.bundle import CompiledMessage
from wire.rule_tree import MOVING_OPS, Op

CASES = load_decisions()
REASONS = {
    "ended",
    "not_started",
    "url_mismatch",
    "screen_mismatch",
    "event_mismatch",
    "stopped_by_click",
    "stopped_by_dismissal",
    "cap_reached",
    "too_soon",
    OUTRANKED,
}
EVENT_OPS = set(get_args(Op)) - MOVING_OPS


def by_slot(messages: Sequence[CompiledMessage]) -> dict[str, list[str]]:
    in_slots = groupby(sorted(messages, key=attrgetter("slot")), key=attrgetter("slot"))
    return {slot: [message.id for message in found] for slot, found in in_slots}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_engine_gives_the_reasons_that_the_case_names(case: DecisionCase) -> None:
    own_reasons = {id_: None if reason == OUTRANKED else reason for id_, reason in case.expected.items()}
    assert reasons(case, table_of(case.messages)) == own_reasons


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_exactly_the_messages_without_a_reason_win_their_slots(case: DecisionCase) -> None:
    expected = {id_ for id_, reason in case.expected.items() if reason is None}
    assert set(winners(case, table_of(case.messages))) == expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_messages_of_a_slot_stand_in_the_order_in_which_the_edge_sends_them(case: DecisionCase) -> None:
    ranked = table_of(case.messages[::-1]).messages
    assert by_slot([prepared.message for prepared in ranked]) == by_slot(case.messages)


def test_the_cases_are_many_and_cover_every_reason_and_op() -> None:
    assert sum(len(case.expected) for case in CASES) >= 1_500
    assert {reason for case in CASES for reason in case.expected.values()} == REASONS | {None}
    triggers = [message.trigger or {} for case in CASES for message in case.messages]
    assert {condition["op"] for trigger in triggers for condition in trigger.get("where") or ()} == EVENT_OPS


def test_the_random_cases_are_what_their_generator_makes() -> None:
    assert GENERATED.read_text() == to_text(generated())
