"""Isolates that run a script instead of a guest, a runner without threads, hooks that write down what happened."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from perdure.api import Target
from perdure.errors import PerdureError, UsageError
from perdure.isolates import CallHistory, GuestHost, InlineOverrunError, Isolate, Isolates, Runner
from perdure.isolates._runner import Turn
from perdure.testing import VirtualClock
from perdure.wire import GuestOp, from_expression, to_expression
from perdure.workers import CheckedCode, GuestSession, ObjectStart, Operation, SectionChange, check_code
from perdure.workers._references import GuestParcel, Read
from perdure.workers._streams import SessionStreams

T = TypeVar("T")
V = TypeVar("V")
Script = Callable[[int, dict[str, Any]], Any]
"""What a guest answers: its op and payload in, its report out (or text, sent as it is)."""

CODE = check_code({"main_module": "app.py", "modules": {"app.py": ""}})
LOADED = {"ok": {"exports": {"default": "entrypoint", "App": "object", "Plain": "class", "run": "function"}}}


def done(event_id: int, result: object = None, **more: object) -> dict[str, object]:
    """The report of a turn in which one event finished."""
    return {"d": [[event_id, 1, result]], **more}


class FakeRunner(Runner):
    """Says where each turn ran. A turn "on a thread" ends when `hold` is set, if there is one."""

    def __init__(self) -> None:
        super().__init__(clock=VirtualClock())
        self.places: list[str] = []
        self.overruns = 0
        self.hold: asyncio.Event | None = None
        self.is_on_thread = False

    def run_inline(self, turn: Turn[T], history: CallHistory, *, cpu_ms: int) -> T:
        self.places.append("inline")
        result = turn(25)
        if self.overruns:
            self.overruns -= 1
            history.record_overrun()
            raise InlineOverrunError("too long")
        return result

    async def run_on_thread(self, turn: Turn[T], history: CallHistory, *, cpu_ms: int) -> T:
        self.places.append("thread")
        self.is_on_thread = True
        try:
            result = turn(cpu_ms)
            await asyncio.sleep(0)
            if self.hold is not None:
                await self.hold.wait()
        finally:
            self.is_on_thread = False
        return result


class FakeIsolate:
    def __init__(self, script: Script, runner: FakeRunner) -> None:
        self.language = "python"
        self.host: GuestHost = None  # type: ignore[assignment]  # set by the session
        self.is_alive = True
        self.memory_bytes = 1000
        self.calls: list[tuple[int, dict[str, Any]]] = []
        self._script = script
        self._runner = runner

    def call(self, op: int, payload: str, *, cpu_ms: int) -> str:
        assert self.is_alive, "a dead isolate was called"
        fields = json.loads(payload)
        self.calls.append((op, fields))
        answer = self._script(op, fields)
        if answer is None and op == GuestOp.LOAD:
            answer = LOADED
        return answer if isinstance(answer, str) else json.dumps({} if answer is None else answer)

    def close(self) -> None:
        assert not self._runner.is_on_thread, "an isolate was closed under its thread"
        self.is_alive = False


class FakeIsolates(Isolates):
    def __init__(self, script: Script, runner: FakeRunner) -> None:
        super().__init__()
        self.made: list[FakeIsolate] = []
        self._script = script
        self._runner = runner

    def create(self, language: str, *, memory_bytes: int) -> Isolate:
        isolate = FakeIsolate(self._script, self._runner)
        self.made.append(isolate)
        return isolate

    @property
    def alive(self) -> int:
        return sum(isolate.is_alive for isolate in self.made)


class FakeHooks:
    """A lock for a gate; every turn writes one unit, durable when `durable` is set."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.sections: list[SectionChange] = []
        self.operations: list[Operation] = []
        self.lock = asyncio.Lock()
        self.durable = asyncio.Event()
        self.durable.set()
        self.marks = 0
        self.cpu_ms_max = 10**9
        self.payers: list[object] = []
        self.spent_ns = 0
        self.end_when_paid: Callable[[], None] | None = None
        self.error: PerdureError | None = None
        self.perform_result: Any = None
        self.section_error: PerdureError | None = None
        self.may_be_inline = True

    def host_for(self, code: CheckedCode, isolate: Isolate) -> GuestHost:
        self.log.append("host")
        return self  # type: ignore[return-value]  # scripts make no host calls

    def try_enter(self, *, inside: bool) -> bool:
        return False

    async def enter(self, *, inside: bool) -> None:
        await self.lock.acquire()
        self.log.append("enter inside" if inside else "enter")

    def leave(self) -> None:
        self.log.append("leave")
        self.lock.release()

    def begin(self, *, is_overdue: Callable[[], bool], is_inline: bool) -> None:
        self.log.append("begin")

    def cpu_ms(self, cpu_ms: int) -> int:
        return min(cpu_ms, self.cpu_ms_max)

    def serving(self, payer: object) -> None:
        self.payers.append(payer)

    def spent(self, cpu_ns: int) -> None:
        self.spent_ns += cpu_ns
        if self.end_when_paid is not None:
            self.end_when_paid()

    def commit(self) -> object:
        self.log.append("commit")
        return None

    def is_ready(self, captured: object) -> bool:
        return True

    async def when_ready(self, finish: Callable[[], T]) -> T:
        return finish()

    def committed(self, captured: object) -> int:
        self.log.append("committed")
        self.marks += 1
        return self.marks

    def rollback(self) -> None:
        self.log.append("rollback")

    def is_clear(self, mark: int) -> bool:
        return self.durable.is_set()

    async def confirmed(self, mark: int) -> None:
        await self.durable.wait()
        self.log.append(f"confirmed {mark}")

    def announced(self, operation: Operation, mark: int) -> int:
        return mark

    async def perform(self, operation: Operation, mark: int) -> object:
        self.operations.append(operation)
        if isinstance(self.perform_result, asyncio.Future):
            return await self.perform_result
        if isinstance(self.perform_result, BaseException):
            raise self.perform_result
        return self.perform_result

    async def serve(self, event: str, deliver: Callable[[object], Awaitable[T]]) -> T:
        self.log.append(f"serve {event}")
        return await deliver(None)

    def channel(self, what: object, fields: object, read: Read) -> Target:
        raise UsageError("there are no channels here")

    def section(self, change: SectionChange) -> None:
        self.sections.append(change)
        if change.kind == "fail" and change.error is not None:
            raise change.error

    def released(self, stubs: Sequence[int]) -> None:
        self.log.append(f"released {list(stubs)}")

    def forgot(self) -> None:
        self.log.append("forgot")

    def ended(self, error: PerdureError) -> None:
        self.log.append("ended")
        self.error = error


class OneSession:
    """A session for what is asked in messages that take no streams along."""

    def __init__(self) -> None:
        self.streams = SessionStreams(self)

    async def event(
        self, fields: object, *, payer: object = None, inside: bool = False, parcel: GuestParcel | None = None
    ) -> object:
        raise AssertionError("nothing streams here")

    async def convert(self, convert: Callable[[V], T], value: V) -> T:
        return convert(value)

    def read_kept(self, tree: object) -> object:
        return from_expression(tree)

    async def write(self, operation: Operation, value: object) -> object:
        return to_expression(value)

    def start(self, work: object) -> None:
        raise AssertionError("nothing streams here")


class Stage:
    """A session with everything around it."""

    def __init__(self, script: Script, *, start: ObjectStart | None = None, is_short: bool = True) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.runner = FakeRunner()
        self.isolates = FakeIsolates(script, self.runner)
        self.hooks = FakeHooks()
        self.history = CallHistory()
        if is_short:
            self.history.record(0)
            self.history.record(0)
        self.session = GuestSession(
            CODE,
            self.hooks,
            isolates=self.isolates,
            runner=self.runner,
            history=self.history,
            clock=self.clock,
            start=start,
        )

    async def booted(self) -> Stage:
        await self.session.boot()
        self.hooks.log.clear()
        self.runner.places.clear()
        return self

    def spawn(self, fields: dict[str, object] | None = None) -> asyncio.Task[object]:
        """An event under way."""
        return asyncio.get_running_loop().create_task(self.session.event(fields or {"k": "call"}))


async def steps(count: int = 10) -> None:
    """Let whatever is ready run."""
    for _ in range(count):
        await asyncio.sleep(0)
