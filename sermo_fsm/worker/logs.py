"""What the worker and the board say, to people or to programs that read logs."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final, TextIO

__all__ = ["logging_to"]

_USUAL: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


@contextmanager
def logging_to(
    stream: TextIO, *, as_json: bool, of: str = "sermo_fsm.worker", level: int = logging.INFO
) -> Iterator[None]:
    """Write what the logger *of* this name says to *stream*, a line for each message."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json() if as_json else _Text())
    logger = logging.getLogger(of)
    level_before, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level_before)
        logger.propagate = propagate


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What was said beside the words."""
    return {name: value for name, value in vars(record).items() if name not in _USUAL}


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(
            f" {name}={json.dumps(value, ensure_ascii=False, default=str)}"
            for name, value in _facts(record).items()
        )
        return f"{_time(record)} {record.levelname:<7} {record.getMessage()}{facts}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        return json.dumps(line | _facts(record), ensure_ascii=False, default=str)
