"""A guest session: one isolate with one worker's code, driven turn by turn.

A turn is one call into the guest: it runs until the guest is idle and ends with a report (what finished, what it wants
from outside, its next timer). Around each turn stand the hooks of whoever owns the session: an object holds its input
gate, commits its database and lets nothing out before it is durable; a stateless worker only keeps turns apart.
A short turn runs on the loop's thread; a long one on a thread of its own. When a turn that was thought short overruns,
its isolate is gone: what it wrote is rolled back and it runs once more, from a fresh isolate, on a thread (ruling 10).
Effects: tasks, timers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from perdure.api import KeptValue, Target
from perdure.clock import CPU, Clock
from perdure.errors import GuestError, InternalError, ObjectResetError, PerdureError, WorkerCodeError, again
from perdure.isolates import CallHistory, GuestHost, InlineOverrunError, Isolate, Isolates, Runner
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX, GUEST_TIMER_MS_MIN
from perdure.wire import GuestOp
from perdure.workers._bindings import NO_BINDINGS, Binding, binding_kinds
from perdure.workers._code import CheckedCode
from perdure.workers._invocations import Invocation
from perdure.workers._messages import Messages
from perdure.workers._performing import Performing
from perdure.workers._references import GuestParcel, Read
from perdure.workers._reports import Done, Operation, Report, SectionChange, parse_loaded, parse_report
from perdure.workers._streams import SessionStreams
from perdure.workers._tasks import shared_task

T = TypeVar("T")
V = TypeVar("V")
_COMPACT: Final = json.JSONEncoder(separators=(",", ":")).encode


class TurnHooks(Protocol):
    """What the owner of a session does around its turns."""

    def host_for(self, code: CheckedCode, isolate: Isolate) -> GuestHost:
        """Who answers the host calls of this isolate."""
        ...

    def try_enter(self, *, inside: bool) -> bool: ...
    async def enter(self, *, inside: bool) -> None:
        """Wait for the next turn; `inside` for what the guest itself caused."""
        ...

    def leave(self) -> None: ...
    @property
    def may_be_inline(self) -> bool:
        """On the loop, before a turn: whether all that the guest may ask in it ends when it is overdue."""
        ...

    def begin(self, *, is_overdue: Callable[[], bool], is_inline: bool) -> None:
        """A turn begins, on the thread that will run it; whatever it asks must end once it is overdue.

        `is_inline`: the event loop waits for it. What would not end in time raises InlineOverrunError.
        """
        ...

    def cpu_ms(self, cpu_ms: int) -> int:
        """How much CPU time a turn may have, of what the worker's code may."""
        ...

    def serving(self, payer: object) -> None:
        """On the loop, before a turn: whose event it is for; None for a turn that goes on with several."""
        ...

    def spent(self, cpu_ns: int) -> None:
        """On the loop, after a turn: the CPU time it took. May end the session."""
        ...

    def commit(self) -> object:
        """End the unit of writes, on the thread that ran the turn."""
        ...

    def is_ready(self, captured: object) -> bool:
        """On the loop: whether `committed` may be called at once, and not in `when_ready`."""
        ...

    async def when_ready(self, finish: Callable[[], T]) -> T:
        """Wait for whatever `committed` needs, then call `finish`, with the gate still held."""
        ...

    def committed(self, captured: object) -> int:
        """Hand the unit to the journal, on the loop; the mark that what the turn says must wait for."""
        ...

    def rollback(self) -> None: ...
    def is_clear(self, mark: int) -> bool: ...
    async def confirmed(self, mark: int) -> None:
        """Until everything up to `mark` is durable. Raises what broke the object."""
        ...

    async def perform(self, operation: Operation, mark: int) -> object:
        """Do what the guest asked for in the turn that ended with `mark`; the result as JSON tree."""
        ...

    async def serve(self, event: str, deliver: Callable[[object], Awaitable[V]]) -> V:
        """Deliver an event that somebody else's code caused, with whose account pays for it."""
        ...

    def channel(self, what: object, fields: object, read: Read) -> Target:
        """What a stub of the guest's own worker points at; `read` reads its props. Raises UsageError."""
        ...

    def announced(self, operation: Operation, mark: int) -> int:
        """At the end of the turn that asked for it, which has `mark`: what the turn says, waits for this one."""
        ...

    def section(self, change: SectionChange) -> None: ...
    def released(self, stubs: Sequence[int]) -> None:
        """Nobody in the guest holds these stubs any more."""
        ...

    def forgot(self) -> None:
        """The guest's memory is gone, the session goes on: close what the guest held open."""
        ...

    def ended(self, error: PerdureError) -> None:
        """The isolate is gone, and with it everything in the guest's memory."""
        ...


class EventTurns(Protocol):
    """What the host does in the first and the last turn of an event."""

    def begin(self) -> Mapping[str, object] | None:
        """With the gate held: the event to deliver, or None if there is nothing to deliver after all."""
        ...

    def settle(self, error: GuestError | None) -> None:
        """In the turn in which the event ended, well or not, on its thread: what is written commits with that turn.

        It may come again, after that turn was undone.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Outcome:
    done: Done
    mark: int


_Answer = _Outcome | asyncio.Future[_Outcome] | None
"""What a turn has for the event it was run for: its outcome, the future of one that is not finished, or no event."""

_Turned = tuple[list[Report], object]
"""What the guest replied in one turn, and its captured writes."""


@dataclass(frozen=True, slots=True)
class ObjectStart:
    """How to construct the object that lives in a session: the START payload but for env and the time."""

    export: str
    fields: Mapping[str, object]
    props: KeptValue


class GuestSession:
    """One isolate and what is under way in it."""

    def __init__(
        self,
        code: CheckedCode,
        hooks: TurnHooks,
        *,
        isolates: Isolates,
        runner: Runner,
        history: CallHistory,
        clock: Clock,
        start: ObjectStart | None = None,
        namespaces: Iterable[str] = (),
        bindings: Mapping[str, Binding] = NO_BINDINGS,
    ) -> None:
        self.code = code
        self._namespaces = namespaces
        self._bindings = bindings
        self.exports: Mapping[str, str] = {}
        self.handlers: frozenset[str] = frozenset()
        """The handlers of the platform's own events that the object's class has; known after the start."""
        self._hooks = hooks
        self._isolates = isolates
        self._runner = runner
        self._history = history
        self._clock = clock
        self._start = start
        self._isolate: Isolate | None = None
        self._error: PerdureError | None = None
        self._last_event = 0
        self._waiting: dict[int, asyncio.Future[_Outcome]] = {}
        self._settling: dict[int, EventTurns] = {}
        self._calls: set[int] = set()  # events whose result is a value
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_resuming = False
        self._resuming: asyncio.Task[Any] | None = None  # the last such turn
        self._events = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pending = 0
        self._is_running = False
        self._invocations: dict[Invocation, None] = {}
        self._invocation: Invocation | None = None
        """Whose turn runs, or was the last one."""
        self._cpu_ns = 0
        self._long: asyncio.Task[_Answer] | None = None
        self.streams = SessionStreams(self)
        self.messages = Messages(self, hooks, runner)
        self._performing = Performing(
            hooks, self.messages, spawn=self._spawn, resume_soon=self.resume_soon, crashed=self._crashed
        )
        self._parcel: GuestParcel | None = None  # of the turn that runs now

    # ── what the owner calls ────────────────────────────────────────────────────────────────────────────────

    @property
    def is_busy(self) -> bool:
        """True while the guest has events, timers, operations or background work under way."""
        return bool(self._timer) or not self.has_only_timers

    @property
    def has_only_timers(self) -> bool:
        """True when nothing is under way but timers, if there are any."""
        under_way = self._events or self._is_running or self._waiting or self._tasks or self._pending
        return not (under_way or self.streams.is_open or self.messages.is_held)

    @property
    def has_only_own_turns(self) -> bool:
        """As `has_only_timers`, also while a turn of a timer runs: one that burns is hardly ever between two."""
        under_way = self._events or self._waiting or self._pending or self._tasks - {self._resuming}
        return not (under_way or self.streams.is_open or self.messages.is_held)

    @property
    def memory_bytes(self) -> int:
        """What the isolate holds now."""
        return self._isolate.memory_bytes if self._isolate is not None else 0

    async def boot(self) -> None:
        """Load the code, and construct the object if there is one. Raises WorkerLoadError, GuestError."""
        await self._enter(inside=True)
        await self._turn(None, "")

    async def event(
        self,
        fields: Mapping[str, object],
        *,
        payer: object = None,
        inside: bool = False,
        parcel: GuestParcel | None = None,
        is_call: bool = False,
    ) -> object:
        """Deliver one event; its result as JSON tree, once what it wrote is durable. Raises GuestError and its kin.

        `payer`: whose account its first turn goes to, for the hooks. `inside`: the guest itself caused it, so it comes
        also while a critical section is open. `parcel`: what it takes along by reference. `is_call`: it gives a value.
        """
        body = _COMPACT(fields)[1:]
        self._events += 1
        try:
            try:
                await self._enter(inside=inside)
            except BaseException:
                if parcel is not None:
                    parcel.take_back()
                raise
            self._parcel = parcel
            return await self._deliver(body, None, payer, is_call=is_call)
        finally:
            self._events -= 1

    async def event_between(self, turns: EventTurns, *, payer: object = None) -> None:
        """Deliver an event in whose first and last turn the host has something to do."""
        self._events += 1
        try:
            await self._enter(inside=False)
            try:
                fields = turns.begin()
            except BaseException:
                self._hooks.leave()
                raise
            if fields is None:
                self._hooks.leave()
            else:
                await self._deliver(_COMPACT(fields)[1:], turns, payer)
        finally:
            self._events -= 1

    async def _deliver(self, body: str, turns: EventTurns | None, payer: object, *, is_call: bool = False) -> object:
        """The gate is held, and is left when the first turn is over."""
        self._last_event += 1
        event_id = self._last_event
        if isinstance(payer, Invocation):
            self._invocations[payer] = None
        if turns is not None:
            self._settling[event_id] = turns
        if is_call:
            self._calls.add(event_id)
        try:
            payload = f'{{"e":{event_id},"now":{self._clock.now_ms()},{self._returns()}{body}'
            outcome = await self._turn(GuestOp.EVENT, payload, event_id, payer)
            if isinstance(outcome, asyncio.Future):
                outcome = await outcome
            assert outcome is not None, "the turn of an event had no outcome"
            if not self._hooks.is_clear(outcome.mark):
                try:
                    await self._hooks.confirmed(outcome.mark)
                except BaseException:
                    self.streams.abandon(outcome.done.result)
                    raise
        finally:
            self._calls.discard(event_id)
            if turns is not None:
                del self._settling[event_id]
            if isinstance(payer, Invocation):
                self._invocations.pop(payer, None)
        if outcome.done.error is not None:
            raise outcome.done.error
        return outcome.done.result

    async def convert(self, convert: Callable[[V], T], value: V) -> T:
        """`convert(value)`, beside the event loop when that takes long."""
        return await self.messages.convert(convert, value)

    def _returns(self) -> str:
        """The references that go back to the guest with this turn."""
        returned = self.messages.take_returned()
        return f'"rel":{_COMPACT(returned)},' if returned else ""

    def is_performing(self, operation_id: int) -> bool:
        """Whether an operation of the guest is under way."""
        return self._performing.is_under_way(operation_id)

    async def _enter(self, *, inside: bool) -> None:
        if not self._hooks.try_enter(inside=inside):
            await self._hooks.enter(inside=inside)
        if self._error is not None:
            self._hooks.leave()
            raise again(self._error)

    def end(self, error: PerdureError) -> None:
        """Throw the isolate away; everything under way in it fails with `error`."""
        if self._error is not None:
            return
        self._error = error
        self._drop_work(error)
        self.messages.forget(error)
        if not self._is_running:  # An isolate that runs on a thread is dropped when its turn is over.
            self._drop_isolate()

    # ── one turn ────────────────────────────────────────────────────────────────────────────────────────────

    async def _turn(
        self, op: GuestOp | None, payload: str, event_id: int | None = None, payer: object = None
    ) -> _Answer:
        """Run one turn; the input gate is held, and is left when the turn is over. `op` None is the boot."""
        self._is_running = True
        if op is GuestOp.RESUME and payer is None:  # A timer's turn: of the oldest that is under way.
            payer = next(iter(self._invocations), self._invocation)
        self._hooks.serving(payer)
        self._invocation = payer if isinstance(payer, Invocation) else None
        if self._history.is_short and self._hooks.may_be_inline:
            try:
                call = self._call(op, payload, is_inline=True)
                result = self._runner.run_inline(call, self._history, cpu_ms=self._cpu_ms())
            except InlineOverrunError as overrun:
                self._pay()
                if self._error is not None:
                    reason = self._fail(overrun)
                    self._hooks.leave()
                    raise reason from None
                self._lose_memory()
                if op is GuestOp.RESUME:  # What it would have resumed is gone, and its callers have been told.
                    self._is_running = False
                    self._hooks.leave()
                    return None
            except Exception as error:  # noqa: BLE001  # whatever ended a turn ends its isolate
                reason = self._fail(error)
                self._hooks.leave()
                raise reason from reason.__cause__
            else:
                if self._hooks.is_ready(result[1]):
                    return self._finish(result, event_id)
                self._long = shared_task(self._finish_later(result, event_id))
                return await asyncio.shield(self._long)
        # A thread cannot be stopped: the turn goes on, and is finished, even when whoever waits for it gives up.
        self._long = shared_task(self._long_turn(op, payload, event_id))
        return await asyncio.shield(self._long)

    async def _long_turn(self, op: GuestOp | None, payload: str, event_id: int | None) -> _Answer:
        try:
            call = self._call(op, payload, is_inline=False)
            result = await self._runner.run_on_thread(call, self._history, cpu_ms=self._cpu_ms())
        except asyncio.CancelledError:  # The loop is being closed; the runner has waited for the thread.
            self._fail(ObjectResetError("the turn was cancelled", retryable=True))
            self._hooks.leave()
            raise
        except Exception as error:  # noqa: BLE001  # whatever ended a turn ends its isolate
            reason = self._fail(error)
            self._hooks.leave()
            raise reason from reason.__cause__
        if self._hooks.is_ready(result[1]):
            return self._finish(result, event_id)
        return await self._finish_later(result, event_id)

    async def _finish_later(self, turned: _Turned, event_id: int | None) -> _Answer:
        """Finish a turn when the hooks are ready. Its writes are undone when that never comes."""
        has_begun = False

        def finish() -> _Answer:
            nonlocal has_begun
            has_begun = True
            return self._finish(turned, event_id)

        try:
            return await self._hooks.when_ready(finish)
        except BaseException as error:
            if has_begun:
                raise
            is_cancelled = isinstance(error, asyncio.CancelledError)
            reason = self._fail(ObjectResetError("the turn was cancelled", retryable=True) if is_cancelled else error)
            self._hooks.leave()
            if is_cancelled:
                raise
            raise reason from reason.__cause__

    def _call(self, op: GuestOp | None, payload: str, *, is_inline: bool) -> Callable[[int], _Turned]:
        """The work of a turn, to be run on any one thread: the guest's code, then the commit."""
        introduced = self._introduced() if self._isolate is None else {}

        def run(cpu_ms: int) -> _Turned:
            mark = CPU.start()
            try:
                return steps(cpu_ms)
            finally:
                self._cpu_ns = CPU.stop(mark)

        def steps(cpu_ms: int) -> _Turned:
            deadline_s = CPU.total_s() + cpu_ms / 1000
            self._hooks.begin(is_overdue=lambda: CPU.total_s() > deadline_s, is_inline=is_inline)

            def left_ms() -> int:
                """Each step has all the time of the worker's limit; while the event loop waits they share it."""
                if cpu_ms >= self.code.cpu_ms:
                    return cpu_ms
                return max(1, round((deadline_s - CPU.total_s()) * 1000))

            reports = []
            if self._isolate is None:
                reports.append(self._boot_isolate(left_ms, introduced))
            if op is not None:
                assert self._isolate is not None
                reports.append(parse_report(self._isolate.call(op, payload, cpu_ms=left_ms())))
            for report in reports:
                _check_sections(report)
                if self._settling:
                    self._settle_events(report)
            return reports, self._hooks.commit()

        return run

    def _settle_events(self, report: Report) -> None:
        for done in report.done:
            turns = self._settling.get(done.event_id)
            if turns is not None:
                turns.settle(done.error)

    def _introduced(self) -> Mapping[str, object]:
        """What a fresh isolate keeps for as long as it lives, with the services in it."""
        if self._start is not None:
            return self.messages.introduced({"props": self._start.props, "env": self.code.kept_env()})
        return self.messages.introduced({"env": self.code.kept_env()}) if self.code.services else {}

    def _boot_isolate(self, left_ms: Callable[[], int], introduced: Mapping[str, object]) -> Report:
        isolate = self._isolates.create(self.code.language, memory_bytes=self.code.memory_bytes)
        self._isolate = isolate
        isolate.host = self._hooks.host_for(self.code, isolate)
        load: dict[str, object] = {"main": self.code.main, "namespaces": sorted(self._namespaces)}
        if self._bindings:
            load["bindings"] = binding_kinds(self._bindings)
        if self._start is None:
            load.update(introduced)
        self.exports = parse_loaded(isolate.call(GuestOp.LOAD, _COMPACT(load), cpu_ms=left_ms()))
        if self._start is None:
            return Report()
        check_object_class(self._start.export, self.exports)
        fields = {"export": self._start.export, **self._start.fields, **introduced, "now": self._clock.now_ms()}
        payload = _COMPACT(fields)
        return parse_report(isolate.call(GuestOp.START, payload, cpu_ms=left_ms()))

    def _finish(self, turned: _Turned, event_id: int | None) -> _Answer:
        reports, captured = turned
        own: _Answer = None
        self._is_running = False
        try:
            mark = self._hooks.committed(captured)
            self._pay()
            if self._error is not None:  # It was ended while it ran.
                raise again(self._error)
            for report in reports[:-1]:  # The start's, when the turn had to start the guest first.
                self._absorb(report, mark, None)
            own = self._absorb(reports[-1], mark, event_id)
        except Exception as error:  # noqa: BLE001  # whatever ended a turn ends its isolate
            reason = self._fail(error)
            raise reason from reason.__cause__
        finally:
            self._hooks.leave()
        return own

    def _fail(self, error: BaseException) -> PerdureError:
        """A turn failed: the guest's memory cannot be trusted, its writes are dropped. What to tell the caller."""
        self._pay()
        self._is_running = False
        self._hooks.rollback()
        if self._error is not None:
            self._drop_isolate()
            return again(self._error)
        if not isinstance(error, PerdureError):
            cause = error
            error = InternalError(f"{type(cause).__name__} in a turn: {cause}; please report this")
            error.__cause__ = cause
        self.end(error)
        self._hooks.ended(error)
        return error

    def _crashed(self, error: PerdureError) -> None:
        """The guest's runtime was found out between its turns."""
        self.end(error)
        self._hooks.ended(error)

    def _cpu_ms(self) -> int:
        return self._hooks.cpu_ms(self.code.cpu_ms)

    def _pay(self) -> None:
        spent_ns, self._cpu_ns = self._cpu_ns, 0
        if spent_ns:
            self._hooks.spent(spent_ns)

    def _lose_memory(self) -> None:
        """An inline turn overran. Its isolate is gone; other events that were under way in it can only be told."""
        self._hooks.rollback()
        self._drop_isolate()
        lost = ObjectResetError(
            "the object was restarted because another call ran too long; its data is safe, try again", retryable=True
        )
        self._drop_work(lost)
        self.messages.forget(lost, keep=self._parcel)
        self._hooks.forgot()

    def _drop_work(self, error: PerdureError) -> None:
        """Everything under way in the guest is gone with its memory."""
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            if not waiter.done():
                waiter.set_exception(error)
        for task in self._tasks:
            task.cancel()
        self.streams.break_(error)
        self._performing.clear()
        self._is_resuming = False
        self._set_timer(None)
        self._pending = 0

    def _drop_isolate(self) -> None:
        if self._isolate is not None:
            self._isolate.close()
            self._isolate = None

    # ── what a report asks for ──────────────────────────────────────────────────────────────────────────────

    def _absorb(self, report: Report, mark: int, event_id: int | None) -> _Answer:
        own: _Answer = None
        room = GUEST_PENDING_OPERATIONS_MAX - len(self._tasks)
        mark = self._performing.begin(report.operations, mark, room=room, invocation=self._invocation)
        for done in report.done:
            if report.returned and done.event_id in self._calls and done.error is None:
                done = replace(done, result=self.messages.read_now(done.result))  # noqa: PLW2901  # the same, read
            outcome = _Outcome(done, mark)
            if done.event_id == event_id:
                own = outcome
            elif (waiter := self._waiting.pop(done.event_id, None)) is not None and not waiter.done():
                waiter.set_result(outcome)
            else:  # Its caller has given up.
                self.messages.discard(done.result)
                self.streams.abandon(done.result)
        for change in report.sections:
            self._hooks.section(change)
        if report.handlers is not None:
            self.handlers = report.handlers
        if report.released:
            self._hooks.released(report.released)
        if report.returned:
            self._performing.give_back(report.returned)
        self._pending = report.pending
        self._set_timer(report.timer_ms)
        if report.wants_turn:
            self.resume_soon()
        if own is None and event_id is not None:  # Made before the gate is left: the very next turn may finish it.
            own = self._waiting[event_id] = asyncio.get_running_loop().create_future()
            own.add_done_callback(_heard)  # Its caller may have given up.
        return own

    def _set_timer(self, delay_ms: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if delay_ms is not None:
            delay_s = max(delay_ms, GUEST_TIMER_MS_MIN) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self.resume_soon()

    def resume_soon(self) -> None:
        """Have one turn for all that is settled by then: a guest's many operations must not fill the event loop."""
        if not self._is_resuming:
            self._is_resuming = True
            self._resuming = self._spawn(self._resume())

    async def _resume(self) -> None:
        try:
            await self._enter(inside=True)
            self._is_resuming = False
            if self._isolate is None:
                self._hooks.leave()
            else:
                settled, invocation = self._performing.take_settled()
                self._parcel = None
                payload = f'{{"c":[{settled}],{self._returns()}"now":{self._clock.now_ms()}}}'
                await self._turn(GuestOp.RESUME, payload, payer=invocation)
                self._performing.forget_told()
        except PerdureError:
            return  # The object broke, now or meanwhile: `_fail` or `end` has told everybody who waited.

    def start(self, work: Coroutine[object, object, object]) -> None:
        """Work of the session's own; it ends with the guest's memory."""
        self._spawn(work)

    def _spawn(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        # Of nobody's context: whoever called this guest last has nothing to do with what the guest does next.
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def check_object_class(name: str, exports: Mapping[str, str]) -> None:
    """Raise WorkerCodeError unless `name` is a class that can run as an object."""
    kind = exports.get(name)
    if kind in {"object", "class"}:
        return
    there = ", ".join(f"`{export}` ({what})" for export, what in sorted(exports.items())) or "nothing"
    if kind is None:
        raise WorkerCodeError(
            f"no such Durable Object class: `{name}`; the worker exports {there}. Define it as "
            f"`class {name}(DurableObject)`, in JavaScript as `export class {name} extends DurableObject`"
        )
    raise WorkerCodeError(
        f"`{name}` is no Durable Object class but a {kind}; declare it as `class {name}(DurableObject)`"
    )


def _check_sections(report: Report) -> None:
    """Raise what made a critical section fail: it resets the object, and what the turn wrote is dropped (spec 1.8)."""
    for change in report.sections:
        if change.kind == "fail":
            raise change.error or GuestError("a critical section failed")


def _heard(waiter: asyncio.Future[_Outcome]) -> None:
    if not waiter.cancelled():
        waiter.exception()
