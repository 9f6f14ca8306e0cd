"""What module-level functions of `workers` reach: the host, once this interpreter is a guest.

Effects: host calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from perdure.wire import ABORTS_ISOLATE, HostOp

if TYPE_CHECKING:
    from perdure.guest._host_calls import Ask

DEFAULT_REASON: Final = "abort_isolate() was called"


class Outside:
    """The one guest of this interpreter, as code without a `ctx` sees it."""

    def __init__(self) -> None:
        self._ask: Ask | None = None

    def connect(self, ask: Ask) -> None:
        """From now on there is a host."""
        self._ask = ask

    def abort_isolate(self, reason: str = DEFAULT_REASON) -> NoReturn:
        """End this isolate. Does not return."""
        assert self._ask is not None, "the worker's code runs in a guest"
        self._ask(HostOp.ABORT, ABORTS_ISOLATE, reason)
        raise AssertionError("the host ends this isolate")


OUTSIDE: Final = Outside()
