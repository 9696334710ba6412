from compiler.reconcile import Standing, State, overdue
from tests.support.compiler_rows import NOW_MS, uuid
from wire.bundle import Version

A, B, C = uuid(1), uuid(2), uuid(3)
V5 = Version(1, 2, 5)


def found(
    standing: Standing | None = None, *, published: Version | None = V5, waiting: dict[object, int] | None = None
) -> bool:
    state = State((A,), {A: 0} if waiting else {}, {} if published is None else {A: published})
    return A in overdue(state, {} if standing is None else {A: standing}, NOW_MS)


def test_an_org_whose_manifest_stands_is_left_alone() -> None:
    assert not found(Standing(V5, None))
    assert not found(Standing(V5, NOW_MS + 1))


def test_a_newer_manifest_of_somebody_else_is_left_alone() -> None:
    assert not found(Standing(V5, None), published=Version(1, 3, 6))


def test_an_org_that_this_compiler_does_not_know_yet_is_overdue() -> None:
    assert found(None)


def test_an_org_whose_manifest_is_gone_or_older_than_it_was_is_overdue() -> None:
    assert found(Standing(V5, None), published=None)
    assert found(Standing(V5, None), published=Version(1, 2, 4))
    assert found(Standing(V5, None), published=Version(1, 1, 9))


def test_an_org_whose_boundary_has_passed_is_overdue() -> None:
    assert found(Standing(V5, NOW_MS))


def test_orgs_with_changes_come_first_and_once() -> None:
    state = State((A, B, C), {C: 0}, {})
    assert list(overdue(state, {}, NOW_MS)) == [C, A, B]
