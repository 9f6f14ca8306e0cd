"""The streams between the host and one guest. Whoever receives one pulls it, chunk by chunk.

A stream of the guest's is read with events, one of the host's is read with the guest's operations. The ids are the
sender's, and never used again. A stream that has not ended keeps the session in use. Everything that comes in was
written by a guest. Effects: tasks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from perdure.errors import GuestError, OverloadedError, PerdureError, StreamLostError, UsageError, again
from perdure.limits import STREAM_CHUNK_BYTES_MAX, STREAMS_OPEN_MAX
from perdure.web import ReadableStream, Request, Response
from perdure.wire import chunk_from_wire, chunk_to_wire, request_from_wire, request_to_wire, response_from_wire
from perdure.wire import response_to_wire as to_wire
from perdure.workers._references import GuestParcel

T = TypeVar("T")
_READING_NOTHING: Final = "this worker has no such stream of the host's: it has ended, or was handed back"


class Session(Protocol):
    """The session that the streams belong to."""

    async def event(
        self,
        fields: Mapping[str, object],
        *,
        payer: object = None,
        inside: bool = False,
        parcel: GuestParcel | None = None,
    ) -> object: ...
    async def convert(self, convert: Callable[[Any], T], value: Any) -> T: ...  # noqa: ANN401  # any pair that fits
    def start(self, work: Coroutine[object, object, object]) -> None:
        """Work of the session's own; it ends with it."""
        ...


class SessionStreams:
    """Both tables of one session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._last_id = 0
        self._lent: dict[int, ReadableStream] = {}
        self._reading: dict[int, asyncio.Future[bytes | None]] = {}
        self._taken: dict[int, TakenStream] = {}
        self._unwanted: dict[int, None] = {}
        self._is_telling = False
        self._closing: set[asyncio.Future[None]] = set()

    @property
    def is_open(self) -> bool:
        """Whether one has not ended."""
        return bool(self._lent or self._taken or self._unwanted)

    # ── streams of the host, which the guest reads ──────────────────────────────────────────────────────────

    def lend(self, stream: ReadableStream) -> dict[str, int]:
        """Let the guest read `stream`: the field of a message that says so.

        Raises OverloadedError, and HttpMessageError when it was used.
        """
        if len(self._lent) >= STREAMS_OPEN_MAX:
            self._close(stream)
            raise OverloadedError(
                f"this worker holds {STREAMS_OPEN_MAX} streams that have not ended, the limit: read or cancel some"
            )
        self._last_id += 1
        self._lent[self._last_id] = stream.hand_on()
        return {"S": self._last_id}

    def reclaim(self, number: int | None) -> None:
        """The guest is done with it: what it has not read is cancelled."""
        stream = None if number is None else self._lent.pop(number, None)
        if number is not None and stream is not None:
            reading = self._reading.pop(number, None)
            if reading is not None:
                reading.cancel()
            self._close(stream)

    async def perform(self, payload: Mapping[str, object]) -> object:
        """Do a `stream` operation of the guest's: read or cancel one of the host's. The result as JSON tree."""
        number = payload.get("n")
        if isinstance(number, bool) or not isinstance(number, int):
            raise UsageError("a stream has no number")
        act = payload.get("act")
        if act == "cancel":
            self.reclaim(number)
            return None
        if act != "read":
            raise UsageError(f"a guest asked a stream to `{str(act)[:40]}`: it can be read and cancelled")
        return chunk_to_wire(await self._read(number))

    async def _read(self, number: int) -> bytes | None:
        stream = self._lent.get(number)
        if stream is None:
            raise StreamLostError(_READING_NOTHING)
        if number in self._reading:
            raise UsageError("a stream is read by one reader at a time")
        reading = self._reading[number] = asyncio.ensure_future(stream.read(STREAM_CHUNK_BYTES_MAX))
        try:
            chunk = await reading
        except asyncio.CancelledError:
            if self._reading.get(number) is not reading:  # It was cancelled, and the read with it.
                return None
            raise
        except BaseException:
            self._lent.pop(number, None)
            raise
        finally:
            if self._reading.get(number) is reading:
                del self._reading[number]
                reading.cancel()
        if chunk is None:
            self._lent.pop(number, None)
        return chunk

    # ── streams of the guest, which the host reads ──────────────────────────────────────────────────────────

    def take(self, fields: Mapping[str, object], *, operation_id: int | None = None) -> ReadableStream:
        """The stream of a message that the guest wrote, for any thread. Raises GuestError, OverloadedError.

        `operation_id`: the guest's own operation that it belongs to.
        """
        if "R" in fields:
            return self._take_back(_number(fields["R"]))
        number = _number(fields.get("S"))
        if number in self._taken:
            raise GuestError("the sandbox sent a stream twice", type_name="TypeError")
        if len(self._taken) >= STREAMS_OPEN_MAX:
            self._loop.call_soon_threadsafe(self.unwanted, number)
            raise OverloadedError(
                f"this worker has {STREAMS_OPEN_MAX} streams under way, the limit: let some end before starting more"
            )
        taken = self._taken[number] = TakenStream(self, number, operation_id)
        return ReadableStream.bound(TakenSource(taken, self._loop))

    def _take_back(self, number: int) -> ReadableStream:
        stream = self._lent.get(number)
        if stream is None or stream.is_used or number in self._reading:
            raise GuestError("the sandbox handed a stream back that it does not hold", type_name="TypeError")
        del self._lent[number]
        return stream

    async def ask(self, taken: TakenStream) -> object:
        """The next chunk, as the guest gives it."""
        fields: dict[str, object] = {"k": "stream", "act": "read", "n": taken.number}
        if taken.operation_id is not None:
            fields["o"] = taken.operation_id
        return await self._session.event(fields, inside=taken.operation_id is not None)

    def ended(self, number: int) -> None:
        """It gives nothing more."""
        self._taken.pop(number, None)

    def unwanted(self, number: int) -> None:
        """Nobody wants the rest of it: the guest is told soon."""
        self._taken.pop(number, None)
        self._unwanted[number] = None
        if not self._is_telling:
            self._is_telling = True
            self._session.start(self._tell_unwanted())

    async def _tell_unwanted(self) -> None:
        await asyncio.sleep(0)  # Many end at once.
        self._is_telling = False
        numbers, self._unwanted = list(self._unwanted), {}
        with suppress(PerdureError):  # The guest is gone, or fails at this: nobody waits for it.
            await self._session.event({"k": "stream", "act": "cancel", "n": numbers})

    def abandon(self, result: object) -> None:
        """The result of an event that nobody waits for any more: its stream, if it has one, is unwanted."""
        number = result.get("S") if isinstance(result, dict) else None
        if isinstance(number, int) and not isinstance(number, bool) and number not in self._taken:
            self.unwanted(number)

    # ── whole messages ──────────────────────────────────────────────────────────────────────────────────────

    async def fetch(
        self,
        request: Request,
        fields: Mapping[str, object],
        *,
        payer: object = None,
        inside: bool = False,
        parcel: GuestParcel | None = None,
    ) -> Response:
        """Let the guest answer `request`. What it has not read of it is cancelled with the end of its answer.

        `parcel`: what the fields take along.
        """
        try:
            wire = request_to_wire(request, self.lend)
        except BaseException:
            if parcel is not None:
                parcel.take_back()
            raise
        number = wire.get("S")
        answer: object = None
        try:
            message = {"k": "fetch", "r": wire, **fields}
            answer = await self._session.event(message, payer=payer, inside=inside, parcel=parcel)
            response = await self._session.convert(partial(response_from_wire, take=self.take), answer)
        except BaseException:
            self.reclaim(number)
            self.abandon(answer)
            raise
        taken = self._taken.get(answer["S"]) if isinstance(answer, dict) and "S" in answer else None
        if taken is not None:
            taken.at_end = partial(self.reclaim, number)
        else:
            self.reclaim(number)
        return response

    async def request(self, tree: object, operation_id: int) -> Request:
        """The request that the guest sends with one of its operations."""
        read = partial(request_from_wire, take=partial(self.take, operation_id=operation_id))
        return await self._session.convert(read, tree)

    def response(self, response: Response) -> object:
        """A response for the guest, as JSON tree."""
        return to_wire(response, self.lend)

    # ── the end ─────────────────────────────────────────────────────────────────────────────────────────────

    def break_(self, error: PerdureError) -> None:
        """The guest's memory is gone: its streams fail with `error`, and it reads no more."""
        taken, self._taken = self._taken, {}
        for stream in taken.values():
            stream.break_(error)
        self._unwanted.clear()
        self._is_telling = False  # Whoever was about to is cancelled with the rest of the session's work.
        for number in list(self._lent):
            self.reclaim(number)

    def _close(self, stream: ReadableStream) -> None:
        """Tell whoever makes it. What it raises then concerns nobody."""
        closing = asyncio.ensure_future(stream.cancel())
        self._closing.add(closing)
        closing.add_done_callback(self._closed)

    def _closed(self, closing: asyncio.Future[None]) -> None:
        self._closing.discard(closing)
        if not closing.cancelled():
            closing.exception()


class TakenStream:
    """What the session knows of a stream of its guest's."""

    __slots__ = ("_error", "_streams", "at_end", "is_ended", "number", "operation_id")

    def __init__(self, streams: SessionStreams, number: int, operation_id: int | None) -> None:
        self._streams = streams
        self._error: PerdureError | None = None
        self.number = number
        self.operation_id = operation_id
        self.is_ended = False
        self.at_end: Callable[[], None] | None = None

    async def step(self) -> bytes:
        """The next chunk. Raises StopAsyncIteration, what the guest's source raises, and what ended the session."""
        if self._error is not None:
            raise again(self._error)
        try:
            answer = await self._streams.ask(self)
        except GuestError:
            self._over()
            raise
        except BaseException:
            self.end()  # The guest may not have heard of it.
            raise
        try:
            chunk = chunk_from_wire(answer)
        except GuestError:
            self.end()
            raise
        if chunk is None:
            self._over()
            raise StopAsyncIteration
        return chunk

    def end(self) -> None:
        """Nobody wants the rest."""
        if not self.is_ended:
            self._ended()
            self._streams.unwanted(self.number)

    def _over(self) -> None:
        """The guest knows that it has ended."""
        self._ended()
        self._streams.ended(self.number)

    def break_(self, error: PerdureError) -> None:
        """The guest is gone."""
        self._error = error
        self._ended()

    def _ended(self) -> None:
        self.is_ended = True
        at_end, self.at_end = self.at_end, None
        if at_end is not None:
            at_end()


class TakenSource:
    """Such a stream for its reader. It ends when nobody holds it any more."""

    __slots__ = ("_loop", "_taken")

    def __init__(self, taken: TakenStream, loop: asyncio.AbstractEventLoop) -> None:
        self._taken = taken
        self._loop = loop

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await self._taken.step()

    async def aclose(self) -> None:
        self._taken.end()

    def __del__(self) -> None:
        if not self._taken.is_ended:
            with suppress(RuntimeError):  # The loop has been closed, and the guest with it.
                self._loop.call_soon_threadsafe(self._taken.end)  # A guest's thread may collect it.


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**53:
        raise GuestError("the sandbox sent a stream without a number", type_name="TypeError")
    return value
