import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inapp.embedded.processes import command_line, end, read_pid, wait_until
from tests.support.polling import eventually, eventually_async

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"


def test_waiting_ends_with_the_first_yes_or_at_the_deadline() -> None:
    answers = iter([False, False, True, False])
    assert wait_until(lambda: next(answers), timeout=30, interval=0)
    assert next(answers) is False
    assert not wait_until(lambda: False, timeout=0)


def test_a_running_process_has_a_command_line_and_one_that_ended_unreaped_has_none() -> None:
    assert "pytest" in command_line(os.getpid())
    process = subprocess.Popen([sys.executable, "-c", ""])
    eventually(lambda: not command_line(process.pid))
    process.wait()
    assert command_line(process.pid) == ""


def test_a_process_that_ignores_the_signal_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        end(process.pid, signal.SIGTERM, timeout=0.1)
        assert process.wait(10) == -signal.SIGKILL


def test_the_first_line_of_a_pid_file_counts(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert read_pid(file) is None
    file.write_text("123\n/some/where\n")
    assert read_pid(file) == 123
    file.write_text("")
    assert read_pid(file) is None


def test_polling_returns_what_came_true_and_raises_what_failed_last() -> None:
    answers = iter([0, "", "done"])
    assert eventually(lambda: next(answers)) == "done"
    with pytest.raises(AssertionError, match="still 0 after"):
        eventually(lambda: 0, timeout=0)
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0)


@pytest.mark.anyio
async def test_polling_with_a_coroutine_does_the_same() -> None:
    answers = iter([0, "", "done"])

    async def answer() -> object:
        return next(answers)

    async def fail() -> object:
        raise AssertionError("not yet")

    assert await eventually_async(answer) == "done"
    with pytest.raises(AssertionError, match="not yet"):
        await eventually_async(fail, timeout=0)
