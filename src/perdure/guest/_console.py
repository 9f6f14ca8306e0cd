"""`print` and the standard streams: each line goes to the host's log as soon as it is complete. Effects: log."""

from __future__ import annotations

import io
from collections.abc import Callable

from perdure.limits import LOG_LINE_BYTES_MAX
from perdure.wire import HostOp


class LogStream(io.TextIOBase):
    """A text stream whose lines are log lines of one level."""

    def __init__(self, level: str, ask: Callable[[int, str, str], str]) -> None:
        self._level = level
        self._ask = ask
        self._rest = ""

    def write(self, text: str) -> int:
        """Log the lines that `text` completes, keep the rest."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._log(line)
        if len(self._rest) > LOG_LINE_BYTES_MAX:
            self.flush_line()
        return len(text)

    def flush_line(self) -> None:
        """Log an incomplete line, at the end of a turn."""
        if self._rest:
            line, self._rest = self._rest, ""
            self._log(line)

    def writable(self) -> bool:
        """It is."""
        return True

    def _log(self, line: str) -> None:
        if len(line) > LOG_LINE_BYTES_MAX:
            line = f"{line[:LOG_LINE_BYTES_MAX]}… ({len(line)} characters)"
        self._ask(HostOp.LOG, self._level, line.encode("utf-8", "replace").decode())
