import pytest

from wire.problems import child_pointer
from wire.rule_tree import (
    AllOf,
    AnyOf,
    Compare,
    EventCount,
    InAudience,
    Not,
    Pattern,
    Rule,
    audience_refs,
    evaluation_order,
    find_cycle,
    find_oversized,
    reachable,
    to_json,
)
from wire.rules import RuleError, parse_pattern, parse_rule, parse_where

AUDIENCE_ID = "018f0000-0000-7000-8000-00000000000a"


def refusals(value: object, pointer: str = "") -> list[tuple[str, str]]:
    with pytest.raises(RuleError) as refused:
        parse_rule(value, pointer=pointer)
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


def where_refusals(value: object) -> list[tuple[str, str]]:
    with pytest.raises(RuleError) as refused:
        parse_where(value, pointer="/trigger/where")
    return [(problem.pointer, problem.code) for problem in refused.value.problems]


def test_a_rule_becomes_a_tree() -> None:
    rule = {"all": [{"trait": "plan", "op": "eq", "value": "free"}, {"not": {"any": [{"audience": AUDIENCE_ID}]}}]}
    tree = AllOf((Compare("plan", "eq", "free"), Not(AnyOf((InAudience(AUDIENCE_ID),)))))
    assert parse_rule(rule) == tree
    assert to_json(tree) == rule


def test_a_where_leaf_speaks_of_a_property() -> None:
    leaf = {"property": "pages", "op": "in", "value": [1, "2"]}
    assert parse_rule(leaf, leaf="property") == Compare("pages", "in", (1, "2"))
    assert to_json(Compare("pages", "in", (1, "2")), leaf="property") == leaf


def test_an_event_condition_says_once_and_ever_unless_told_otherwise() -> None:
    assert parse_rule({"event": "*"}) == EventCount("*")
    assert to_json(EventCount("*")) == {"event": "*", "count": {"op": "gte", "value": 1}}
    assert parse_rule({"event": "a", "where": [], "within": None}) == EventCount("a")


def test_an_event_condition_with_everything_is_read_and_written_the_same() -> None:
    rule = {
        "event": "report.exported",
        "where": [{"property": "pages", "op": "gte", "value": 3}],
        "count": {"op": "eq", "value": 0},
        "within": "7d",
    }
    assert parse_rule(rule) == EventCount("report.exported", (Compare("pages", "gte", 3),), "eq", 0, "7d")
    assert to_json(parse_rule(rule)) == rule


def test_the_pointer_of_a_problem_starts_where_the_rule_sits() -> None:
    assert refusals({"any": [{"trait": "x", "op": "is"}]}, "/rule") == [("/rule/any/0/op", "unknown_op")]


def test_an_audience_id_is_written_in_one_way() -> None:
    assert parse_rule({"audience": AUDIENCE_ID.upper()}) == InAudience(AUDIENCE_ID)


def test_the_limits_themselves_are_allowed() -> None:
    rule: dict[str, object] = {"any": [{"trait": "n" * 128, "op": "eq", "value": "v" * 1_024}] * 199}
    rule = {"all": [rule, {"trait": "x", "op": "in", "value": [2**53, -(2**53)] * 250}]}
    for _ in range(8):
        rule = {"not": rule}
    parse_rule(rule)
    assert [code for _, code in refusals({"not": rule})] == ["too_deep"]


def test_a_problem_of_every_part_is_told_in_the_order_of_the_parts() -> None:
    rule = {"all": [{"trait": 1, "op": "eq", "value": None}, {"event": "a b"}, 5]}
    assert refusals(rule) == [
        ("/all/0/trait", "wrong_type"),
        ("/all/0/value", "wrong_type"),
        ("/all/1/event", "invalid_event_type"),
        ("/all/2", "wrong_type"),
    ]


def test_lone_surrogates_are_refused_and_never_repeated() -> None:
    with pytest.raises(RuleError) as refused:
        parse_rule({"trait": "a\ud800", "op": "eq", "value": "\udfff", "\ud800": 1})
    assert [problem.code for problem in refused.value.problems] == ["unknown_field", "lone_surrogate", "lone_surrogate"]
    assert "".join("".join(problem) for problem in refused.value.problems).encode()


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_numbers_must_be_finite(value: float) -> None:
    assert refusals({"trait": "x", "op": "eq", "value": value}) == [("/value", "number_not_finite")]


def test_where_is_a_list_of_at_most_twenty_property_leaves() -> None:
    leaf = {"property": "x", "op": "exists"}
    assert parse_where([leaf] * 20) == (Compare("x", "exists"),) * 20
    assert where_refusals([leaf] * 21) == [("/trigger/where", "too_many_leaves")]
    assert where_refusals({"property": "x"}) == [("/trigger/where", "wrong_type")]
    assert where_refusals([{"all": [leaf]}, {**leaf, "op": "not_within_last", "value": "1d"}]) == [
        ("/trigger/where/0", "unknown_rule"),
        ("/trigger/where/1/op", "not_allowed_here"),
    ]


def test_a_pattern_has_one_of_five_ops_and_a_string() -> None:
    assert parse_pattern({"op": "glob", "value": "/pricing*"}) == Pattern("glob", "/pricing*")


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("/pricing*", ("/url", "wrong_type")),
        ({"value": "/pricing*"}, ("/url/op", "missing_field")),
        ({"op": "gt", "value": "a"}, ("/url/op", "unknown_op")),
        ({"op": "eq"}, ("/url/value", "missing_field")),
        ({"op": "eq", "value": 1}, ("/url/value", "wrong_type")),
        ({"op": "contains", "value": True}, ("/url/value", "wrong_type")),
        ({"op": "glob", "value": "\\"}, ("/url/value", "invalid_glob")),
        ({"op": "eq", "value": "v" * 1_025}, ("/url/value", "too_long")),
        ({"op": "eq", "value": "a", "flags": "i"}, ("/url/flags", "unknown_field")),
    ],
)
def test_a_pattern_of_another_shape_is_refused(pattern: object, problem: tuple[str, str]) -> None:
    with pytest.raises(RuleError) as refused:
        parse_pattern(pattern, pointer="/url")
    assert [(found.pointer, found.code) for found in refused.value.problems] == [problem]


def test_pointers_escape_what_has_a_meaning_in_them() -> None:
    assert child_pointer("/a", "b/c~d", 0) == "/a/b~1c~0d/0"


def test_references_are_found_at_any_depth() -> None:
    rule = AllOf((Not(InAudience("a")), AnyOf((InAudience("b"), Compare("x", "exists")))))
    assert audience_refs(rule) == {"a", "b"}
    assert audience_refs(Compare("x", "exists")) == frozenset()


def test_what_a_rule_reaches_goes_through_other_audiences() -> None:
    rules = {"a": InAudience("b"), "b": InAudience("static"), "c": InAudience("a")}
    assert reachable(Not(InAudience("a")), rules).keys() == {"a", "b"}


def test_a_circle_of_references_is_found_with_its_path() -> None:
    assert find_cycle({"a": InAudience("a")}) == ("a", "a")
    assert find_cycle({"a": InAudience("b"), "b": Not(InAudience("c")), "c": InAudience("b")}) == ("b", "c", "b")


def test_audiences_that_share_one_are_no_circle() -> None:
    rules: dict[str, Rule] = {
        "a": AllOf((InAudience("b"), InAudience("c"))),
        "b": InAudience("d"),
        "c": InAudience("d"),
        "d": AllOf(()),
    }
    assert find_cycle(rules) is None
    order = evaluation_order(rules)
    assert (order[0], order[-1], set(order)) == ("d", "a", {"a", "b", "c", "d"})


def test_ten_thousand_audiences_in_a_row_are_put_in_order() -> None:
    rules = {str(place): InAudience(str(place + 1)) for place in range(10_000)}
    assert find_cycle(rules) is None
    assert evaluation_order(rules)[0] == "9999"
    assert find_oversized({"a": InAudience("b"), "b": Compare("x", "exists")}) is None


def test_an_audience_that_grows_too_large_through_others_is_found() -> None:
    rules: dict[str, Rule] = {"0": AllOf((Compare("x", "exists"),) * 10)}
    rules |= {str(place + 1): AllOf((InAudience(str(place)),) * 10) for place in range(3)}
    assert find_oversized(rules) == "3"
