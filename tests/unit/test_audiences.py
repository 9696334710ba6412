"""Which of an org's audiences can be used; what the compiler says of the others is in test_compiler_compile.py."""

from uuid import UUID

from engine.audiences import Audiences, StoredAudience, read
from store.features import progress_of
from wire.rule_tree import Compare, InAudience

A, B, C, D = (str(UUID(int=number)) for number in range(1, 5))
PLAN = '{"trait": "plan", "op": "exists"}'


def audiences(rules: dict[str, str | None], *preparing: str) -> Audiences:
    return read(StoredAudience(UUID(id_), f"name {id_[-1]}", rule, id_ in preparing) for id_, rule in rules.items())


def referring(audience_id: str) -> str:
    return f'{{"audience": "{audience_id}"}}'


def test_what_cannot_be_read_breaks_what_refers_to_it_and_nothing_else() -> None:
    found = audiences({A: '{"trait": 5}', B: referring(A), C: PLAN, D: None})
    assert [set(ids) for ids in (found.unreadable, found.broken, found.rules)] == [{A}, {A, B}, {B, C}]
    assert found.usable == {C: Compare("plan", "exists"), D: None}
    assert (found.is_static(D), found.is_static(C), found.is_static(A)) == (True, False, False)


def test_rules_that_are_no_json_that_python_holds_are_unreadable() -> None:
    for rule in ("[" * 2_000 + "]" * 2_000, '"text"', "null"):
        assert audiences({A: rule}).unreadable.keys() == {A}


def test_a_circle_breaks_its_audiences_and_those_that_refer_to_it() -> None:
    found = audiences({A: referring(B), B: referring(A), C: referring(A), D: PLAN})
    codes = {id_: [problem.code for problem in problems] for id_, problems in found.broken.items()}
    assert codes == {A: ["audience_cycle"], B: ["audience_cycle"], C: ["audience_broken"]}
    assert "“name 1” → “name 2” → “name 1”" in found.broken[A][0].message


def test_references_are_followed_to_the_end_static_ones_too() -> None:
    found = audiences({A: referring(B), B: referring(C), C: None, D: PLAN}, B)
    assert found.with_references([A]) == {A, B, C}
    assert found.ready() == {C, D}


def test_another_rule_is_judged_together_with_the_others() -> None:
    found = audiences({A: '{"trait": 5}', B: referring(A), C: None})
    assert found.with_rule(A, Compare("plan", "exists")).usable.keys() == {A, B, C}
    assert found.with_rule(A, InAudience(B)).broken.keys() == {A, B}
    assert found.with_rule("", InAudience(B)).broken.keys() == {A, B, ""}
    assert found.with_rule("", InAudience(C)).usable.keys() == {C, ""}
    assert found.broken.keys() == {A, B}


def test_nothing_is_told_to_be_gathered_before_it_is_ready() -> None:
    assert [progress_of(percent, ready=False) for percent in (0, 29.99, 99.9, 100)] == [0, 29, 99, 99]
    assert progress_of(0, ready=True) == 100
