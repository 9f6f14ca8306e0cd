"""Bodies that trusted objects stream: each step is a turn of the object, which stays awake and may be reset."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from tests.unit.objects.fakes import App, Seat, steps

from perdure.api import Context
from perdure.errors import ObjectResetError
from perdure.objects import CURRENT, TrustedEntrypoint
from perdure.objects._actor import leave_caller
from perdure.testing import run_sim
from perdure.web import ReadableStream, Request, Response

TRACE: list[str] = []


def sim(scenario: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    def test() -> None:
        TRACE.clear()
        run_sim(scenario)

    test.__name__ = scenario.__name__
    return test


class Streamer(App):
    def __init__(self, ctx: Context, env: Any) -> None:
        super().__init__(ctx, env)
        self.go = asyncio.Event()
        self.go.set()

    async def fetch(self, request: Request) -> Response:
        return Response(getattr(self, request.path.strip("/"))())

    async def writing(self) -> AsyncIterator[str]:
        try:
            for number in range(3):
                self.kv.put("n", number)
                yield str(number)
                await self.go.wait()
        finally:
            TRACE.append("closed")
            self.kv.put("closed", 1)

    async def failing(self) -> AsyncIterator[str]:
        self.kv.put("n", 1)
        yield "a"
        raise ValueError("torn")

    async def waiting(self) -> AsyncIterator[str]:
        try:
            await asyncio.sleep(1)
            yield "a"
            await asyncio.Event().wait()
        finally:
            TRACE.append("closed")
            await asyncio.sleep(0)
            TRACE.append("went on")

    async def aborting(self) -> AsyncIterator[str]:
        yield "a"
        self.kv.put("n", 1)
        self.ctx.abort("enough")

    async def keeping(self) -> AsyncIterator[str]:
        async def section() -> None:
            TRACE.append("in")
            await asyncio.sleep(1)
            TRACE.append("out")

        await self.ctx.block_concurrency_while(section)
        yield "a"

    def pause(self) -> None:
        self.go.clear()

    def resume(self) -> None:
        self.go.set()


async def stream_of(seat: Seat, name: str) -> ReadableStream:
    response = await seat.actor.fetch(Request(f"http://a/{name}"))
    assert isinstance(response.body, ReadableStream)
    return response.body


@sim
async def test_each_step_is_a_turn_that_is_committed() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")

    assert seat.root.units == []
    assert await stream.read() == b"0"
    assert seat.root.units == [{"n": "0"}]
    assert seat.actor.is_active
    assert await stream.collect() == b"12"
    assert seat.root.units[-1] == {"closed": "1"}
    await steps()
    assert not seat.actor.is_active


@sim
async def test_what_it_gives_waits_until_that_is_durable() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")
    seat.root.holds = True

    reading = asyncio.ensure_future(stream.read())
    await steps()
    assert not reading.done()
    seat.root.acknowledge()
    assert await reading == b"0"


@sim
async def test_other_events_run_between_its_steps_and_while_it_waits() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")
    await seat.call("pause")
    await stream.read()
    reading = asyncio.ensure_future(stream.read())
    await steps()

    assert await seat.call("hello") == "hello"
    assert not reading.done()
    await seat.call("resume")
    assert await reading == b"1"


@sim
async def test_a_critical_section_in_a_step_holds_other_events() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "keeping")
    reading = asyncio.ensure_future(stream.read())
    await steps()

    await seat.call("hello")

    assert TRACE == ["in", "out"]
    assert await reading == b"a"


@sim
async def test_an_error_in_its_midst_keeps_what_was_written_and_the_object() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "failing")
    await stream.read()

    with pytest.raises(ValueError, match="torn"):
        await stream.read()

    assert seat.root.kept == {"n": "1"}
    assert await seat.call("hello") == "hello"
    await steps()
    assert not seat.actor.is_active


@sim
async def test_cancelling_closes_it_in_a_turn() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")
    await stream.read()

    await stream.cancel()
    await steps()

    assert seat.root.kept == {"n": "0", "closed": "1"}
    assert not seat.actor.is_active


@sim
async def test_a_reader_that_gives_up_closes_it_where_it_waits() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "waiting")
    reading = asyncio.ensure_future(stream.read())
    await steps()

    reading.cancel()
    await asyncio.wait([reading])
    await steps()

    assert TRACE == ["closed", "went on"]
    assert not seat.actor.is_active


@sim
async def test_one_that_nobody_holds_lets_its_object_go() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")
    await stream.read()
    assert seat.actor.is_active

    del stream
    gc.collect()
    await steps()

    assert TRACE == ["closed"]
    assert not seat.actor.is_active


@sim
async def test_a_reset_breaks_it_with_its_reason() -> None:
    seat = Seat(Streamer)
    waiting, idle, late = [await stream_of(seat, name) for name in ("waiting", "writing", "writing")]
    await idle.read()
    reading = asyncio.ensure_future(waiting.read())
    await steps()

    seat.actor.break_(ObjectResetError("because"))

    for read in (reading, idle.read(), late.read()):
        with pytest.raises(ObjectResetError, match="because"):
            await read
    assert TRACE.count("closed") == 2
    assert "went on" not in TRACE


@sim
async def test_a_step_that_aborts_its_object_breaks_the_stream() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "aborting")
    await stream.read()

    with pytest.raises(ObjectResetError, match="enough"):
        await stream.read()

    assert seat.root.kept == {}


@sim
async def test_the_body_of_a_request_goes_on_in_turns_of_its_sender() -> None:
    sender, receiver = Seat(Streamer), Seat(Streamer)
    await sender.call("hello")
    await receiver.call("hello")
    seen: list[object] = []

    async def source() -> AsyncIterator[bytes]:
        seen.append(CURRENT.get())
        yield b"a"
        seen.append(CURRENT.get())

    request = Request("http://a", "POST", None, source())
    token = CURRENT.set(sender.actor)
    await leave_caller(request)
    CURRENT.set(receiver.actor)
    assert await request.text() == "a"
    CURRENT.reset(token)

    assert seen == [sender.actor, sender.actor]


@sim
async def test_a_stream_is_bound_once_to_whoever_made_it() -> None:
    seat = Seat(Streamer)
    stream = await stream_of(seat, "writing")
    other = Seat(Streamer)
    await other.call("hello")

    other.actor.bind(stream)
    await stream.collect()

    assert seat.root.kept["closed"] == "1"
    assert other.root.kept == {}


@sim
async def test_the_body_of_an_entry_point_belongs_to_no_object() -> None:
    from perdure.api import WorkerContext, WorkerEntrypoint

    seat = Seat(Streamer)
    await seat.call("hello")
    seen: list[object] = []

    class Entry(WorkerEntrypoint):
        async def fetch(self, request: Request) -> Response:
            async def source() -> AsyncIterator[str]:
                try:
                    seen.append(CURRENT.get())
                    yield "a"
                    yield "b"
                finally:
                    seen.append("closed")

            return Response(source())

    def make_context(props: object) -> WorkerContext:
        return WorkerContext(props=props, exports=None, wait_until=lambda work: None)

    CURRENT.set(seat.actor)
    response = await TrustedEntrypoint(Entry, {}, env=dict, make_context=make_context).fetch(Request("http://a"))
    assert isinstance(response.body, ReadableStream)
    assert await response.body.read() == b"a"
    await response.body.cancel()

    assert seen == [None, "closed"]
