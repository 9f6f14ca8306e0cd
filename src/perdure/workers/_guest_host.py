"""What every guest may ask of its host, storage apart: its modules, its log, the time, its own end.

Everything that comes in was written by a guest. Effects: log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Final

from perdure.clock import Clock
from perdure.errors import (
    AbortedError,
    IsolateAbortedError,
    LimitExceededError,
    PerdureError,
    SqlInterruptedError,
)
from perdure.limits import LOG_LINE_BYTES_MAX, LOG_LINES_PER_TURN_MAX
from perdure.wire import ABORTS_ISOLATE, ERROR_MARK, HostOp
from perdure.workers._code import CheckedCode
from perdure.workers._error_shape import error_shape
from perdure.workers._exports import ExportCalls
from perdure.workers._guest_loaders import GuestLoaders

_LOG: Final = logging.getLogger("perdure.guest")
_LEVELS: Final = {
    "debug": logging.DEBUG,
    "log": logging.INFO,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


class WorkerHost:
    """Answers the host calls of one isolate.

    `label` names the guest in the log. `begin_turn` resets what is counted per turn.
    """

    def __init__(
        self, code: CheckedCode, *, label: str, clock: Clock, exports: ExportCalls, loaders: GuestLoaders
    ) -> None:
        self._code = code
        self._label = label
        self._clock = clock
        self._lines = 0
        self._answers: dict[int, Callable[[str, str], str]] = {
            HostOp.LOG: self._log,
            HostOp.MODULE: self._module,
            HostOp.ABORT: self._abort,
            HostOp.CLOCK: lambda key, payload: str(clock.now_ms()),
            HostOp.OBJECT_ID: exports.object_id,
            HostOp.LOAD_CODE: loaders.give_code,
        }

    def begin_turn(self) -> None:
        """A new turn starts to count its lines."""
        self._lines = 0

    def host_call(self, op: int, key: str, payload: str) -> str:
        """The reply to one host call. Errors of the guest's own making are replies; others end the isolate."""
        answer = self._answers.get(op)
        if answer is None:
            return self._refuse(op)
        try:
            return answer(key, payload)
        except (LimitExceededError, AbortedError, SqlInterruptedError):
            raise
        except PerdureError as error:
            self.refused(error)
            return ERROR_MARK + json.dumps(error_shape(error))

    def heard(self, level: str, line: str) -> None:
        """A line of the guest's log, as it was logged; for whoever owns the guest."""

    def refused(self, error: PerdureError) -> None:
        """The guest is told of this error; for whoever owns the guest."""

    def _refuse(self, op: int) -> str:
        named = HostOp(op).name.lower() if op in HostOp._value2member_map_ else str(op)
        text = (
            f"`{named}` is not available here: storage and facets belong to Durable Objects, this is a stateless worker"
        )
        return ERROR_MARK + json.dumps({"type": "Error", "message": text})

    def _module(self, name: str, _: str) -> str:
        if not name:  # Which names there are, for the importer and its messages.
            return "names\n" + json.dumps(list(self._code.modules))
        module = self._code.modules.get(name)
        return "" if module is None else f"{module.kind}\n{module.text}"

    def _abort(self, what: str, reason: str) -> str:
        reason = reason[:LOG_LINE_BYTES_MAX]
        if what == ABORTS_ISOLATE:
            raise IsolateAbortedError(reason)
        raise AbortedError(reason, retry_alarm=not what)

    def _log(self, level: str, line: str) -> str:
        self._lines += 1
        if self._lines > LOG_LINES_PER_TURN_MAX:
            if self._lines == LOG_LINES_PER_TURN_MAX + 1:
                _LOG.warning(
                    "more than %d lines in one turn, the rest is dropped",
                    LOG_LINES_PER_TURN_MAX,
                    extra={"guest": self._label},
                )
            return ""
        if len(line) > LOG_LINE_BYTES_MAX:
            line = f"{line[:LOG_LINE_BYTES_MAX]}… ({len(line)} characters)"
        _LOG.log(_LEVELS.get(level, logging.INFO), "%s", line, extra={"guest": self._label})
        self.heard(level, line)
        return ""
