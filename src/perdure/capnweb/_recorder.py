"""`.map()`: a function is run once, here, with a placeholder for the element, and applied at the far side.

What it does with placeholders and stubs, calls and property reads, is recorded as instructions; stubs that it uses are
captured. It has no other effects: it cannot await, and what it passes are plain values. Effects: none.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NoReturn

from perdure.capnweb._hooks import Hook, MapBudget
from perdure.capnweb._payload import Payload
from perdure.capnweb._references import Path
from perdure.capnweb._stubs import Caller, PeerPromise, PeerStub, hook_and_path
from perdure.capnweb._writer import write_expression
from perdure.errors import UsageError, ValueNotCloneableError
from perdure.limits import CAPNWEB_MAP_STEPS_MAX

RECORDING: Final[ContextVar[Recorder | None]] = ContextVar("perdure_capnweb_recording", default=None)


def record_map(caller: Caller, hook: Hook, path: Path, function: Callable[[Any], object]) -> Hook:
    """The result of applying `function` to what `path` leads to, element by element. Raises UsageError."""
    outer = RECORDING.get()
    recorder = Recorder(caller, outer)
    token = RECORDING.set(recorder)
    try:
        result = function(PeerPromise(_Variable(recorder, 0), caller))
        recorder.instructions.append(write_expression(result, recorder))
    finally:
        RECORDING.reset(token)
    if outer is None:
        captures = [each.dup() for each in recorder.captures]
        return hook.map(path, captures, tuple(recorder.instructions), MapBudget(CAPNWEB_MAP_STEPS_MAX))
    captured = [["import", outer.number_of(each)] for each in recorder.captures]
    return outer.add(["remap", outer.number_of(hook), [*path], captured, recorder.instructions])


class Recorder:
    """What one function does. It is the `Introducer` of what the function passes on."""

    def __init__(self, caller: Caller, outer: Recorder | None) -> None:
        self.instructions: list[object] = []
        self.captures: list[Hook] = []
        self._caller = caller
        self._outer = outer

    def call(self, hook: Hook, path: Path, arguments: tuple[object, ...]) -> Hook:
        """The function calls something."""
        trees = write_expression([*arguments], self)
        assert isinstance(trees, list), "a list is a list in a list"
        return self.add(["pipeline", self.number_of(hook), [*path], trees[0]])

    def read(self, hook: Hook, path: Path) -> Hook:
        """The function reads a property."""
        return self.add(["pipeline", self.number_of(hook), [*path]])

    def add(self, instruction: list[object]) -> Hook:
        """The placeholder of an instruction's result."""
        self.instructions.append(instruction)
        return _Variable(self, len(self.instructions))

    def number_of(self, hook: Hook) -> int:
        """How instructions refer to a hook: a result of theirs, or something captured."""
        if isinstance(hook, _Variable) and hook.recorder is self:
            return hook.number
        if hook not in self.captures:
            self.captures.append(hook)
        return -1 - self.captures.index(hook)

    def introduce(self, value: object) -> list[object] | None:
        """The expression of a placeholder or a captured stub."""
        if isinstance(value, PeerStub):
            hook, path = hook_and_path(value)
            number = self.number_of(hook)
            if isinstance(value, PeerPromise):
                return ["pipeline", number, [*path]] if path else ["pipeline", number]
            return ["import", number]
        if callable(value):
            raise ValueNotCloneableError("a function cannot be passed inside a map() function")
        return None


class _Variable(Hook):
    """A placeholder: the element, or what an instruction gives."""

    __slots__ = ("number", "recorder")

    def __init__(self, recorder: Recorder, number: int) -> None:
        self.recorder = recorder
        self.number = number

    def call(self, path: Path, arguments: Payload) -> NoReturn:
        arguments.dispose()
        _misused()

    def get(self, path: Path) -> Hook:
        recorder = RECORDING.get()
        return _misused() if recorder is None else recorder.read(self, path)

    def map(self, path: Path, captures: list[Hook], instructions: tuple[object, ...], budget: MapBudget) -> NoReturn:
        _misused()

    def dup(self) -> Hook:
        return self

    async def pull(self) -> NoReturn:
        _misused()

    def dispose(self) -> None:
        return


def _misused() -> NoReturn:
    raise UsageError(
        "a placeholder of a map() function cannot be awaited or kept: it stands for each element, and the function "
        "runs once, before there are any"
    )
