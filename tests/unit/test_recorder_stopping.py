import asyncio

import pytest

from recorder import stopping
from recorder.stopping import run_to_end

pytestmark = pytest.mark.anyio


async def test_work_comes_to_its_end_however_often_its_task_is_cancelled() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(run_to_end(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()


async def test_work_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_GRACE_S", 0.01)
    task = asyncio.create_task(run_to_end(asyncio.sleep(3600)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_results_and_errors_come_through() -> None:
    async def failing() -> None:
        raise ValueError("no")

    assert await run_to_end(asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError, match="no"):
        await run_to_end(failing())
