"""A body of trusted code: an instance of a user's class, in this process.

The code runs in the task of whoever called, stepped by hand: at every point where it waits for something, its turn
ends and what it wrote is committed. The input gate covers deliveries of events, not every resumption of a coroutine.
A reset interrupts coroutines that are waiting and never resumes them. Effects: tasks.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from perdure.api import (
    CURRENT_SECTION,
    Capability,
    Context,
    DurableObject,
    Returned,
    Section,
    Sent,
    TransactionSection,
    alarm_handler_or_none,
    alarm_info,
    call_alarm,
    callable_at,
    check_alarm_handler,
    is_atom,
    is_plain_method,
    rpc_method,
    value_at,
)
from perdure.clock import CPU
from perdure.errors import AbortedError, ObjectResetError, PerdureError, UsageError, again
from perdure.limits import BLOCK_CONCURRENCY_TIMEOUT_S
from perdure.objects._account import Served
from perdure.objects._actor import CURRENT, Actor
from perdure.objects._alarm_rules import set_alarm
from perdure.objects._alarm_run import AlarmRun
from perdure.objects._body_source import BodyRun, BodySource
from perdure.objects._gate_drivers import OutputDriver
from perdure.objects._lending import Lent, TrustedHolder
from perdure.objects._resets import as_perdure_error, section_overdue
from perdure.objects._section_driver import SectionDriver
from perdure.storage import Database
from perdure.web import ReadableStream, Request, Response
from perdure.wire import KvRange, SqlPage, SqlValue

if TYPE_CHECKING:
    from perdure.api import FacetCalls

T = TypeVar("T")
_LOG: Final = logging.getLogger("perdure.objects")


class _AbortSignal(BaseException):
    """Ends trusted code after `ctx.abort()`; not an Exception, so that `except Exception` lets it pass."""


class TrustedBody(TrustedHolder):
    """One instance of a class that the platform's owner wrote."""

    def __init__(
        self, actor: Actor, kind: type, *, env: object, exports: object, props: object, facets: FacetCalls
    ) -> None:
        super().__init__()
        self._actor = actor
        self._kind = kind
        self._env = env
        self.sections = SectionDriver(actor.input)
        self._context = Context(
            id=actor.identity,
            props=props,
            exports=exports,
            storage=TrustedStorage(actor, self.sections, lambda: check_alarm_handler(self._instance)),
            facets=facets,
            calls=TrustedContextCalls(self, actor),
        )
        self._instance: Any = None
        self._suspended: set[_Steps] = set()
        self._background: set[asyncio.Task[object]] = set()
        self.bodies: set[BodyRun] = set()
        self._dependents: set[Callable[[Exception], None]] = set()
        """Streams of this object's that have not ended: they keep it awake."""
        self.lent: set[Capability] = set()
        """What of this object others hold."""
        self.error: PerdureError | None = None

    async def start(self) -> None:
        """Construct the instance; `on_start` runs in a critical section."""
        token = CURRENT.set(self._actor)
        try:
            self._instance = self._kind(self._context, self._env)
        except _AbortSignal:
            raise _reason(self._actor) from None
        finally:
            CURRENT.reset(token)
        self._actor.end_turn()
        on_start = getattr(self._instance, "on_start", None)
        if on_start is not None:
            await self._run_on_start(on_start)

    async def _run_on_start(self, on_start: Callable[[], object]) -> None:
        limit = asyncio.timeout(BLOCK_CONCURRENCY_TIMEOUT_S)
        try:
            async with self.sections.section(), limit:
                await self._run(on_start, ())
        except TimeoutError as error:
            if limit.expired():
                raise _section_failure(error, is_overdue=True) from None
            raise

    async def fetch(self, request: Request, served: Served | None) -> Response:
        """Call the instance's `fetch`."""
        handler = getattr(self._instance, "fetch", None)
        if handler is None:
            raise UsageError(
                f"`{self._kind.__name__}` does not export a fetch() function: define `async def fetch(self, request)`"
            )
        answer = await self._deliver(handler, (request,), served, finish=_as_it_is)
        if not isinstance(answer, Response):
            raise UsageError(
                f"`{self._kind.__name__}.fetch` returned `{type(answer).__name__}`: return a Response, such as "
                "Response.json(value)"
            )
        if isinstance(answer.body, ReadableStream):
            self.bind(answer.body)
        return answer

    def bind(self, stream: ReadableStream) -> None:
        """Let the source of a body that this object's code has made run in turns of this object."""
        section = CURRENT_SECTION.get() if CURRENT.get() is self._actor else None
        stream.bind(lambda source: BodySource(self, source, section=section))

    def in_use(self) -> AbstractContextManager[None]:
        """While it lasts the object is not idle."""
        return self._actor.in_use()

    async def run_turns(
        self,
        handler: Callable[[], Awaitable[object]],
        served: Served | None = None,
        *,
        section: Section | None = None,
    ) -> object:
        """Run a step of something of its own, as an event; what it gives leaves once that is durable.

        `section`: the critical section that it belongs to, so that whoever waits for it there gets it.
        """
        before = CURRENT_SECTION.get()
        CURRENT_SECTION.set(section)
        try:
            is_inside = section is not None and self.sections.is_current
            return await self._deliver(handler, (), served, finish=_as_it_is, is_inside=is_inside)
        finally:
            CURRENT_SECTION.set(before)

    @contextmanager
    def while_open(self, end: Callable[[Exception], None]) -> Iterator[None]:
        """While it lasts, `end` is called when this instance is gone: something outside depends on it."""
        self._dependents.add(end)
        try:
            yield
        finally:
            self._dependents.discard(end)

    async def call(self, path: Sequence[str], sent: Sent | None, served: Served | None) -> object:
        """Call a public method with copies, or read a property; the result is a copy."""
        instance = self._instance
        if sent is None:
            return await self._deliver(
                partial(value_at, instance, path, base=DurableObject), (), served, finish=self._copied
            )
        if is_plain_method(instance, path):
            function = rpc_method(instance, path[0], base=DurableObject)
        else:  # A getter on the way is code of the object's, and runs in its turn.
            function = partial(_reach_and_call, instance, path)
        return await self._deliver(function, sent.values(), served, finish=self._copied)

    def _copied(self, value: object) -> object:
        """A result as its caller gets it. What it lends is this object's."""
        if is_atom(value):
            return value
        token = CURRENT.set(self._actor)
        try:
            returned = Returned(value)
        finally:
            CURRENT.reset(token)
        return returned.take()

    def lend(self, value: object) -> Capability:
        """The capability of a function or target of this object's."""
        return Lent(self, value)

    async def deliver_lent(
        self, handler: Callable[[], object], served: Served | None, *, section: Section | None
    ) -> object:
        """Call what this object has lent; in the critical section that it was lent in, while that is open."""
        if section is None:
            return await self._deliver(handler, (), served, finish=self._copied)
        before = CURRENT_SECTION.get()
        CURRENT_SECTION.set(section)
        try:
            return await self._deliver(
                handler, (), served, finish=self._copied, is_inside=self.sections.is_open(section)
            )
        finally:
            CURRENT_SECTION.set(before)

    async def alarm(self, run: AlarmRun, served: Served | None) -> None:
        """Call the instance's `alarm`. What it wrote last and the end of its alarm are one commit."""
        actor = self._actor

        async def handle() -> None:
            row = actor.begin_alarm(run)
            if row is None:
                return
            handler = alarm_handler_or_none(self._instance)
            if handler is None:
                run.drop()
                return
            try:
                outcome = call_alarm(handler, alarm_info(retries=row.retries, scheduled_ms=row.scheduled_ms))
                if inspect.isawaitable(outcome):
                    await outcome
            except (Exception, asyncio.CancelledError):
                run.fail(now_ms=actor.clock.now_ms())
                raise
            run.finish()

        await self._deliver(handle, (), served, finish=_as_it_is)

    @property
    def can_start_facets(self) -> bool:
        """Whether its class says how to start a facet by name."""
        return callable(getattr(self._kind, "start_facet", None))

    async def start_facet(self, name: str) -> object:
        """What the instance says of the facet to be started."""
        CURRENT.set(self._actor)  # In the task that starts the facet, as when this object's code had called it.
        answer = self._instance.start_facet(name)
        return await answer if inspect.isawaitable(answer) else answer

    async def _deliver(
        self,
        handler: Callable[..., object],
        arguments: Sequence[object],
        served: Served | None,
        *,
        finish: Callable[[object], object],
        is_inside: bool = False,
    ) -> object:
        """Run `handler` when it is its turn; what it answers leaves once what was written before is durable.

        `is_inside`: it belongs to a critical section that is open.
        """
        gate, output = self._actor.input, self._actor.output
        if not gate.try_enter(inside=is_inside):
            await gate.enter(inside=is_inside)
        try:
            # Finished before the wait: a later event, whose writes nothing confirms, may change what was returned.
            result = finish(await self._run(handler, arguments, leave=gate.leave, served=served))
        except Exception as error:
            with suppress(AttributeError):  # A class of errors may have no room for it.
                error.remote = True  # type: ignore[attr-defined]  # as the reference system marks what a callee threw
            if not output.gate.is_open:  # An error tells of what was written, too.
                await output.wait()
            raise
        if not output.gate.is_open:
            await output.wait()
        return result

    async def _run(
        self,
        handler: Callable[..., object],
        arguments: Sequence[object],
        *,
        leave: Callable[[], None] | None = None,
        served: Served | None = None,
    ) -> object:
        return await _Steps(self, handler, arguments, leave, served)

    def discard(self, error: PerdureError) -> None:
        """Interrupt what waits; what runs right now ends at its next await. What was lent is lent no more."""
        self.error = error
        self.sections.break_(error)
        self.close_all()
        for steps in list(self._suspended):
            steps.interrupt()
        for end in list(self._dependents):
            end(error)
        for source in list(self.bodies):
            source.discard(error)
        for task in self._background:
            task.cancel()

    @property
    def is_trusted(self) -> bool:
        return True

    @property
    def is_busy(self) -> bool:
        return bool(self._suspended or self._background or self.bodies or self.lent)

    @property
    def has_only_timers(self) -> bool:
        return False  # Its timers are the event loop's: the platform knows only what was given to `wait_until`.

    @property
    def is_in_turn(self) -> bool:
        return False

    @property
    def memory_bytes(self) -> int:
        return 0

    @property
    def actor(self) -> Actor:
        return self._actor

    def suspend(self, steps: _Steps) -> None:
        """An event waits for something outside."""
        self._suspended.add(steps)

    def resume(self, steps: _Steps) -> None:
        """The event goes on."""
        self._suspended.discard(steps)

    def spawn(self, work: Awaitable[object]) -> None:
        """Background work that keeps the object awake; failures go to the log."""
        task = asyncio.ensure_future(self._background_work(work))
        self._background.add(task)

        def ended(task: asyncio.Task[object]) -> None:
            self._background.discard(task)
            if inspect.iscoroutine(work):
                work.close()  # It was cancelled before it began: the interpreter would complain.

        task.add_done_callback(ended)

    async def _background_work(self, work: Awaitable[object]) -> None:
        try:
            await _Steps(self, lambda: work, (), None, None)
        except _AbortSignal:
            return  # The object has been reset; nobody waits for this.
        except Exception:  # noqa: BLE001  # user code: its failure is logged and ends here (spec 1.9)
            if self._actor.error is not None:
                return
            _LOG.exception("work given to wait_until failed", extra={"guest": self._actor.label})


class _Steps:
    """One delivery to trusted code, awaitable; steps the coroutine so that each of its turns has an end."""

    __slots__ = ("_arguments", "_body", "_handler", "_interrupted", "_leave", "_served", "_task")

    def __init__(
        self,
        body: TrustedBody,
        handler: Callable[..., object],
        arguments: Sequence[object],
        leave: Callable[[], None] | None,
        served: Served | None,
    ) -> None:
        self._body = body
        self._served = served
        self._handler = handler
        self._arguments = arguments
        self._leave = leave
        self._task: asyncio.Task[object] | None = None
        self._interrupted = False

    def interrupt(self) -> None:
        """The object was reset while this waited."""
        self._interrupted = True
        if self._task is not None:
            self._task.cancel()

    def __await__(self) -> Generator[object, object, object]:
        actor = self._body.actor
        try:
            coroutine = self._first_step(actor)
            if not inspect.isawaitable(coroutine):
                return coroutine
            return (yield from self._drive(actor, coroutine))
        finally:
            self._leave_gate()

    def _leave_gate(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None and self._body.actor.error is None:
            leave()

    def _first_step(self, actor: Actor) -> object:
        token = CURRENT.set(actor)
        mark = CPU.start()
        try:
            result = self._handler(*self._arguments)
        except _AbortSignal:
            raise _reason(actor) from None
        finally:
            CURRENT.reset(token)
            if not inspect.iscoroutinefunction(self._handler):
                actor.end_turn()
            actor.charge(CPU.stop(mark), served=self._served)
        return result

    def _drive(self, actor: Actor, awaitable: Awaitable[object]) -> Generator[object, object, object]:
        coroutine = awaitable if inspect.iscoroutine(awaitable) else _as_coroutine(awaitable)
        value: object = None
        failure: BaseException | None = None
        while True:
            token = CURRENT.set(actor)
            mark = CPU.start()
            try:
                waits_for = coroutine.send(value) if failure is None else coroutine.throw(failure)
            except StopIteration as stop:
                return stop.value
            except _AbortSignal:
                raise _reason(actor) from None
            finally:
                CURRENT.reset(token)
                _end_turn(actor, coroutine)
                actor.charge(CPU.stop(mark), served=self._served)
                self._leave_gate()
            value = failure = None
            try:
                value = yield from self._wait(actor, coroutine, waits_for)
            except GeneratorExit:
                _close(coroutine)
                raise
            except BaseException as error:  # noqa: BLE001  # it is thrown where the user's code waits
                failure = error
            failure = (yield from self._hold(actor, coroutine)) or failure
            if self._interrupted or actor.error is not None:
                _close(coroutine)
                raise _reason(actor) from None

    def _hold(
        self, actor: Actor, coroutine: Coroutine[object, object, object]
    ) -> Generator[object, object, BaseException | None]:
        """While a critical section is open to which the coroutine does not belong; what came for it meanwhile."""
        failure: BaseException | None = None
        sections = self._body.sections
        while not (self._interrupted or actor.error is not None or sections.is_current):
            try:
                for waits_for in sections.change().__await__():
                    yield from self._wait(actor, coroutine, waits_for)
            except GeneratorExit:
                _close(coroutine)
                raise
            except BaseException as error:  # noqa: BLE001  # as above
                failure = error
        return failure

    def _wait(
        self, actor: Actor, coroutine: Coroutine[object, object, object], waits_for: object
    ) -> Generator[object, object, object]:
        if actor.error is not None:  # It was reset by its own turn: it never runs again.
            _close(coroutine)
            raise again(actor.error)
        self._task = asyncio.current_task()
        self._body.suspend(self)
        try:
            return (yield waits_for)
        finally:
            self._body.resume(self)
            if self._interrupted and self._task is not None:
                self._task.uncancel()


def _end_turn(actor: Actor, coroutine: Coroutine[object, object, object]) -> None:
    try:
        actor.end_turn()
    except PerdureError:
        _close(coroutine)
        raise


def _close(coroutine: Coroutine[object, object, object]) -> None:
    """Never resume `coroutine`. Its `finally` blocks run, without storage; what they raise concerns nobody."""
    try:
        coroutine.close()
    except _AbortSignal:
        return
    except Exception:  # noqa: BLE001  # user code of an object that is gone: the reset is what its callers are told
        _LOG.debug("code of an object that was reset failed while it was closed", exc_info=True)


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable


def _reason(actor: Actor) -> PerdureError:
    return again(actor.error or ObjectResetError("the object was reset"))


class TrustedStorage:
    """`StorageCalls` for trusted code: method calls on the open database.

    A write outside a delivery (in a task the code made) opens a unit too; it is committed by the loop's next step.
    """

    __slots__ = ("_actor", "_check_alarm_handler", "_sections")

    def __init__(self, actor: Actor, sections: SectionDriver, check_alarm_handler: Callable[[], None]) -> None:
        self._actor = actor
        self._sections = sections
        self._check_alarm_handler = check_alarm_handler

    @property
    def channels(self) -> None:
        """Trusted code stores names and ids, and gets its stubs anew."""

    def kv_get(self, key: str) -> str | None:
        return self._actor.database.kv_get(key)

    def kv_put(self, key: str, value: str) -> None:
        self._writing().kv_put(key, value)

    def kv_delete(self, key: str) -> bool:
        return self._writing().kv_delete(key)

    def kv_get_many(self, keys: Sequence[str]) -> tuple[list[tuple[str, str]], Sequence[str]]:
        ordered = sorted(set(keys))
        page, asked = self._actor.database.kv_get_many(ordered)
        return page, ordered[asked:]

    def kv_write(self, puts: Sequence[tuple[str, str]], deletes: Sequence[str], *, is_confirmed: bool) -> int:
        return self._writing().kv_write(puts, deletes, is_confirmed=is_confirmed)

    def kv_list(self, wanted: KvRange) -> list[tuple[str, str]]:
        return self._actor.database.kv_list(wanted)

    def sql_exec(self, query: str, bindings: Sequence[SqlValue]) -> SqlPage:
        return self._writing().sql_exec(query, bindings)

    def sql_next(self, cursor_id: int) -> SqlPage:
        return self._writing().sql_next(cursor_id)

    def sql_close(self, cursor_id: int) -> None:
        self._actor.database.sql_close(cursor_id)

    def database_size(self) -> int:
        return self._actor.database.database_size

    def begin(self, *, is_sync: bool) -> int:
        return self._writing().begin(is_sync=is_sync)

    def release(self, number: int) -> None:
        self._actor.database.release(number)
        self._end_turn_soon()

    def roll_back(self, number: int) -> None:
        self._actor.database.roll_back(number)
        self._end_turn_soon()

    def delete_all(self, *, keeps_alarm: bool) -> None:
        self._actor.check_may_delete_all()
        self._writing().delete_all(keeps_alarm=keeps_alarm)

    def sync(self) -> Awaitable[None]:
        self._actor.end_turn()
        output = self._actor.output
        return Sync(output, output.gate.mark)

    async def bookmark(self, act: str, argument: str | int | None) -> str:
        self._actor.end_turn()
        return await self._actor.bookmark(act, argument)

    def alarm_get(self) -> int | None:
        return self._actor.database.alarm.get()

    def alarm_set(self, at_ms: int | None, *, is_confirmed: bool) -> None:
        if at_ms is not None:
            self._check_alarm_handler()
        self._writing()
        set_alarm(self._actor, at_ms, is_confirmed=is_confirmed)

    def now_ms(self) -> int:
        return self._actor.clock.now_ms()

    def section(self) -> AbstractAsyncContextManager[TransactionSection]:
        return self._transaction_section()

    @asynccontextmanager
    async def _transaction_section(self) -> AsyncIterator[TransactionSection]:
        async with self._sections.section() as section:
            overdue = asyncio.get_running_loop().call_later(
                BLOCK_CONCURRENCY_TIMEOUT_S, self._actor.break_, section_overdue()
            )
            try:
                if not self._actor.in_transaction:  # Else they wait for the end of the one that is open.
                    await self._actor.wait_for_changes()  # They would wait for the transaction, and it for them.
                self._actor.end_turn()  # What was written before is no part of the transaction.
                self._actor.end_deletions()
                yield TrustedTransactionSection(self._sections, section)
            finally:
                overdue.cancel()

    def _writing(self) -> Database:
        database = self._actor.database
        if database.in_transaction and not self._sections.is_current:
            raise UsageError(
                "a transaction() of this object is open, and this task was started outside of it: "
                "write when it has ended, or inside it"
            )
        if CURRENT.get() is not self._actor or not database.in_unit:
            self._end_turn_soon()
        return database

    def _end_turn_soon(self) -> None:
        """A task that the code made has no end of a turn of its own."""
        asyncio.get_running_loop().call_soon(self._end_turn)

    def _end_turn(self) -> None:
        try:
            self._actor.end_turn()
        except PerdureError:
            _LOG.warning("a commit failed; the object was reset", extra={"guest": self._actor.label})


class TrustedTransactionSection:
    """`TransactionSection` of trusted code."""

    __slots__ = ("_section", "_sections")

    def __init__(self, sections: SectionDriver, section: Section) -> None:
        self._sections = sections
        self._section = section

    async def until_innermost(self) -> None:
        await self._sections.until_innermost(self._section)


class Sync:
    """Awaitable: until what was written before it was made is durable."""

    __slots__ = ("_mark", "_output")

    def __init__(self, output: OutputDriver, mark: int) -> None:
        self._output = output
        self._mark = mark

    def __await__(self) -> Generator[object, object, None]:
        yield from self._output.wait_for_all(self._mark).__await__()


class TrustedContextCalls:
    """`ContextCalls` for trusted code."""

    __slots__ = ("_actor", "_body")

    def __init__(self, body: TrustedBody, actor: Actor) -> None:
        self._body = body
        self._actor = actor

    def wait_until(self, work: Awaitable[object]) -> None:
        self._body.spawn(work)

    def abort(self, reason: str, *, retry_alarm: bool) -> NoReturn:
        self._actor.break_(AbortedError(reason, retry_alarm=retry_alarm))
        raise _AbortSignal(reason)

    async def block_concurrency_while(self, callback: Callable[[], Awaitable[T]]) -> T:
        async with self._body.sections.section():
            limit = asyncio.timeout(BLOCK_CONCURRENCY_TIMEOUT_S)
            try:
                async with limit:
                    return await callback()
            except GeneratorExit:
                raise
            except BaseException as error:  # whatever ends a section badly resets the object (spec 1.8)
                self._actor.break_(_section_failure(error, is_overdue=limit.expired()))
                if isinstance(error, asyncio.CancelledError):
                    raise  # Whoever cancelled the call waits for this.
                raise _AbortSignal from error


def _section_failure(error: BaseException, *, is_overdue: bool) -> PerdureError:
    """Why the object is reset after a critical section that did not end well (spec 1.8)."""
    if not is_overdue:
        return as_perdure_error(error)
    return section_overdue()


def _as_it_is(value: object) -> object:
    return value


def _reach_and_call(instance: object, path: Sequence[str], *arguments: object) -> object:
    return callable_at(instance, path, base=DurableObject)(*arguments)
