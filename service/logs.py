"""JSON lines on stderr, for our own log events and for the libraries' alike."""

import json
import logging
import re
import sys
from collections.abc import Mapping
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_API_KEY = re.compile(r"\b([ps]k_[a-z0-9]+_)[0-9A-Za-z]+")
_URL_PASSWORD = re.compile(r"(://[^\s:/?#@\"']*:)[^\s\"']*@")
_LONGEST_REASON = 300


def configure_logs(process: str, level: str) -> None:
    """Every line is JSON: `ts` (ISO, UTC), `level`, `event`, `process`, the bound context (`request_id`), fields."""
    structlog.configure(
        processors=_processors(process),
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _processors(process: str) -> list[Processor]:
    def add_process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {**event, "process": process}

    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        structlog.processors.format_exc_info,
        add_process,
        mask_secrets,
        structlog.processors.JSONRenderer(serializer=_dumps),
    ]


def _dumps(event: Any, **_options: Any) -> bytes:
    try:
        return orjson.dumps(event)
    except TypeError:  # a lone surrogate or an integer past 64 bits must not turn a log call into a failure
        return json.dumps(event, ensure_ascii=False).encode(errors="replace")


class _ToStructlog(logging.Handler):
    """Libraries' records as `library_log`, so that they pass through the same masking."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(
            record.levelno,
            "library_log",
            logger=record.name,
            message=record.getMessage(),
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """structlog processor: API keys and URL passwords in any string value, at any depth, become `***`."""
    return {name: _masked(value) for name, value in event.items()}


def mask(text: str) -> str:
    """`text` with API keys and URL passwords replaced by `***`."""
    return _URL_PASSWORD.sub(r"\1***@", _API_KEY.sub(r"\1***", text))


def one_line(error: BaseException) -> str:
    """An exception as one masked line of at most 300 characters, for a field `reason`."""
    text = " ".join(str(error).split())
    return mask(f"{type(error).__name__}: {text}" if text else type(error).__name__)[:_LONGEST_REASON]


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, Mapping):
        return {mask(str(key)): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_masked(item) for item in value]
    return value if value is None or isinstance(value, int | float) else mask(str(value))
