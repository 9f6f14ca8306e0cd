"""Values and objects on our side, as hooks; what user code gives and gets is converted here.

Effects: none (the session it works for starts tasks).
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Callable, Coroutine
from typing import Any, Protocol

from perdure.api import Handle, RpcStub, is_function, target_of
from perdure.capnweb._hooks import Box, FailedHook, Hook, MapBudget, PendingHook
from perdure.capnweb._payload import Payload, Vacancy, copy_value
from perdure.capnweb._references import Path
from perdure.capnweb._streams import Sink, ValueStream, WritableStream
from perdure.capnweb._stubs import Caller, PeerPromise, PeerStub, caller_of, hook_and_path
from perdure.capnweb._targets import NotAFunctionError, dotted, find, is_target
from perdure.capnweb._work import Work
from perdure.errors import OverloadedError, UsageError
from perdure.web import Request, Response


class Side(Caller, Protocol):
    """The session, as the hooks on our side see it."""

    def spawn(self, work: Coroutine[Any, Any, Hook], box: Box) -> None:
        """Run `work` in a task of its own, in order; what it gives, or its failure, goes into the box."""
        ...

    async def deliver(self, work: Callable[[], Coroutine[Any, Any, Any]], section: object) -> Any:  # noqa: ANN401  # what it gives
        """Run user code as an event of the object that it belongs to, in `section` while that is open."""
        ...

    def section(self) -> object:
        """The critical section that user code is in now."""
        ...

    def dispose_target(self, target: object) -> None:
        """The last reference to an object of ours has gone."""
        ...

    def apply_map(
        self, value: object, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget
    ) -> Hook:
        """Apply a recorded function to a value that is there."""
        ...

    shared_targets: dict[int, SharedTarget]
    work: Work  # what the session may still do for its peer


class SharedTarget:
    """One object of ours, and how many hooks there are for it."""

    __slots__ = ("holders", "section", "target")

    def __init__(self, target: object, section: object) -> None:
        self.target = target
        self.section = section  # that it was passed in: what calls it back belongs to that
        self.holders = 0


class TargetHook(Hook):
    """An object of ours, or a function."""

    __slots__ = ("_is_disposed", "_shared", "_side")

    def __init__(self, side: Side, target: object) -> None:
        self._side = side
        self._shared = side.shared_targets.setdefault(id(target), SharedTarget(target, side.section()))
        self._shared.holders += 1
        self._is_disposed = False

    @property
    def identity(self) -> object:
        """The same for every hook of the same object."""
        return self._shared

    def call(self, path: Path, arguments: Payload) -> Hook:
        promise = PendingHook.new()
        self._side.spawn(self._deliver(path, arguments, self.dup()), promise.box)
        return promise

    async def _deliver(self, path: Path, arguments: Payload, own: Hook) -> Hook:
        """`own` keeps the target until then: the peer may release it meanwhile."""
        try:
            await arguments.filled()
            forward, result = await self._side.deliver(lambda: self._run(path, arguments), self._shared.section)
            if forward is not None:
                return await self._forward_call(forward[0], forward[1], arguments)
            return ValueHook(self._side, await result.filled())
        finally:
            arguments.dispose()
            own.dispose()

    async def _forward_call(self, stub: Handle, rest: Path, arguments: Payload) -> Hook:
        """Call a stub that was found on the way: of the peer's, or of an object, a sandbox, a binding."""
        if isinstance(stub, PeerStub):
            hook, before = hook_and_path(stub)
            return hook.call((*before, *rest), copy_of(self._side, arguments))
        result = await target_of(stub).call([str(name) for name in rest], arguments.value)
        return ValueHook(self._side, await take(self._side, result, is_moved=True).filled())

    async def _run(self, path: Path, arguments: Payload) -> tuple[Any, Payload]:
        """Within a turn of the object: the result, converted before anything else runs."""
        found, rest = find(self._shared.target, path)
        if isinstance(found, Handle):
            return (found, rest), Payload()
        if not is_function(found):
            raise NotAFunctionError(f'"{dotted(path)}" is not a function')
        result = found(*arguments.value)  # type: ignore[operator]  # just asked
        if inspect.isawaitable(result):
            result = await result
        return None, take(self._side, result, is_moved=True, owner=arguments)

    def get(self, path: Path) -> Hook:
        promise = PendingHook.new()
        self._side.spawn(self._read(path, self.dup()), promise.box)
        return promise

    async def _read(self, path: Path, own: Hook) -> Hook:
        async def read() -> tuple[Any, Payload]:
            found, rest = find(self._shared.target, path)
            if isinstance(found, Handle) and (rest or isinstance(found, PeerStub)):
                return (found, rest), Payload()
            if inspect.isawaitable(found):
                found = await found
            return None, take(self._side, found, is_moved=False)

        try:
            if not path:
                raise NotAFunctionError("this is a stub, not a promise: it has no value that could be awaited")
            forward, result = await self._side.deliver(read, self._shared.section)
            if forward is not None:
                return await self._forward_get(forward[0], forward[1])
            return ValueHook(self._side, await result.filled())
        finally:
            own.dispose()

    async def _forward_get(self, stub: Handle, rest: Path) -> Hook:
        if isinstance(stub, PeerStub):
            hook, before = hook_and_path(stub)
            return hook.get((*before, *rest)) if (*before, *rest) else hook.dup()
        value = await target_of(stub).get([str(name) for name in rest])
        return ValueHook(self._side, await take(self._side, value, is_moved=True).filled())

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        read = self.get(path)
        mapped = read.map((), captures, instructions, budget)
        read.dispose()
        return mapped

    def dup(self) -> Hook:
        return TargetHook(self._side, self._shared.target)

    async def pull(self) -> Payload:
        raise NotAFunctionError("this is a stub, not a promise: it has no value that could be awaited")

    def dispose(self) -> None:
        if self._is_disposed:
            return
        self._is_disposed = True
        self._shared.holders -= 1
        if self._shared.holders == 0:
            self._side.shared_targets.pop(id(self._shared.target), None)
            self._side.dispose_target(self._shared.target)


class SinkHook(Hook):
    """A stream of ours that the peer writes into."""

    __slots__ = ("_side", "sink")

    def __init__(self, side: Side, sink: Sink) -> None:
        self._side = side
        self.sink = sink

    def call(self, path: Path, arguments: Payload) -> Hook:
        promise = PendingHook.new()
        self._side.spawn(self._write(path, arguments), promise.box)
        return promise

    async def _write(self, path: Path, arguments: Payload) -> Hook:
        try:
            values = (await arguments.filled()).value
            match path, values:
                case ("write",), [chunk, *_]:
                    await self.sink.write(chunk)
                case ("close",), _:
                    await self.sink.close()
                case ("abort",), _:
                    await self.sink.abort(values[0] if values else None)
                case _:
                    raise UsageError(f"a WritableStream has write, close and abort, and no `{dotted(path)}`")
        finally:
            arguments.dispose()
        return ValueHook(self._side, Payload())

    def get(self, path: Path) -> Hook:
        return FailedHook(UsageError("a WritableStream has no properties over RPC"))

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        for each in captures:
            each.dispose()
        return FailedHook(UsageError("a WritableStream has no map()"))

    def dup(self) -> Hook:
        return self

    async def pull(self) -> Payload:
        raise UsageError("a WritableStream is no promise")

    def dispose(self) -> None:
        if (dispose := getattr(self.sink, "dispose", None)) is not None:
            dispose()


class ValueHook(Hook):
    """A value that is there, with the stubs in it."""

    __slots__ = ("_is_disposed", "_payload", "_side")

    def __init__(self, side: Side, payload: Payload) -> None:
        assert not payload.vacancies, "a value is there when its promises are kept"
        self._side = side
        self._payload = payload
        self._is_disposed = False

    @property
    def value(self) -> object:
        """The value itself."""
        return self._payload.value

    @property
    def values(self) -> int:
        """How many it is made of."""
        return self._payload.values

    def call(self, path: Path, arguments: Payload) -> Hook:
        try:
            stub, rest = self._find(path)
        except Exception as error:  # noqa: BLE001  # it is told by the hook
            arguments.dispose()
            return FailedHook(error)
        if isinstance(stub, PeerStub):
            hook, before = hook_and_path(stub)
            return hook.call((*before, *rest), arguments)
        arguments.dispose()
        return FailedHook(NotAFunctionError(f'"{dotted(path)}" is not a function'))

    def get(self, path: Path) -> Hook:
        try:
            found, rest = self._find(path)
            if isinstance(found, PeerStub) and rest:
                hook, before = hook_and_path(found)
                return hook.get((*before, *rest))
            return ValueHook(self._side, self._copy(found))
        except Exception as error:  # noqa: BLE001  # as above
            return FailedHook(error)

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> Hook:
        try:
            found, rest = self._find(path)
        except Exception as error:  # noqa: BLE001  # as above
            return FailedHook(error).map(path, captures, instructions, budget)
        if isinstance(found, PeerStub) and rest:
            hook, before = hook_and_path(found)
            return hook.map((*before, *rest), captures, instructions, budget)
        return self._side.apply_map(found, captures, instructions, budget)

    def _find(self, path: Path) -> tuple[object, Path]:
        if self._is_disposed:
            raise UsageError("RPC stub used after being disposed")
        return find(self._payload.value, path)

    def dup(self) -> Hook:
        return self.get(())

    async def pull(self) -> Payload:
        await self._side.work.turn()
        if self._is_disposed:
            raise UsageError("RPC promise used after being disposed")
        return self._copy(self._payload.value)

    def _copy(self, value: object) -> Payload:
        self._side.work.charge(1)  # Nothing more is copied once the budget is used up.
        copied = take(self._side, value, is_moved=False, owner=self._payload)
        try:
            self._side.work.charge(copied.values)
        except OverloadedError:
            copied.dispose()
            raise
        return copied

    def dispose(self) -> None:
        if not self._is_disposed:
            self._is_disposed = True
            self._payload.dispose()


def take(side: Side, value: object, *, is_moved: bool, owner: Payload | None = None) -> Payload:
    """A copy of what user code gave, in which objects and functions are stubs.

    `is_moved`: the stubs in it are the payload's now, and not its giver's. `owner`: who has its streams until now.
    """
    payload = Payload()

    def convert(container: Any, key: str | int, item: Any) -> bool:  # noqa: ANN401  # user data
        if isinstance(item, PeerPromise):
            _vacate(payload, container, key, item, is_moved=is_moved)
        elif isinstance(item, PeerStub):
            stub = item.dup()
            if is_moved:
                item.close()  # An argument may be a result, too: then its call closes it once more.
            payload.owned.append(stub.close)
            container[key] = stub
        elif isinstance(item, ValueStream | WritableStream):
            _take_stream(payload, item, owner)
            container[key] = item
        elif is_target(item):
            if isinstance(item, RpcStub):
                item = _own_stub(item, is_moved=is_moved)
            stub = PeerStub(TargetHook(side, item), side)
            payload.owned.append(stub.close)
            container[key] = stub
        elif isinstance(item, Request | Response):
            _take_stream(payload, item.body, owner)
            container[key] = item
        elif isinstance(item, AsyncIterable):
            _take_stream(payload, item, owner)
            container[key] = ValueStream(item)
        else:
            return False
        return True

    try:
        payload.root, payload.values = copy_value(value, convert)
    except BaseException:
        payload.dispose()
        raise
    return payload


def _own_stub(stub: RpcStub, *, is_moved: bool) -> RpcStub:
    """A stub for the session alone, which closes it when its peer has released it."""
    own = stub.dup()
    if is_moved:
        stub.close()
    return own


def _take_stream(payload: Payload, stream: object, owner: Payload | None) -> None:
    """There is one of it: it goes from its owner, if it has one, to the copy."""
    if owner is None:
        return
    taken = [each for each in owner.streams if each[0] is stream]
    owner.streams = [each for each in owner.streams if each[0] is not stream]
    payload.streams += taken


def _vacate(payload: Payload, container: Any, key: str | int, promise: PeerPromise, *, is_moved: bool) -> None:  # noqa: ANN401
    hook, path = hook_and_path(promise)
    own = hook.dup()

    async def fill() -> Payload:
        return await (own.get(path) if path else own).pull()

    payload.owned.append(own.dispose)
    container[key] = None
    payload.vacancies.append(Vacancy(container, key, fill, promise=PeerPromise(own, caller_of(promise), path)))
    if is_moved:
        promise.close()


def copy_of(side: Side, payload: Payload) -> Payload:
    """One more of a payload whose promises are kept."""
    copied = take(side, payload.value, is_moved=False, owner=payload)
    copied.size = payload.size
    return copied
