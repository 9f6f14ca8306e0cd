"""What we say to the peer, and what it takes along: objects, functions, stubs and streams of ours.

What a message introduced is taken back when the message cannot be sent after all. Effects: none (the session it works
for starts tasks).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from perdure.capnweb._hooks import Box, FailedHook, Hook
from perdure.capnweb._payload import Payload
from perdure.capnweb._protocol import Drop, Nothing
from perdure.capnweb._protocol import Protocol as WireProtocol
from perdure.capnweb._references import Path
from perdure.capnweb._streams import Pipe, ValueStream, WritableStream
from perdure.capnweb._stubs import PeerPromise, PeerStub, hook_and_path
from perdure.capnweb._values import Side, SinkHook, TargetHook
from perdure.errors import RpcSessionError, UsageError, ValueNotCloneableError
from perdure.web import File, ReadableStream

T = TypeVar("T")
_END: Final = object()


class Speaker(Side, Protocol):
    """The session, as the exporter sees it."""

    protocol: WireProtocol

    def number_of_import(self, hook: Hook) -> int | None:
        """The number of a capability of the peer's, if it is one."""
        ...

    def answer_promise(self, number: int, hook: Hook) -> None:
        """Resolve a promise that was introduced."""
        ...

    def pump(self, number: int, stream: ValueStream) -> Coroutine[Any, Any, Hook]:
        """Send a stream into a pipe at the peer's."""
        ...


class Exporter:
    """The `Introducer` of one session."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self._introduced: list[int] = []
        self._pipes: list[tuple[int, ValueStream]] = []

    # ── messages ──

    def push(self, target: int, path: Path, arguments: Payload | None) -> int:
        """A call, or the reading of a property. Raises ValueNotCloneableError."""
        values = None if arguments is None else arguments.value
        try:
            return self._say(lambda: self._speaker.protocol.push(target, path, values, self))
        finally:
            if arguments is not None:
                arguments.dispose()

    def push_stream(self, target: int, method: str, arguments: Payload) -> tuple[int, int]:
        """A chunk for a stream. Raises ValueNotCloneableError."""
        return self._say(lambda: self._speaker.protocol.push_stream(target, method, arguments.value, self))

    def push_map(self, target: int, path: Path, captures: list[Hook], instructions: tuple[object, ...]) -> int:
        """Have a recorded function applied."""
        try:
            return self._say(
                lambda: self._speaker.protocol.push_map(
                    target, path, [self._stub_expression(each) for each in captures], [*instructions]
                )
            )
        finally:
            for each in captures:
                each.dispose()

    def resolve(self, number: int, payload: Payload) -> None:
        """The answer to a call. One that cannot be sent becomes an error that says why."""
        protocol = self._speaker.protocol
        try:
            _drop(self._say(lambda: protocol.resolve(number, payload.value, self)))
        except ValueNotCloneableError as error:
            self.reject(number, error)
        finally:
            payload.dispose()

    def reject(self, number: int, error: BaseException) -> None:
        """The answer to a call that failed."""
        _drop(self._speaker.protocol.reject(number, error, self))

    def _say(self, say: Callable[[], T]) -> T:
        """Make one message; what it introduced is taken back when it cannot be made."""
        self._introduced, self._pipes = [], []
        try:
            said = say()
        except BaseException:
            for number in self._introduced:
                _drop(self._speaker.protocol.take_back(number))
            for number, stream in self._pipes:
                stream.dispose()
                self._speaker.protocol.release(number)
            raise
        for number, stream in self._pipes:
            self._speaker.spawn(self._speaker.pump(number, stream), Box())
        return said

    # ── `Introducer` ──

    def introduce(self, value: object) -> list[object] | None:
        """The expression of a capability or a stream."""
        match value:
            case PeerPromise():
                return self._promise_expression(value)
            case PeerStub():
                hook, _ = hook_and_path(value)
                return self._stub_expression(hook)
            case ValueStream() | ReadableStream():
                stream = value if isinstance(value, ValueStream) else ValueStream(aiter(value))  # locked now
                stream.claim()
                number = self._speaker.protocol.push_pipe()
                self._pipes.append((number, stream))
                return ["readable", number]
            case File():
                return ["blob", value.type, self.introduce(ValueStream(_content(value)))]
            case WritableStream():
                number, _ = self._speaker.protocol.export(SinkHook(self._speaker, value.sink))
                self._introduced.append(number)
                return ["writable", number]
            case _:
                return None

    def _promise_expression(self, promise: PeerPromise) -> list[object]:
        hook, path = hook_and_path(promise)
        number = self._speaker.number_of_import(hook)
        if number is not None:
            return ["pipeline", number, [*path]] if path else ["pipeline", number]
        own = hook.get(path) if path else hook.dup()
        number = self._speaker.protocol.export_promise(own)
        self._introduced.append(number)
        self._speaker.answer_promise(number, own)
        return ["promise", number]

    def _stub_expression(self, hook: Hook) -> list[object]:
        number = self._speaker.number_of_import(hook)
        if number is not None:
            return ["import", number]
        if isinstance(hook, FailedHook) and isinstance(hook.error, UsageError | RpcSessionError):
            raise ValueNotCloneableError(f"a stub cannot be sent: {hook.error}")
        own = hook.dup()
        number, is_new = self._speaker.protocol.export(
            own, identity=own.identity if isinstance(own, TargetHook) else None
        )
        if not is_new:
            own.dispose()
        self._introduced.append(number)
        return ["export", number]


async def _content(file: File) -> AsyncIterator[bytes]:
    yield await file.bytes()


def _drop(act: Drop | Nothing) -> None:
    if isinstance(act, Drop) and isinstance(act.holder, Hook):
        act.holder.dispose()


async def pump_stream(
    stream: ValueStream,
    sink: Any,  # noqa: ANN401  # a PeerSink: it knows us
    step: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]],
) -> None:
    """Write every chunk of a stream into a sink, and how it ended. `step` runs the code of the stream's source."""
    chunks = stream.claimed()

    async def next_chunk() -> object:
        return await anext(chunks, _END)

    try:
        while (chunk := await (next_chunk() if isinstance(chunks, Pipe) else step(next_chunk))) is not _END:
            await sink.write(chunk)
    except Exception as error:  # noqa: BLE001  # the source's, or the peer's: both ends are told
        await stream.cancel()
        await sink.abort(error)
        return
    await sink.close()
