import pytest

from engine.features import FeatureIndex, features_of, moments_needed, preparing
from wire.features import Feature
from wire.rule_tree import AllOf, Compare, EventCount, InAudience, Not, Rule

PDF = Compare("format", "eq", "pdf")
LONG = Compare("pages", "gte", 3)


def ids_of(index: FeatureIndex, event_type: str, properties: dict[str, object]) -> set[str]:
    return {feature_id for feature_id, _ in index.of(event_type, properties)}


@pytest.mark.parametrize(
    ("op", "count", "needed"),
    [("gte", 3, 3), ("lt", 3, 3), ("gt", 3, 4), ("lte", 3, 4), ("eq", 3, 4), ("neq", 0, 1), ("gte", 0, 0)],
)
def test_a_count_needs_no_more_moments_than_decide_it(op: str, count: int, needed: int) -> None:
    assert moments_needed(EventCount("a", (), op, count)) == needed  # type: ignore[arg-type]


def test_conditions_over_the_same_events_are_one_feature_that_keeps_what_the_largest_needs() -> None:
    rules: list[Rule] = [EventCount("a", (PDF, LONG), "gte", 2, "7d"), Not(EventCount("a", (LONG, PDF, PDF), "eq", 4))]
    [(feature_id, feature)] = features_of(rules).items()
    assert (feature.event, set(feature.where), feature.kept) == ("a", {PDF, LONG}, 5)
    assert feature_id == feature.id


def test_conditions_over_other_events_are_other_features() -> None:
    several: list[Rule] = [
        EventCount("a"),
        EventCount("b"),
        EventCount("*"),
        EventCount("a", (PDF,)),
        EventCount("a", (LONG,)),
    ]
    one_and_true: list[Rule] = [EventCount("a", (Compare("x", "eq", value),)) for value in (1, True, "1")]
    assert len(features_of([*several, *one_and_true])) == 8


def test_a_count_that_always_holds_needs_nothing() -> None:
    assert features_of([EventCount("a", (), "gte", 0)]) == {}


def test_a_feature_survives_the_way_to_another_process() -> None:
    feature = Feature("a", (PDF, LONG), 3)
    assert Feature.from_fields(feature.fields()) == feature


@pytest.mark.parametrize("fields", [["a", []], ["a", [], "3"], [1, [], 3], ["a", [{"property": "x"}], 3], None])
def test_fields_of_something_else_are_refused(fields: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Feature.from_fields(fields)


def test_an_event_belongs_to_the_features_of_its_type_whose_conditions_it_meets() -> None:
    plain, pdf, anything = Feature("a", (), 1), Feature("a", (PDF,), 1), Feature("*", (), 1)
    index = FeatureIndex([plain, pdf, anything])
    assert ids_of(index, "a", {"format": "pdf"}) == {plain.id, pdf.id, anything.id}
    assert ids_of(index, "a", {"format": "csv"}) == {plain.id, anything.id}
    assert ids_of(index, "b", {"format": "pdf"}) == {anything.id}


@pytest.mark.parametrize("event_type", ["in_app.impression", "in_app.anything", "customer.updated"])
def test_what_others_did_to_a_customer_is_no_event_of_their_own(event_type: str) -> None:
    named, anything = Feature(event_type, (), 1), Feature("*", (), 1)
    assert not FeatureIndex([anything]).watches(event_type)
    assert ids_of(FeatureIndex([named, anything]), event_type, {}) == {named.id}


def test_an_index_watches_only_the_types_that_can_belong_to_a_feature() -> None:
    index = FeatureIndex([Feature("a", (PDF,), 1)])
    assert index.watches("a")
    assert not index.watches("b")


def test_an_audience_is_prepared_once_enough_moments_of_each_feature_are_there() -> None:
    thrice = EventCount("a", (), "gte", 3)
    rules: dict[str, Rule] = {"thrice": thrice, "plan": PDF, "both": AllOf((PDF, InAudience("thrice")))}
    (feature_id,) = features_of([thrice])
    assert preparing(rules, {}) == {"thrice", "both"}
    assert preparing(rules, {feature_id: 2}) == {"thrice", "both"}
    assert preparing(rules, {feature_id: 3}) == set()


def test_audiences_in_a_circle_do_not_keep_the_others_from_being_told() -> None:
    circle: dict[str, Rule] = {"a": InAudience("b"), "b": InAudience("a"), "late": EventCount("x")}
    assert preparing(circle, {}) == {"late"}
