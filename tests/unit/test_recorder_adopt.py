"""Which features are kept, given what rules ask for and what is kept already."""

from collections.abc import Mapping

import pytest

from recorder.features import adopt
from recorder.features.adopt import Asked, Changes, changes
from wire.features import Feature

PAID, VIEWED, DONE = (Feature(name, (), 2) for name in ("paid", "viewed", "done"))
IN_ORDER = sorted((PAID, VIEWED, DONE), key=lambda feature: feature.id)


def asked(*wanted: Feature, kept: Mapping[str, int] | None = None, may_let_go: bool = True) -> Asked:
    return Asked({feature.id: feature for feature in wanted}, kept or {}, may_let_go)


def test_what_is_kept_as_asked_needs_no_change() -> None:
    assert changes(asked(PAID, kept={PAID.id: 2})) == Changes()
    assert not changes(asked()).any


def test_new_features_and_those_that_keep_too_little_begin() -> None:
    assert changes(asked(PAID)).begun == (PAID,)
    assert changes(asked(PAID, kept={PAID.id: 1})).begun == (PAID,)


def test_what_keeps_too_much_is_lowered_and_what_nobody_asks_for_dropped() -> None:
    found = changes(asked(PAID, kept={PAID.id: 3, VIEWED.id: 1}))
    assert found == Changes(lowered=(PAID,), dropped=(VIEWED.id,))


def test_nothing_is_let_go_while_somebody_may_need_it() -> None:
    found = changes(asked(PAID, DONE, kept={PAID.id: 3, VIEWED.id: 1}, may_let_go=False))
    assert found == Changes(begun=(DONE,))


def test_past_the_most_features_those_with_a_place_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopt, "MOST_FEATURES", 2)
    first, second, last = IN_ORDER
    assert changes(asked(*IN_ORDER)) == Changes(begun=(first, second), refused=(last.id,))
    assert changes(asked(*IN_ORDER, kept={last.id: 2})) == Changes(begun=(first,), refused=(second.id,))


def test_past_the_most_moments_nothing_is_raised_and_nothing_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopt, "MOST_MOMENTS", 4)
    first, second, last = IN_ORDER
    held = {first.id: 1, second.id: 2}
    assert changes(asked(first, second, last, kept=held)) == Changes(begun=(first,), refused=(last.id,))
    held = {first.id: 1, second.id: 2, last.id: 1}
    assert changes(asked(first, second, last, kept=held)) == Changes(refused=(first.id, last.id))
