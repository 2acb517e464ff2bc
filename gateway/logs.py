"""Logs: one JSON object per line, a constant event name plus fields; in a terminal, a readable line."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def configure_logs(level: str, stream: TextIO | None = None) -> None:
    """Set up structlog, and let libraries speak only of warnings.

    Args:
        level: "debug", "info", "warning" or "error".
        stream: where to write, standard error by default.
    """
    out = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    renderer: structlog.types.Processor = structlog.processors.JSONRenderer()
    if out.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    # Libraries put protocol lines, addresses among them, into their debug and info records.
    # The level is the handler's, because RQ sets those of its own loggers; the text is left out.
    handler = logging.StreamHandler(out)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(logging.Formatter('{"level":"%(levelname)s","logger":"%(name)s","event":"library_message"}'))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
