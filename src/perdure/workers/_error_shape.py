"""An error as a guest receives it: its type, its text and what its author gave it, never a traceback of the host.

Effects: none.
"""

from __future__ import annotations

from typing import Final

from perdure.errors import GuestError, PerdureError
from perdure.wire import error_properties

_FLAGS: Final = {"durable_object_reset": "reset", "retryable": "retryable", "overloaded": "overloaded"}


def error_shape(error: BaseException) -> dict[str, object]:
    """The ErrorShape of the guest protocol."""
    shape: dict[str, object] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, PerdureError):
        shape["code"] = error.code
        shape.update({key: True for name, key in _FLAGS.items() if getattr(error, name)})
    if isinstance(error, GuestError):
        shape["type"] = error.type_name
    if isinstance(error, GuestError) or not isinstance(error, PerdureError):
        shape["remote"] = True
        if properties := error_properties(error):
            shape["props"] = properties
    return shape
