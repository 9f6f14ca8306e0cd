"""A session with a Cap'n Web peer: the protocol, driven over a transport.

`run` is the whole life of a session; everything that it starts has ended when it returns. User code is run by the
`Host`, so that calls of the peer are events of the object whose session it is, and nothing that it says leaves before
what it wrote is durable. When the session ends, however that is, every call under way fails with the reason, and every
object of ours is released. Effects: tasks, log.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from perdure.capnweb._evaluate import Evaluator, apply_map
from perdure.capnweb._exports import Exporter, pump_stream
from perdure.capnweb._hooks import Box, FailedHook, Hook, MapBudget, PendingHook
from perdure.capnweb._imports import ImportHook, Imports, PeerSink
from perdure.capnweb._payload import Payload
from perdure.capnweb._protocol import (
    Act,
    Discard,
    Drop,
    End,
    Evaluate,
    MakePipe,
    Nothing,
    Pull,
    Settle,
)
from perdure.capnweb._protocol import Protocol as WireProtocol
from perdure.capnweb._reader import MalformedError
from perdure.capnweb._recorder import RECORDING, record_map
from perdure.capnweb._references import Introduced, Parsed, Path, ReadableEnd, WritableEnd
from perdure.capnweb._streams import Pipe, ValueStream, WritableStream
from perdure.capnweb._stubs import PeerStub, hook_and_path
from perdure.capnweb._targets import disposer_or_none
from perdure.capnweb._values import SharedTarget, SinkHook, ValueHook, take
from perdure.capnweb._work import Work
from perdure.errors import GuestError, HttpMessageError, OverloadedError, PerdureError, RpcSessionError, UsageError
from perdure.limits import (
    CAPNWEB_CALLS_MAX,
    CAPNWEB_CLOSE_S,
    CAPNWEB_HELD_VALUES_MAX,
    CAPNWEB_MAP_STEPS_MAX,
    CAPNWEB_OUTBOX_BYTES_MAX,
    CAPNWEB_WORK_MESSAGE_VALUES,
)

T = TypeVar("T")
_LOG: Final = logging.getLogger("perdure.capnweb")


class Transport(Protocol):
    """A way to the peer, for whole messages."""

    async def send(self, message: str) -> None:
        """Raises RpcSessionError when the connection is broken."""
        ...

    async def receive(self) -> str | None:
        """The next message; None at the end. Raises RpcSessionError when the connection breaks."""
        ...

    async def end(self, error: BaseException | None) -> None:
        """The session is over; everything that was sent should still arrive."""
        ...


class Host(Protocol):
    """Whose code a session runs."""

    def section(self) -> object:
        """The critical section that user code is in now, if any."""
        ...

    async def deliver(self, work: Callable[[], Coroutine[Any, Any, T]], section: object = None) -> T:
        """Run `work` as an event of its own; what it gives is told once what was written before it is durable.

        It belongs to `section`, while that is open.
        """
        ...

    def mark(self) -> Callable[[], Awaitable[None]] | None:
        """What a message that is made now must wait for before it leaves."""
        ...

    def opened(self, end: Callable[[Exception], None]) -> Callable[[], None]:
        """A session is there: `end` is called when its object is reset. Returns what says that it has ended."""
        ...


class Nobody:
    """The host of a session that belongs to no object."""

    def section(self) -> None:
        """There are none."""

    async def deliver(self, work: Callable[[], Coroutine[Any, Any, T]], section: object = None) -> T:
        """Run it right here."""
        return await work()

    def mark(self) -> None:
        """Nothing holds a message back."""

    def opened(self, end: Callable[[Exception], None]) -> Callable[[], None]:
        """Nobody resets it."""
        return lambda: None


class Session:
    """One end of a connection."""

    def __init__(self, transport: Transport, main: object = None, *, host: Host | None = None) -> None:
        self._transport = transport
        self._host = host or Nobody()
        self.shared_targets: dict[int, SharedTarget] = {}
        self.work = Work(self.abort)
        self._error: Exception | None = None
        self._ended: asyncio.Event = asyncio.Event()
        self._tasks: set[asyncio.Task[Hook]] = set()
        self._disposers: set[asyncio.Task[None]] = set()
        self._outbox: deque[tuple[str, Callable[[], Awaitable[None]] | None]] = deque()
        self._outbox_bytes = 0
        self._outbox_filled: asyncio.Event = asyncio.Event()
        self._answers_owed = 0
        self._settled: asyncio.Event = asyncio.Event()
        hook: Hook
        if main is None:
            hook = FailedHook(RpcSessionError("this connection has no main object"))
        else:
            hook = self._main_hook(main)
        self.protocol = WireProtocol(hook)
        self.imports = Imports(self)
        self.exporter = Exporter(self)
        self.main: PeerStub = PeerStub(self.imports.hook(0), self)

    def _main_hook(self, main: object) -> Hook:
        payload = take(self, main, is_moved=False)
        if not isinstance(payload.value, PeerStub):
            raise UsageError(
                f"a `{type(main).__name__}` cannot be the main object of a session: give an RpcTarget, "
                "a DurableObject, a stub or a function"
            )
        return hook_and_path(payload.value)[0]

    # ── its life ────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until the peer has gone, the session was ended, or this task is cancelled."""
        closed = self._host.opened(self.abort)
        reading = asyncio.ensure_future(self._read())
        writing = asyncio.ensure_future(self._write())
        ending = asyncio.ensure_future(self._ended.wait())
        try:
            await asyncio.wait([reading, writing, ending], return_when=asyncio.FIRST_COMPLETED)
            for task in (reading, writing):
                if task.done() and task.exception() is not None:
                    self.end(_as_exception(task.exception()))
            self.end(RpcSessionError("the connection was closed"))
        except asyncio.CancelledError:
            self.end(RpcSessionError("the connection was closed: this side is stopping"))
            raise
        finally:
            closed()
            await self._wind_up(writing, reading, ending)
            await self._transport.end(self._error)

    async def run_batch(self) -> None:
        """Do what the peer has sent, until all that it asked for is answered; there is no second half.

        What it was asked itself is never answered, so calls that wait for that fail.
        """
        closed = self._host.opened(self.abort)
        writing = asyncio.ensure_future(self._write())
        try:
            await self._read()
            await self._drain()
        finally:
            closed()
            self.end(RpcSessionError("the batch is over"))
            await self._wind_up(writing)
            await self._transport.end(self._error)

    async def _wind_up(self, writing: asyncio.Future[None], *others: asyncio.Future[Any]) -> None:
        """What was said last still leaves, and disposers still run; everything else stops."""
        for task in (*others, *self._tasks):
            task.cancel()
        await asyncio.wait([writing, *self._disposers], timeout=CAPNWEB_CLOSE_S)
        for task in (writing, *self._disposers):
            task.cancel()
        await asyncio.gather(writing, *others, *self._tasks, *self._disposers, return_exceptions=True)

    def end(self, error: Exception) -> None:
        """The session is over: whatever is under way fails with `error`."""
        if self._error is not None:
            return
        self._error = error
        self.imports.break_(error)
        for holder in self.protocol.drop_all():
            _dispose(holder)
        self._ended.set()
        self._settled.set()
        self._outbox_filled.set()

    @property
    def error(self) -> Exception | None:
        """Why it has ended."""
        return self._error

    def abort(self, error: Exception) -> None:
        """End the session, and tell the peer why."""
        if self._error is None:
            with suppress(PerdureError):
                self.protocol.abort(error, self.exporter)
            self.flush()
            self.end(error)

    async def _read(self) -> None:
        while (message := await self._transport.receive()) is not None:
            await self.work.turn()
            if self._error is not None:
                return
            self.receive(message)

    def receive(self, message: str) -> None:
        """Do what one message asks for. One that breaks the protocol ends the session."""
        self.work.note(CAPNWEB_WORK_MESSAGE_VALUES)
        try:
            self._perform(self.protocol.receive(message))
        except (MalformedError, HttpMessageError) as error:
            self.abort(RpcSessionError(f"the peer broke the protocol of Cap'n Web: {error}"))
        except RecursionError:
            self.abort(RpcSessionError("the peer has made a chain of promises that is too long"))
        self.flush()

    async def _write(self) -> None:
        while True:
            while self._outbox:
                message, may_leave = self._outbox[0]
                if may_leave is not None:
                    await may_leave()
                await self._transport.send(message)
                self._outbox.popleft()
                self._outbox_bytes -= len(message)
            if self._error is not None:
                return
            self._outbox_filled.clear()
            await self._outbox_filled.wait()

    def flush(self) -> None:
        """Put what the protocol says into the way of the writer."""
        messages = self.protocol.take_messages()
        if not messages or self._error is not None:
            return
        mark = self._host.mark()
        for message in messages:
            self._outbox.append((message, mark))
            self._outbox_bytes += len(message)
        self._outbox_filled.set()
        if self._outbox_bytes > CAPNWEB_OUTBOX_BYTES_MAX:
            self.end(
                OverloadedError(f"the peer does not take its messages: more than {CAPNWEB_OUTBOX_BYTES_MAX} bytes wait")
            )

    async def _drain(self) -> None:
        """Until every answer that the peer has asked for is made."""
        while self._answers_owed and self._error is None:
            self._settled.clear()
            await self._settled.wait()

    # ── what the peer asks ──────────────────────────────────────────────────────────────────────────────────

    def _perform(self, act: Act) -> None:
        match act:
            case Evaluate(number, parsed, is_stream, size):
                self.work.note(parsed.values)
                hook = self._evaluator(size).hook(parsed)
                self.protocol.hold(number, hook)
                self._forget_when_made(number, hook)
                self._count_when_made(number, hook)
                if is_stream:
                    self._answer(number, hook)
            case MakePipe(number):
                self.protocol.hold(number, SinkHook(self, Pipe()))
            case Pull(number, holder):
                assert isinstance(holder, Hook)
                self._answer(number, holder)
            case Settle(number, parsed, is_error):
                self.work.note(parsed.values)
                self.imports.settle(number, self._settlement(parsed, is_error=is_error))
            case Discard(parsed):
                self._evaluator().payload(parsed).dispose()
            case Drop(holder):
                _dispose(holder)
            case End(parsed):
                payload = self._evaluator().payload(parsed)
                payload.dispose()
                self.end(_as_exception(payload.value))
            case Nothing():
                return

    def _settlement(self, parsed: Parsed, *, is_error: bool) -> Hook:
        if not is_error:
            return self._evaluator().hook(parsed)
        payload = self._evaluator().payload(parsed)
        payload.dispose()
        return FailedHook(_as_exception(payload.value))

    def _evaluator(self, size: int = 0) -> Evaluator:
        return Evaluator(self, self, MapBudget(CAPNWEB_MAP_STEPS_MAX), size)

    def _forget_when_made(self, number: int, hook: Hook) -> None:
        """The message of a call is held as long as the call lasts; that of a plain value until it is released."""
        if isinstance(hook, PendingHook):
            hook.box.when_there(lambda: self.protocol.forget_message(number))
        elif isinstance(hook, ImportHook | FailedHook):
            self.protocol.forget_message(number)

    def _count_when_made(self, number: int, hook: Hook) -> None:
        """A result that is there is held until the peer releases it, however few bytes asked for it."""
        there: Hook | None = hook
        while isinstance(there, PendingHook):
            box = there.box
            there = box.hook_or_none
            if there is None:
                box.when_there(lambda: self._count_when_made(number, hook))
                return
        if isinstance(there, ValueHook) and not self.protocol.hold_values(number, there.values):
            self.abort(
                OverloadedError(f"the peer holds results of more than {CAPNWEB_HELD_VALUES_MAX} values: release some")
            )

    def _answer(self, number: int, hook: Hook) -> None:
        """Tell the peer what an export resolves to, once that is known."""
        self._answers_owed += 1
        own = hook.dup()

        async def answer() -> Hook:
            try:
                payload = await (await own.pull()).filled()
                self.work.note(payload.values)
                self.exporter.resolve(number, payload)
            except Exception as error:  # noqa: BLE001  # whatever user code raised is the answer
                self.exporter.reject(number, error)
            finally:
                own.dispose()
                self.flush()
                self._answers_owed -= 1
                self._settled.set()
            return FailedHook(RpcSessionError("an answer is no value"))

        self.spawn(answer(), Box())

    def answer_promise(self, number: int, hook: Hook) -> None:
        """Resolve a promise that we have introduced."""
        self._answer(number, hook)

    # ── `Scope`: what ids of the peer's messages mean ───────────────────────────────────────────────────────

    def own(self, number: int) -> Hook:
        if self._error is not None:  # A call before this one, in the same message, has ended the session.
            return FailedHook(self._error)
        holder = self.protocol.holder(number)
        assert isinstance(holder, Hook), "every export has a hook"
        return holder

    def imported(self, reference: Introduced) -> Hook:
        return self.imports.hook(reference.id, is_pulled=reference.is_promise)

    def readable(self, end: ReadableEnd) -> ValueStream:
        holder = self.protocol.holder(end.id)
        assert isinstance(holder, SinkHook), "the protocol knows its pipes"
        assert isinstance(holder.sink, Pipe), "the protocol knows its pipes"
        return ValueStream(holder.sink)

    def writable(self, end: WritableEnd) -> WritableStream:
        return WritableStream.of(PeerSink(self, end.id))

    # ── `Side`: what hooks of ours need ─────────────────────────────────────────────────────────────────────

    def call(self, hook: Hook, path: Path, arguments: tuple[object, ...]) -> Hook:
        """A call that user code makes. Raises ValueNotCloneableError for what cannot be sent."""
        recorder = RECORDING.get()
        if recorder is not None:
            return recorder.call(hook, path, arguments)
        return hook.call(path, take(self, [*arguments], is_moved=False))

    def record(self, hook: Hook, path: Path, function: Callable[[Any], object]) -> Hook:
        """A function that is applied where the value is."""
        return record_map(self, hook, path, function)

    def hold(self, payload: Payload) -> Hook:
        """A hook for a value that user code has."""
        return ValueHook(self, payload)

    def copy(self, value: object) -> Payload:
        """A copy of what user code gave."""
        return take(self, value, is_moved=False)

    def number_of_import(self, hook: Hook) -> int | None:
        """The number of a capability of the peer's, if it is one that is not resolved."""
        return hook.number_in(self) if isinstance(hook, ImportHook) else None

    async def pump(self, number: int, stream: ValueStream) -> Hook:
        """Send a stream into a pipe at the peer's."""
        await pump_stream(stream, PeerSink(self, number), self._host.deliver)
        return FailedHook(RpcSessionError("a stream that was sent is no value"))

    def spawn(self, work: Coroutine[Any, Any, Hook], box: Box) -> None:
        """Run `work` in a task of its own."""
        if self._error is not None or len(self._tasks) >= CAPNWEB_CALLS_MAX:
            work.close()
            box.put(
                FailedHook(self._error or OverloadedError(f"{CAPNWEB_CALLS_MAX} calls of this session are under way"))
            )
            if self._error is None:
                self.abort(OverloadedError(f"the peer has {CAPNWEB_CALLS_MAX} calls under way, which is the limit"))
            return
        # Not in the context of the object whose turn it may be now: it has none of its own.
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(partial(self._made, work, box))

    def _made(self, work: Coroutine[Any, Any, Hook], box: Box, task: asyncio.Task[Hook]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            work.close()  # It may not have begun.
            box.put(FailedHook(self._error or RpcSessionError("the session has ended")))
        elif (error := task.exception()) is not None:
            box.put(FailedHook(_as_exception(error)))
        else:
            box.put(task.result())
        self.flush()

    async def deliver(self, work: Callable[[], Coroutine[Any, Any, Any]], section: object) -> Any:  # noqa: ANN401  # what it gives
        """Run user code."""
        return await self._host.deliver(work, section)

    def section(self) -> object:
        """The critical section that user code is in now."""
        return self._host.section()

    def dispose_target(self, target: object) -> None:
        """Nobody at the peer's holds an object of ours any more: its disposer runs once, as an event."""
        disposer = disposer_or_none(target)
        if disposer is None:
            return

        async def run() -> None:
            outcome = disposer()
            if isinstance(outcome, Awaitable):
                await outcome

        async def dispose() -> None:
            try:
                await self._host.deliver(run)
            except Exception:  # noqa: BLE001  # user code: nobody waits for it
                _LOG.exception("the disposer of a `%s` failed", type(target).__name__)

        task = asyncio.get_running_loop().create_task(dispose(), context=contextvars.Context())
        self._disposers.add(task)
        task.add_done_callback(self._disposers.discard)

    def apply_map(
        self, value: object, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget
    ) -> Hook:
        """Apply a recorded function."""
        return apply_map(self, value, captures, instructions, budget)


def _dispose(holder: object) -> None:
    if isinstance(holder, Hook):
        holder.dispose()


def _as_exception(value: object) -> Exception:
    """What a peer rejected with: JavaScript throws anything."""
    if isinstance(value, Exception):
        return value
    return GuestError(str(value), type_name="Error")
