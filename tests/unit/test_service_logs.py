import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import orjson
import pytest
import structlog

from service.logs import configure_logs, mask, one_line

Lines = Callable[[], list[dict[str, Any]]]
KEY = "sk_prod_0123456789abcdefghijkl"


@pytest.fixture
def lines(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with open(2, "w", closefd=False) as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        configure_logs("edge", "info")
        yield lambda: [orjson.loads(line) for line in capfdbinary.readouterr().err.splitlines()]
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_line_is_json_with_time_level_event_and_process(lines: Lines) -> None:
    structlog.get_logger().info("bundle_loaded", org="o1", bytes=12)
    (line,) = lines()
    assert datetime.fromisoformat(line.pop("ts")).tzinfo is not None
    assert line == {"level": "info", "event": "bundle_loaded", "process": "edge", "org": "o1", "bytes": 12}


def test_lines_below_the_level_are_left_out(lines: Lines) -> None:
    structlog.get_logger().debug("cache_hit")
    assert lines() == []


def test_bound_context_is_on_every_line_within(lines: Lines) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.get_logger().info("inside")
        logging.getLogger("uvicorn.error").warning("inside too")
    structlog.get_logger().info("outside")
    assert [line.get("request_id") for line in lines()] == ["r1", "r1", None]


def test_a_librarys_warning_is_a_line_with_its_logger(lines: Lines) -> None:
    logging.getLogger("apscheduler.executors").warning("job %s missed", "j1")
    (line,) = lines()
    assert line["event"] == "library_log"
    assert (line["logger"], line["message"], line["level"]) == ("apscheduler.executors", "job j1 missed", "warning")


def test_a_librarys_traceback_is_part_of_its_line(lines: Lines) -> None:
    try:
        raise ValueError(f"bad {KEY}")
    except ValueError:
        logging.getLogger("sqlalchemy.pool").exception("connection lost")
    (line,) = lines()
    assert "Traceback" in line["exception"]
    assert KEY not in str(line)


def test_a_python_warning_is_a_line(lines: Lines) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    assert "old thing" in lines()[0]["message"]


def test_secrets_are_masked_at_any_depth(lines: Lines) -> None:
    url = "redis://me:p@ss/word@cache:6379/0"
    structlog.get_logger().error("failed", key=KEY, nested={"urls": [url], KEY: 1}, error=ValueError(url))
    (line,) = lines()
    assert KEY not in str(line)
    assert "ss/word" not in str(line)
    assert line["nested"]["urls"] == ["redis://me:***@cache:6379/0"]
    assert line["key"] == "sk_prod_***"


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: {2}}, object(), b"\xff"])
def test_no_value_makes_a_log_call_fail(lines: Lines, value: object) -> None:
    structlog.get_logger().info("odd", value=value)
    assert lines()[0]["event"] == "odd"


@pytest.mark.parametrize(
    "text", ["http://127.0.0.1:8700/healthz", "/api/v1/orgs/a@b", "mailto:me@example.com", "pk_", "task_sk_"]
)
def test_text_without_a_secret_stays(text: str) -> None:
    assert mask(text) == text


def test_one_line_joins_masks_and_bounds() -> None:
    assert one_line(OSError("cannot\n  reach postgres://u:p@h")) == "OSError: cannot reach postgres://u:***@h"
    assert one_line(TimeoutError()) == "TimeoutError"
    assert len(one_line(ValueError("x" * 5000))) == 300
