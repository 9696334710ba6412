import anyio
import pytest

from compiler.backlog import Backlog
from tests.support.compiler_rows import uuid

pytestmark = pytest.mark.anyio

A, B, C = uuid(1), uuid(2), uuid(3)


async def nothing_is_left(backlog: Backlog) -> bool:
    with anyio.move_on_after(0.01):
        await backlog.take()
        return False
    return True


async def test_orgs_in_which_something_changed_come_before_those_that_are_overdue() -> None:
    backlog = Backlog()
    backlog.overdue(A)
    backlog.overdue(B)
    backlog.change(C)
    backlog.change(B)
    assert [await backlog.take() for _ in range(3)] == [C, B, A]


async def test_an_org_waits_once_however_often_it_is_asked_for() -> None:
    backlog = Backlog()
    for _ in range(3):
        backlog.change(A)
        backlog.overdue(A)
    assert await backlog.take() == A
    assert await nothing_is_left(backlog)


async def test_what_changes_while_an_org_is_taken_brings_it_back_once_it_is_done() -> None:
    backlog = Backlog()
    backlog.change(A)
    await backlog.take()
    backlog.change(A)
    backlog.change(A)
    assert await nothing_is_left(backlog)
    backlog.done(A)
    assert await backlog.take() == A
    backlog.done(A)
    assert await nothing_is_left(backlog)


async def test_what_is_overdue_while_it_is_taken_does_not_come_back() -> None:
    backlog = Backlog()
    backlog.change(A)
    await backlog.take()
    backlog.overdue(A)
    backlog.done(A)
    assert await nothing_is_left(backlog)


async def test_a_taker_that_waits_is_woken() -> None:
    backlog = Backlog()
    taken = []

    async def take() -> None:
        taken.append(await backlog.take())

    with anyio.fail_after(1):
        async with anyio.create_task_group() as takers:
            takers.start_soon(take)
            takers.start_soon(take)
            await anyio.lowlevel.checkpoint()
            backlog.change(A)
            backlog.overdue(B)
    assert set(taken) == {A, B}
