"""What parsed expressions mean: references become stubs, streams and calls that are under way; `.map()` is applied.

Effects: none (the session it works for starts tasks).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from perdure.capnweb._hooks import FailedHook, Hook, MapBudget, PendingHook
from perdure.capnweb._payload import Payload, Vacancy
from perdure.capnweb._reader import MalformedError, read_expression
from perdure.capnweb._references import (
    Collected,
    Introduced,
    Mapped,
    Own,
    Parsed,
    Place,
    ReadableEnd,
    Reference,
    Streamed,
    WritableEnd,
)
from perdure.capnweb._streams import ValueStream, WritableStream
from perdure.capnweb._stubs import PeerStub
from perdure.capnweb._values import Side, ValueHook, take
from perdure.errors import LimitExceededError, OverloadedError
from perdure.web import ReadableStream


class Scope(Protocol):
    """What the ids of an expression stand for. Hooks are given as they are: who keeps one makes a `dup`."""

    def own(self, number: int) -> Hook: ...
    def imported(self, reference: Introduced) -> Hook:
        """The hook is the receiver's: one for each time the peer introduced it."""
        ...

    def readable(self, end: ReadableEnd) -> ValueStream: ...
    def writable(self, end: WritableEnd) -> WritableStream: ...


class Evaluator:
    """Evaluates expressions in one scope."""

    __slots__ = ("_budget", "_scope", "_side", "_size")

    def __init__(self, side: Side, scope: Scope, budget: MapBudget, size: int = 0) -> None:
        self._side = side
        self._scope = scope
        self._budget = budget
        self._size = size

    def hook(self, parsed: Parsed) -> Hook:
        """What an expression stands for; nothing is waited for."""
        if len(parsed.places) == 1 and parsed.places[0].container is parsed.root:
            reference = parsed.places[0].reference
            if isinstance(reference, Mapped) or (isinstance(reference, Own | Introduced) and reference.is_promise):
                return self._call(reference)
        return self.settle(self.payload(parsed))

    def settle(self, payload: Payload) -> Hook:
        """The hook for a payload some of whose promises may be open."""
        if not payload.vacancies:
            return ValueHook(self._side, payload)

        async def filled() -> Hook:
            return ValueHook(self._side, await payload.filled())

        promise = PendingHook.new()
        self._side.spawn(filled(), promise.box)
        return promise

    def payload(self, parsed: Parsed) -> Payload:
        """A value whose references mean something."""
        payload = Payload(root=parsed.root, size=self._size, values=parsed.values)
        for place in parsed.places:
            self._fill(payload, place)
        return payload

    def _fill(self, payload: Payload, place: Place) -> None:
        match place.reference:
            case ReadableEnd() as end:
                value: ValueStream | WritableStream = self._scope.readable(end)
            case WritableEnd() as end:
                value = self._scope.writable(end)
            case Collected(source, make):
                self._vacate(payload, place, self._collector(self._scope.readable(source), make))
                return
            case Streamed(source, make):
                pipe = self._scope.readable(source)
                stream = ReadableStream.bound(pipe)
                place.container[place.key] = make(stream)
                payload.streams.append((stream, partial(_cancel_unread, stream, pipe)))
                return
            case reference:
                hook = self._call(reference)
                if isinstance(reference, Mapped) or reference.is_promise:
                    payload.owned.append(hook.dispose)
                    self._vacate(payload, place, hook.pull)
                    return
                stub = PeerStub(hook, self._side)
                payload.owned.append(stub.close)
                place.container[place.key] = stub
                return
        payload.streams.append((value, value.dispose))
        place.container[place.key] = value

    def _vacate(self, payload: Payload, place: Place, fill: Callable[[], Awaitable[Payload]]) -> None:
        place.container[place.key] = None
        payload.vacancies.append(Vacancy(place.container, place.key, fill))

    def _call(self, reference: Reference) -> Hook:
        match reference:
            case Introduced():
                return self._scope.imported(reference)
            case Own(number, path, arguments, is_promise):
                hook = self._scope.own(number)
                if arguments is not None:
                    return hook.call(path, self.payload(arguments))
                return hook.get(path) if path or (is_promise and not isinstance(hook, PendingHook)) else hook.dup()
            case Mapped(number, path, captures, instructions):
                held = [self._call(each) for each in captures]
                return self._scope.own(number).map(path, held, instructions, self._budget)
            case _:
                raise AssertionError(f"{reference} is no call")

    def _collector(self, stream: ValueStream, make: Callable[[bytes], object]) -> Callable[[], Awaitable[Payload]]:
        async def collect() -> Payload:
            return Payload(root=[make(await stream.bytes())])

        return collect


def _cancel_unread(stream: ReadableStream, pipe: ValueStream) -> None:
    if not stream.is_used and not stream.locked:
        pipe.abandon()


def apply_map(
    side: Side, value: object, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget
) -> Hook:
    """The result of a recorded function for a value: for each item of a list; nothing for None."""
    try:
        if value is None:
            return ValueHook(side, Payload())
        if not isinstance(value, list):
            return _apply(side, value, captures, instructions, budget)
        results = [_apply(side, item, captures, instructions, budget) for item in value]
        return _gather(side, results)
    except (MalformedError, LimitExceededError, OverloadedError) as error:
        return FailedHook(error)
    finally:
        for each in captures:
            each.dispose()


def _gather(side: Side, results: list[Hook]) -> Hook:
    payload = Payload(owned=[each.dispose for each in results])
    items: list[object] = [None] * len(results)
    payload.root[0] = items
    payload.vacancies.extend(Vacancy(items, place, hook.pull) for place, hook in enumerate(results))
    return Evaluator(side, _MapScope([], []), MapBudget(0)).settle(payload)


def _apply(
    side: Side, value: object, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget
) -> Hook:
    """Run the instructions for one element; the last one is the result."""
    budget.left -= len(instructions)
    if budget.left < 0:
        raise LimitExceededError("a map() takes too many steps: map fewer elements, or do less for each", limit="map")
    side.work.charge(1)
    taken = ValueHook(side, take(side, value, is_moved=False))
    variables: list[Hook] = [taken]
    scope = _MapScope(captures, variables)
    evaluator = Evaluator(side, scope, budget)
    try:
        side.work.charge(taken.values)
        for instruction in instructions:  # Each may refer to those before.
            parsed = read_expression(instruction, scope)
            side.work.charge(parsed.values)
            variables.append(evaluator.hook(parsed))
        return variables.pop()
    finally:
        for each in variables:
            each.dispose()


class _MapScope:
    """Ids inside a recorded function: 0 is the input, 1 … the results before, -1 … what was captured."""

    def __init__(self, captures: list[Hook], variables: list[Hook]) -> None:
        self._captures = captures
        self._variables = variables

    def own(self, number: int) -> Hook:
        return self._captures[-number - 1] if number < 0 else self._variables[number]

    def check_own(self, number: int) -> None:
        if not -len(self._captures) <= number < len(self._variables):
            raise MalformedError(f"a mapped function refers to its value {number}, and there is none")

    def introduce(self, number: int, *, is_promise: bool) -> None:
        raise MalformedError("a mapped function cannot introduce a capability")

    def take_readable(self, number: int) -> None:
        raise MalformedError("a mapped function cannot use a pipe")

    def imported(self, reference: Introduced) -> Hook:
        raise AssertionError("`introduce` refuses it")

    def readable(self, end: ReadableEnd) -> ValueStream:
        raise AssertionError("`take_readable` refuses it")

    def writable(self, end: WritableEnd) -> WritableStream:
        raise AssertionError("`introduce` refuses it")
