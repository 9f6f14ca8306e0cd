"""Log lines for people: `HH:MM:SS level app/facet | text`, on stderr, coloured on a terminal only.

What a sandboxed app prints is shown without control characters, so that it cannot steer the terminal.
Effects: log, process (the environment).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Final

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LEVELS: Final = {
    logging.DEBUG: ("debug", "2"),
    logging.INFO: ("info", "36"),
    logging.WARNING: ("warn", "33"),
    logging.ERROR: ("error", "31"),
    logging.CRITICAL: ("fatal", "31;1"),
}


class LineFormatter(logging.Formatter):
    """One record, one line; further lines of a text are indented below it.

    `record.guest` names the app and facet that spoke; otherwise the room of ours that did.
    """

    def __init__(self, *, is_coloured: bool) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._is_coloured = is_coloured

    def format(self, record: logging.LogRecord) -> str:
        name, colour = _LEVELS.get(record.levelno, (record.levelname.lower(), "0"))
        speaker: str = getattr(record, "guest", record.name.removeprefix("perdure."))
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        level = self._coloured(f"{name:<5}", colour)
        return f"{self.formatTime(record, self.datefmt)} {level} {plain(speaker)} | {_indented(plain(text))}"

    def _coloured(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._is_coloured else text


def log_to_stderr() -> None:
    """Show everything from INFO up that perdure logs, and warnings of the server below it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(is_coloured=sys.stderr.isatty() and "NO_COLOR" not in os.environ))
    for name, level in (("perdure", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def plain(text: str) -> str:
    """`text` without what steers a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _indented(text: str) -> str:
    return re.sub(r"\n(?=[^\n])", "\n    ", text.rstrip("\n"))
