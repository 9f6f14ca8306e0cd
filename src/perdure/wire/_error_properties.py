"""What an error takes along besides its type and its text: its author's own properties, as plain values.

They are a courtesy: what cannot be sent, or is too much, is left behind, and never hides the error itself.
Effects: none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from perdure.errors import ValueNotCloneableError
from perdure.limits import ERROR_PROPERTIES_BYTES_MAX, ERROR_PROPERTIES_MAX
from perdure.wire._value_reader import from_expression
from perdure.wire._value_writer import to_expression

_OURS = frozenset(
    {"remote", "retryable", "overloaded", "durable_object_reset", "properties", "type_name", "guest_traceback"}
)


def error_properties(error: BaseException) -> dict[str, object]:
    """The properties of `error` that can be sent, as expressions."""
    given = getattr(error, "properties", None)
    own = {**getattr(error, "__dict__", {}), **(given if isinstance(given, dict) else {})}
    kept: dict[str, object] = {}
    size = 0
    for name, value in own.items():
        if name.startswith("_") or name in _OURS or len(kept) == ERROR_PROPERTIES_MAX:
            continue
        try:
            expression = to_expression(value)
        except ValueNotCloneableError:
            continue
        size += len(name) + len(json.dumps(expression))
        if size > ERROR_PROPERTIES_BYTES_MAX:
            break
        kept[name] = expression
    return kept


def read_error_properties(expressions: object) -> dict[str, object]:
    """The values of properties that a guest sent; none when they are too many, too large or malformed."""
    if not isinstance(expressions, Mapping) or len(expressions) > ERROR_PROPERTIES_MAX:
        return {}
    try:
        if len(json.dumps(expressions)) > 2 * ERROR_PROPERTIES_BYTES_MAX:
            return {}
        return {str(name): from_expression(expression) for name, expression in expressions.items()}
    except (ValueNotCloneableError, ValueError, RecursionError):
        return {}
