"""Why a value cannot be copied: what to do instead, and where in the value the culprit stands. Effects: none."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from enum import Enum
from typing import Final

_PATH_CHARACTERS_MAX: Final = 200
_LOOKED_AT_MAX: Final = 100_000

_HINTS: Final = {
    "date": "send value.isoformat(), or an aware datetime",
    "time": "send value.isoformat()",
    "timedelta": "send value.total_seconds()",
    "Decimal": "send str(value)",
    "Fraction": "send str(value)",
    "UUID": "send str(value)",
    "PosixPath": "send str(value)",
    "complex": "send [value.real, value.imag]",
    "range": "send list(value)",
    "deque": "send list(value)",
    "mappingproxy": "send dict(value)",
}


def hint_for(value: object) -> str:
    """The text of the refusal."""
    kind = type(value)
    reason = getattr(kind, "cannot_be_serialized", None)  # What belongs to its owner says so itself.
    if isinstance(reason, str):
        return reason
    name = f"{kind.__module__}.{kind.__qualname__}"
    return f"could not serialize object of type `{name}`, it does not support serialization: {_advice(value)}"


def _advice(value: object) -> str:
    plain = "send plain data: None, bool, int, float, str, bytes, list, tuple, dict, set, aware datetime"
    if inspect.isawaitable(value):
        return "await it first"
    if callable(value):
        return "functions cannot be stored or sent here; " + plain
    if hasattr(value, "__dataclass_fields__"):
        return "use dataclasses.asdict(value)"
    if isinstance(value, Enum):
        return "send the enum member's value"
    if isinstance(value, Iterator):
        return "send list(value)"
    return _HINTS.get(type(value).__name__, plain)


def path_to(root: object, culprit: object) -> str:
    """Where `culprit` stands inside `root`, such as `.user.callback` or `.rows[3]`; "" when it is the root itself."""
    seen: set[int] = set()
    waiting: list[tuple[object, str]] = [(root, "")]
    while waiting and len(seen) < _LOOKED_AT_MAX:
        value, path = waiting.pop()
        if value is culprit:
            return path if len(path) <= _PATH_CHARACTERS_MAX else f"…{path[-_PATH_CHARACTERS_MAX:]}"
        if id(value) not in seen:
            seen.add(id(value))
            waiting.extend(_steps(value, path))
    return ""


def _steps(value: object, path: str) -> Iterator[tuple[object, str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key, f"{path}, a key"
            yield item, f"{path}{_step(key)}"
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield item, f"{path}[{place}]"
    elif isinstance(value, set | frozenset):
        for item in value:
            yield item, f"{path}, a member"


def _step(key: object) -> str:
    if not isinstance(key, str):
        return f"[{key!r:.40}]"
    return f".{key}" if key.isidentifier() else f"[{json.dumps(key)}]"
