import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from service.supervise import Supervisor, TaskDiedError, Work

pytestmark = pytest.mark.anyio


def alive_gauge(task: str) -> float | None:
    return REGISTRY.get_sample_value("inapp_tasks_alive", {"task": task})


async def forever() -> None:
    await asyncio.Event().wait()


def noting(stopped: list[str], name: str) -> Work:
    async def work() -> None:
        try:
            await forever()
        finally:
            stopped.append(name)

    return work


@pytest.fixture
def deaths() -> list[bool]:
    return []


@pytest.fixture
def on_death(deaths: list[bool]) -> Callable[[], None]:
    return lambda: deaths.append(True)


async def test_a_task_that_raises_is_logged_and_fails_the_process(
    deaths: list[bool], on_death: Callable[[], None]
) -> None:
    async def die() -> None:
        raise ValueError("lost sk_prod_0123456789")

    with capture_logs() as lines, pytest.raises(TaskDiedError, match="tail: ValueError: lost") as caught:
        async with Supervisor(on_death=on_death) as tasks:
            tasks.start("tail", die)
            tasks.start("other", forever)
            await tasks.failed.wait()
            assert tasks.alive() == {"tail": False, "other": True}
            assert (alive_gauge("tail"), alive_gauge("other")) == (0, 1)
    assert isinstance(caught.value.__cause__, ValueError)
    assert deaths == [True]
    (line,) = lines
    assert (line["event"], line["task"]) == ("task_died", "tail")
    assert line["reason"] == "ValueError: lost sk_prod_***"
    assert line["exc_info"]


async def test_a_task_that_returns_early_is_a_death(on_death: Callable[[], None]) -> None:
    async def end() -> None:
        return

    with pytest.raises(TaskDiedError, match="tail: returned"):
        async with Supervisor(on_death=on_death) as tasks:
            tasks.start("tail", end)
            await tasks.failed.wait()


async def test_a_death_outranks_the_cancellation_it_causes() -> None:
    async def die() -> None:
        raise ValueError

    main = asyncio.current_task()
    assert main is not None

    def cancel_main() -> None:
        main.cancel()

    with pytest.raises(TaskDiedError):
        async with Supervisor(on_death=cancel_main) as tasks:
            tasks.start("tail", die)
            await forever()
    main.uncancel()


async def test_an_error_of_the_block_itself_comes_out(on_death: Callable[[], None]) -> None:
    async def die() -> None:
        raise ValueError

    with pytest.raises(KeyError):
        async with Supervisor(on_death=on_death) as tasks:
            tasks.start("tail", die)
            await tasks.failed.wait()
            raise KeyError


async def test_the_exit_stops_the_newest_task_first(deaths: list[bool], on_death: Callable[[], None]) -> None:
    stopped: list[str] = []
    with capture_logs() as lines:
        async with Supervisor(on_death=on_death) as tasks:
            for name in ("first", "second", "third"):
                tasks.start(name, noting(stopped, name))
            await asyncio.sleep(0)
    assert stopped == ["third", "second", "first"]
    assert alive_gauge("second") == 0
    assert (deaths, lines) == ([], [])


async def test_a_task_that_will_not_stop_does_not_hold_the_exit() -> None:
    async def stubborn() -> None:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    let_go = asyncio.Event()
    with capture_logs() as lines:
        async with Supervisor(stop_timeout_s=0.01) as tasks:
            tasks.start("stubborn", stubborn)
            await asyncio.sleep(0)
    assert [line["event"] for line in lines] == ["task_did_not_stop"]
    let_go.set()


async def test_a_task_that_was_not_told_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.supervise._CANCEL_AGAIN_S", 0.01)
    swallowed: list[bool] = []

    async def deaf_once() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.append(True)
        await asyncio.Event().wait()

    with capture_logs() as lines:
        async with Supervisor() as tasks:
            tasks.start("deaf", deaf_once)
            await asyncio.sleep(0)
    assert (swallowed, lines) == ([True], [])


async def test_an_error_while_stopping_is_logged() -> None:
    async def flush_fails() -> None:
        try:
            await forever()
        finally:
            raise OSError("disk full")

    with capture_logs() as lines:
        async with Supervisor() as tasks:
            tasks.start("spool", flush_fails)
            await asyncio.sleep(0)
    assert [(line["event"], line["reason"]) for line in lines] == [("task_failed_stopping", "OSError: disk full")]


async def test_retrying_work_begins_again_after_an_error(deaths: list[bool], on_death: Callable[[], None]) -> None:
    attempts = 0

    async def flaky() -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise ConnectionError("redis is gone")
        recovered.set()
        await forever()

    recovered = asyncio.Event()
    with capture_logs() as lines:
        async with Supervisor(on_death=on_death) as tasks:
            tasks.start_retrying("ship", flaky)
            await asyncio.wait_for(recovered.wait(), 10)
            assert tasks.alive() == {"ship": True}
    assert deaths == []
    assert [(line["event"], line["reason"]) for line in lines] == [("task_retry", "ConnectionError: redis is gone")] * 2
    assert [line["retry_in_seconds"] for line in lines] == [0.1, 0.2]


async def test_a_name_is_taken_once() -> None:
    async with Supervisor() as tasks:
        tasks.start("tail", forever)
        with pytest.raises(ValueError, match="tail"):
            tasks.start("tail", forever)
