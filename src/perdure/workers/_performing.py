"""The operations of one session's guest: begun in their order, carried out beside its turns, told in later ones.

What a guest does with the result of an operation before it is told goes on from here, when the result is there.
Effects: tasks.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from perdure.errors import GuestCrashedError, OverloadedError, PerdureError, UsageError, again
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX, KIB
from perdure.workers._error_shape import error_shape
from perdure.workers._exports import path_of, send
from perdure.workers._invocations import Invocation
from perdure.workers._messages import Messages
from perdure.workers._reports import Operation

_RESUME_BYTES: Final = 256 * KIB  # of outcomes in one turn; a larger one comes alone
_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode


class Acts(Protocol):
    """What the owner of a session does for its operations."""

    def is_clear(self, mark: int) -> bool: ...
    async def confirmed(self, mark: int) -> None: ...
    def announced(self, operation: Operation, mark: int) -> int: ...
    async def perform(self, operation: Operation, mark: int) -> object: ...


@dataclass(frozen=True, slots=True)
class _Settled:
    result: object
    error: Exception | None


_UnderWay = asyncio.Task[_Settled]
_Prepared = tuple[asyncio.Future[None] | None, _UnderWay | None]
"""The large arguments that are read first, and the earlier operation whose result is gone on from."""


class Performing:
    """What a guest has asked for and has not been told."""

    def __init__(
        self,
        acts: Acts,
        messages: Messages,
        *,
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
        resume_soon: Callable[[], None],
        crashed: Callable[[PerdureError], None],
    ) -> None:
        self._acts = acts
        self._messages = messages
        self._spawn = spawn
        self._resume_soon = resume_soon
        self._crashed = crashed
        self._life = 0
        self._under_way: dict[int, _UnderWay] = {}
        self._settled: deque[tuple[Operation, str]] = deque()
        self._telling: list[Operation] = []  # in the turn that runs now
        self._invocations: dict[int, Invocation] = {}
        self._last_large: asyncio.Future[None] | None = None

    def begin(self, operations: Sequence[Operation], mark: int, *, room: int, invocation: Invocation | None) -> int:
        """Start what the guest asked for in a turn of `invocation`; the mark that its answers wait for."""
        room = max(0, room - len(self._settled))
        for operation in operations[:room]:
            after = self._acts.announced(operation, mark)
            if invocation is not None:
                self._invocations[operation.operation_id] = invocation
            try:
                prepared: _Prepared | PerdureError = self._prepare(operation)
                if invocation is not None:
                    invocation.reach_out(operation.kind)
            except PerdureError as refusal:
                prepared = refusal
                if not operation.is_read:
                    self._messages.discard_arguments(operation.payload.get("a"))
            self._under_way[operation.operation_id] = self._spawn(self._perform(operation, mark, prepared))
            mark = after
        if refused := operations[room:]:
            error = OverloadedError(
                f"this worker has {GUEST_PENDING_OPERATIONS_MAX} operations under way: await some before starting more"
            )
            for operation in refused:
                self._messages.discard_arguments(operation.payload.get("a"))
                self._settled.append((operation, _failed(operation, error)))
            self._resume_soon()
        return mark

    def is_under_way(self, operation_id: int) -> bool:
        """Whether an operation has not been told."""
        return operation_id in self._under_way

    def take_settled(self) -> tuple[str, Invocation | None]:
        """Outcomes for the next turn, all of one invocation, and which it is."""
        taken: list[str] = []
        size = 0
        invocation = self._invocations.get(self._settled[0][0].operation_id) if self._settled else None
        while self._settled and (not taken or size + len(self._settled[0][1]) <= _RESUME_BYTES):
            if self._invocations.get(self._settled[0][0].operation_id) is not invocation:
                break
            operation, text = self._settled.popleft()
            taken.append(text)
            self._telling.append(operation)
            size += len(text)
        if self._settled:
            self._resume_soon()
        for operation in self._telling:
            self._invocations.pop(operation.operation_id, None)
        return ",".join(taken), invocation

    def forget_told(self) -> None:
        """The turn that was told of outcomes has ended: the guest has them."""
        for operation in self._telling:
            self._under_way.pop(operation.operation_id, None)
            self._messages.told(operation)
        self._telling.clear()

    def clear(self) -> None:
        """The guest's memory is gone; the tasks are cancelled by whoever spawns them."""
        self._life += 1
        self._telling += [operation for operation, _ in self._settled]
        self._settled.clear()
        self.forget_told()
        self._under_way.clear()
        self._invocations.clear()
        self._last_large = None

    # ── one operation ───────────────────────────────────────────────────────────────────────────────────────

    def _prepare(self, operation: Operation) -> _Prepared:
        """What an operation must wait for. Raises what is wrong with it."""
        base = None
        if operation.kind.startswith("rpc.") and "on" in operation.payload:
            base = self._under_way.get(operation.payload["on"])  # type: ignore[call-overload]  # anything hashable may be asked
            if base is None:
                raise UsageError("a call goes on from the result of an operation that is not under way")
        large = self._messages.prepare(operation)
        if large is not None:
            self._last_large = large
            large.add_done_callback(self._large_done)
        return self._last_large, base

    def _large_done(self, large: asyncio.Future[None]) -> None:
        if self._last_large is large:
            self._last_large = None
        if not large.cancelled():
            large.exception()  # Its operation tells the guest.

    async def _perform(self, operation: Operation, mark: int, prepared: _Prepared | PerdureError) -> _Settled:
        life = self._life
        try:
            if not self._acts.is_clear(mark):
                await self._acts.confirmed(mark)
            settled = _Settled(await self._result(operation, mark, prepared), None)
        except Exception as error:  # noqa: BLE001  # whatever it called may have raised it: the guest is told
            settled = _Settled(None, error)
        finally:
            self._messages.close(operation)
        if self._life == life:
            done = settled.error is None
            text = _COMPACT([operation.operation_id, 1, settled.result]) if done else _failed(operation, settled.error)
            self._settled.append((operation, text))
            self._resume_soon()
        else:
            self._messages.told(operation)
        return settled

    async def _result(self, operation: Operation, mark: int, prepared: _Prepared | PerdureError) -> object:
        if isinstance(prepared, PerdureError):
            raise prepared
        large, base = prepared
        if large is not None:
            await asyncio.wait([large])
            if operation.sent is None and not large.cancelled() and (error := large.exception()) is not None:
                raise again(error)
        if base is not None:
            settled = await asyncio.shield(base)
            if settled.error is not None:
                raise again(settled.error)
            return await self._messages.pipelined(operation, path_of(operation.payload), settled.result)
        if operation.kind == "stream":
            return await self._messages.streams.perform(operation.payload)
        if operation.target is not None:
            return await send(operation.target, operation, self._messages)
        return await self._acts.perform(operation, mark)

    # ── references ──────────────────────────────────────────────────────────────────────────────────────────

    def give_back(self, returned: Sequence[tuple[int, int]]) -> None:
        """The guest gives references back, once what it sent before is read. Raises GuestCrashedError."""
        if self._last_large is None:
            self._messages.give_back(returned)
        else:
            self._spawn(self._give_back_after(self._last_large, returned))

    async def _give_back_after(self, large: asyncio.Future[None], returned: Sequence[tuple[int, int]]) -> None:
        life = self._life
        await asyncio.wait([large])
        if self._life == life:
            try:
                self._messages.give_back(returned)
            except GuestCrashedError as error:
                self._crashed(error)


def _failed(operation: Operation, error: Exception | None) -> str:
    assert error is not None, "it failed with something"
    return _COMPACT([operation.operation_id, 0, error_shape(error)])
