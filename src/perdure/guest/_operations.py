"""What this guest has asked of the outside and still waits for.

The report of a turn carries it to the host, a later turn brings the answer. What is asked of a result that has not come
is asked of the host, in terms of the operation that will give it. Effects: none (the report of a turn says it).
"""

from __future__ import annotations

import asyncio
import contextvars
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from perdure.api import close_stubs
from perdure.errors import OverloadedError
from perdure.guest._errors import raise_reply
from perdure.guest._streams import GuestStreams
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX
from perdure.web import Response
from perdure.wire import response_from_host

if TYPE_CHECKING:
    from perdure.api import RpcPromise, Target


class Answer(asyncio.Future[Any]):
    """The result of one operation. `read` makes a value of the JSON tree."""

    def __init__(
        self,
        operations: Operations,
        operation_id: int,
        read: Callable[[Any], object] | None,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(loop=loop)
        self._operations = operations
        self.operation_id = operation_id
        self.read = read

    def pipeline(self, promise: RpcPromise) -> Target:
        """What is asked of the result before it is there."""
        assert self._operations.make_pipeline is not None, "the guest is set up before it runs"
        self.add_done_callback(_heard)  # Whoever goes on from it hears its error.
        return self._operations.make_pipeline(self, promise)


def _heard(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()


async def answer_to_response(answer: Answer, streams: GuestStreams) -> Response:
    """The response that the host wrote."""
    return response_from_host(await answer, streams.receive)


class Operations:
    """What this guest has asked of the outside and still waits for. `streams` are those that messages take along."""

    streams: GuestStreams

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._last_id = 0
        self._waiting: dict[int, Answer] = {}
        self._contexts: dict[int, contextvars.Context] = {}
        self._started: list[list[object]] = []
        self._released: list[int] = []
        self._last_stub = 0
        self.make_pipeline: Callable[[Answer, RpcPromise], Target] | None = None

    def start(self, kind: str, payload: dict[str, object], read: Callable[[Any], object] | None = None) -> Answer:
        """Note an operation; the future gets what `read` makes of its result's JSON tree. Raises OverloadedError."""
        if len(self._waiting) >= GUEST_PENDING_OPERATIONS_MAX:
            raise OverloadedError(
                f"{GUEST_PENDING_OPERATIONS_MAX} operations of this worker are under way: "
                "await some before starting more"
            )
        self._last_id += 1
        operation_id = self._last_id
        future = self._waiting[operation_id] = Answer(self, operation_id, read, loop=self._loop)
        self._contexts[operation_id] = contextvars.copy_context()
        self._started.append([operation_id, kind, payload])
        return future

    def settle(self, operation_id: int, is_ok: int, result: Any) -> None:  # noqa: ANN401  # JSON
        """The host has done one. One that nobody waits for any more is dropped."""
        self._contexts.pop(operation_id, None)
        future = self._waiting.pop(operation_id, None)
        if future is None:
            return
        try:
            if not is_ok:
                raise_reply(json.dumps(result))
            value = result if future.read is None else future.read(result)
        except Exception as error:  # noqa: BLE001  # whatever the host says is for the one who waits
            if not future.done():
                future.set_exception(error)
            return
        if future.done():  # Whoever waited has given up: nobody will close what came.
            close_stubs(value)
        else:
            future.set_result(value)

    def context(self, operation_id: int) -> contextvars.Context:
        """Where an operation was started, for what it causes in here: it belongs to the same section."""
        context = self._contexts.get(operation_id)
        return contextvars.copy_context() if context is None else context.copy()

    def take_started(self) -> list[list[object]]:
        """Those of this turn, in order."""
        started, self._started = self._started, []
        return started

    def new_stub(self) -> int:
        """The number of one more stub."""
        self._last_stub += 1
        return self._last_stub

    def release(self, stub: int) -> None:
        """Nobody holds this stub any more."""
        self._released.append(stub)

    def take_released(self) -> list[int]:
        """Those of this turn."""
        released, self._released = self._released, []
        return released
