"""What a guest says at the end of a turn, parsed as hostile.

The shapes are in docs/reference/guest-protocol.md. Anything malformed raises GuestCrashedError: the runtime in the
sandbox is ours, so a malformed report means that the guest has taken it over. Effects: none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from perdure.api import Sent, Target
from perdure.errors import GuestCrashedError, GuestError, LimitExceededError, WorkerLoadError
from perdure.limits import (
    GUEST_EXPORTS_MAX,
    GUEST_PENDING_OPERATIONS_MAX,
    GUEST_REPORT_BYTES_MAX,
    JSON_VALUES_MAX,
    RPC_CAPABILITIES_MAX,
    SECTIONS_WAITING_MAX,
)
from perdure.wire import TooManyValuesError, read_error_properties, read_json

_TIMER_MS_MAX: Final = 366 * 24 * 3600 * 1000
_SECTION_CHANGES_MAX: Final = 3 * SECTIONS_WAITING_MAX  # each is wanted, begins and ends
_TEXT_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Done:
    """An event of the guest that finished: its result as JSON tree, or the error it raised."""

    event_id: int
    result: object
    error: GuestError | None


@dataclass(slots=True)
class Operation:
    """Something a guest wants done outside, after the turn. Its session adds what its numbers stand for."""

    operation_id: int
    kind: str
    payload: Mapping[str, object]
    sent: Sent | None = None
    """The arguments, if it is a call."""
    target: Target | None = None
    """What it asks, if that has a number of the session's."""
    is_read: bool = False
    """Whether its arguments were read: then what they took along is accounted for."""
    written: object = None
    """The result, whose stubs are the guest's once it is told."""


@dataclass(frozen=True, slots=True)
class SectionChange:
    """A critical section that is wanted, began, ended, or failed with `error`."""

    kind: str
    section_id: int
    error: GuestError | None


@dataclass(frozen=True, slots=True)
class Report:
    done: Sequence[Done] = ()
    operations: Sequence[Operation] = ()
    timer_ms: float | None = None
    pending: int = 0
    sections: Sequence[SectionChange] = ()
    released: Sequence[int] = ()
    returned: Sequence[tuple[int, int]] = ()
    """Numbers and counts of references that the guest gives back."""
    handlers: frozenset[str] | None = None
    """Of START only: which handlers of the platform's own events the object's class has."""
    wants_turn: bool = False


def parse_report(text: str) -> Report:
    """The report that a guest returned from START, EVENT or RESUME."""
    tree = _tree(text)
    try:
        return Report(
            done=[_done(item) for item in _list(tree.get("d", []))],
            operations=[_operation(item) for item in _bounded(tree.get("o", []))],
            timer_ms=_timer(tree.get("t")),
            pending=_int(tree.get("p", 0)),
            sections=[_section(item) for item in _bounded(tree.get("s", []), most=_SECTION_CHANGES_MAX)],
            wants_turn=tree.get("n") == 1,
            handlers=frozenset(_words(item)[:40] for item in _bounded(tree["h"])) if "h" in tree else None,
            released=[_int(item) for item in _list(tree.get("x", []))],
            returned=[_pair(item) for item in _bounded(tree.get("c", []), most=RPC_CAPABILITIES_MAX)],
        )
    except (LookupError, TypeError, ValueError) as error:
        raise _malformed(str(error)) from None


def parse_loaded(text: str) -> Mapping[str, str]:
    """The exports that LOAD found, name → kind. Raises WorkerLoadError with the guest's own error."""
    tree = _tree(text)
    failure = tree.get("error")
    if failure is not None:
        shape = guest_error(failure)
        detail = shape.guest_traceback or f"{shape.type_name}: {shape}"
        raise WorkerLoadError(
            f"Failed to start Worker: {detail}".rstrip(),
            type_name=shape.type_name,
            guest_traceback=shape.guest_traceback,
        )
    try:
        exports = tree["ok"]["exports"]  # type: ignore[index]  # a wrong shape is caught below
        if len(exports) > GUEST_EXPORTS_MAX:
            raise WorkerLoadError(
                f"Failed to start Worker: the main module has {len(exports)} exports, the limit is "
                f"{GUEST_EXPORTS_MAX}: export entry points and classes only"
            )
        return {name[:200]: _words(kind)[:40] for name, kind in exports.items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise _malformed(str(error)) from None


def guest_error(shape: object) -> GuestError:
    """The error a guest described. Guests may write anything here, so everything is cut to a sane length."""
    if not isinstance(shape, dict):
        return GuestError(_words(shape)[:_TEXT_MAX])
    error = GuestError(
        _words(shape.get("message"))[:_TEXT_MAX],
        type_name=_words(shape.get("type"), "Error")[:200],
        guest_traceback=_words(shape.get("traceback"))[:_TEXT_MAX],
    )
    error.properties.update(read_error_properties(shape.get("props")))
    return error


def _words(value: object, otherwise: str = "") -> str:
    return value if isinstance(value, str) else otherwise


def _tree(text: str) -> dict[str, object]:
    if len(text) > GUEST_REPORT_BYTES_MAX:
        raise LimitExceededError(
            f"the guest's answer is {len(text)} bytes, the limit is {GUEST_REPORT_BYTES_MAX}: answer in smaller parts",
            limit="output",
        )
    try:
        tree = read_json(text)
    except TooManyValuesError:
        raise LimitExceededError(
            f"the guest's answer holds more than {JSON_VALUES_MAX} values: answer in smaller parts, or with one text",
            limit="output",
        ) from None
    except (ValueError, RecursionError) as error:
        raise _malformed(str(error)) from None
    if not isinstance(tree, dict):
        raise _malformed("it is no object")
    return tree


def _malformed(reason: str) -> GuestCrashedError:
    return GuestCrashedError(f"the guest's runtime gave a malformed report ({reason[:200]}): its isolate has ended")


def _done(item: object) -> Done:
    event_id, is_ok, value = _list(item)
    return Done(_int(event_id), value, None) if is_ok == 1 else Done(_int(event_id), None, guest_error(value))


def _operation(item: object) -> Operation:
    operation_id, kind, payload = _list(item)
    if not isinstance(payload, dict) or not isinstance(kind, str):
        raise TypeError("an operation has no kind or no payload")
    return Operation(_int(operation_id), kind, payload)


def _section(item: object) -> SectionChange:
    kind, section_id, *rest = _list(item)
    if kind not in {"want", "begin", "end", "fail"}:
        raise ValueError("a critical section changed in an unknown way")
    return SectionChange(str(kind), _int(section_id), guest_error(rest[0]) if rest else None)


def _pair(item: object) -> tuple[int, int]:
    number, count = _list(item)
    return _int(number), _int(count)


def _timer(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise ValueError("a timer has no delay")
    return float(min(value, _TIMER_MS_MAX))


def _bounded(value: object, *, most: int = GUEST_PENDING_OPERATIONS_MAX) -> list[object]:
    items = _list(value)
    if len(items) > most:
        raise LimitExceededError(
            f"the guest started {len(items)} operations in one turn, the limit is {most}: "
            "await some before starting more",
            limit="host_calls",
        )
    return items


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return value


def _int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**53:
        raise TypeError("a number was expected")
    return value
