"""Errors on their way across: a guest's exception as an ErrorShape, a host's reply as an exception.

The reader of a traceback is a person or a model that must repair the worker: it shows the worker's own files and
lines, nothing of the sandbox, and ends with the exception's type and message.
Effects: none.
"""

from __future__ import annotations

import builtins
import json
import traceback
from collections.abc import Callable
from typing import Any, Final, NoReturn

from perdure import errors
from perdure.errors import GuestError, PerdureError
from perdure.wire import error_properties, read_error_properties

TRACEBACK_CHARACTERS_MAX: Final = 16_000
_FRAMES_MAX: Final = 30
_ADVICE_FOR_IMPORTS: Final = (
    "only the standard library (without threads, sockets and C extensions) and the worker's own modules exist here"
)

_FLAGS: Final = {
    "remote": "remote", "reset": "durable_object_reset", "retryable": "retryable", "overloaded": "overloaded",
}  # fmt: skip

IsOwnFile = Callable[[str], bool]
"""Tells the worker's own files from those of the sandbox."""


def error_shape(error: BaseException, is_own: IsOwnFile, *, modules: list[str] | None = None) -> dict[str, object]:
    """`error` as the host takes it. `modules`: what the worker consists of, for the text of a failed import."""
    if isinstance(error, ModuleNotFoundError) and _ADVICE_FOR_IMPORTS not in error.msg:
        error.msg = f"{error.msg}: {_explain_import(modules)}"
    shape: dict[str, object] = {"type": _type_name(error), "message": _message(error)}
    text = format_traceback(error, is_own)
    if text:
        shape["traceback"] = text
    if isinstance(error, PerdureError):
        shape["code"] = error.code
    if getattr(error, "remote", False) is True:
        shape["remote"] = True
    if properties := error_properties(error):
        shape["props"] = properties
    return shape


def format_traceback(error: BaseException, is_own: IsOwnFile) -> str:
    """The traceback with the worker's own frames only, causes and groups included."""
    report = traceback.TracebackException.from_exception(error, limit=-_FRAMES_MAX * 10, compact=True)
    _keep_own(report, is_own)
    text = "".join(report.format()).rstrip("\n")
    if len(text) > TRACEBACK_CHARACTERS_MAX:
        half = TRACEBACK_CHARACTERS_MAX // 2
        text = f"{text[:half]}\n  …\n{text[-half:]}"
    return text


def _keep_own(report: traceback.TracebackException, is_own: IsOwnFile) -> None:
    own = [frame for frame in report.stack if is_own(frame.filename)]
    report.stack = traceback.StackSummary.from_list(own[-_FRAMES_MAX:])
    inner = [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]
    for part in inner:
        if part is not None:
            _keep_own(part, is_own)


def _type_name(error: BaseException) -> str:
    return error.type_name if isinstance(error, GuestError) else type(error).__name__


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a worker's own __str__ may fail in any way
        return "(its text could not be made)"


def _explain_import(modules: list[str] | None) -> str:
    if not modules:
        return _ADVICE_FOR_IMPORTS
    return f"{_ADVICE_FOR_IMPORTS}, which are {', '.join(f'`{name}`' for name in sorted(modules))}"


def raise_reply(text: str) -> NoReturn:
    """Raise the ErrorShape that a host replied with, as its own type where that exists here."""
    shape: dict[str, Any] = json.loads(text)
    name, message = str(shape.get("type", "Error")), str(shape.get("message", ""))
    error = _error_of(name, message)
    for key, attribute in _FLAGS.items():
        if shape.get(key) is True:
            setattr(error, attribute, True)
    for attribute, value in read_error_properties(shape.get("props")).items():
        if not hasattr(error, attribute):
            setattr(error, attribute, value)
    raise error


def _error_of(name: str, message: str) -> BaseException:
    kind = getattr(errors, name, None) or getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and kind is not GuestError:
        try:
            return kind(message)
        except TypeError:  # Its constructor wants more than a message.
            return GuestError(message, type_name=name)
    return GuestError(message, type_name=name)
