"""Streams between the host and a guest that may say anything: ids, chunks, ends, and far too many of them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.workers.fakes import Stage, done, steps

from perdure.errors import GuestError, ObjectResetError, OverloadedError
from perdure.limits import STREAM_CHUNK_BYTES_MAX, STREAMS_OPEN_MAX
from perdure.testing import run_sim
from perdure.web import ReadableStream, Request, Response
from perdure.wire import GuestOp, chunk_from_host, chunk_from_wire, chunk_to_wire

GET = Request("http://a")


def sim(scenario: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    def test() -> None:
        run_sim(scenario)

    test.__name__ = scenario.__name__
    return test


class Script:
    """A guest that answers `fetch` with `response`, reads with `chunks` in turn, and notes what it is told."""

    def __init__(self, response: Any = None, chunks: Any = (), operations: Any = ()) -> None:
        self.response = {"s": 200, "h": [], "S": 1} if response is None else response
        self.chunks = list(chunks)
        self.operations = list(operations)
        self.cancelled: list[int] = []
        self.resumed: list[Any] = []
        self.requests: list[Any] = []

    def __call__(self, op: int, message: dict[str, Any]) -> Any:
        if op == GuestOp.RESUME:
            self.resumed += message["c"]
            return self._with_operations({})
        if op != GuestOp.EVENT:
            return None
        if message["k"] == "fetch":
            self.requests.append(message["r"])
            return self._with_operations(done(message["e"], self.response))
        if message["act"] == "cancel":
            self.cancelled += message["n"]
            return done(message["e"])
        chunk = self.chunks.pop(0)
        if chunk is ...:
            return {}
        if isinstance(chunk, dict):
            return {"d": [[message["e"], 0, chunk]]}
        return done(message["e"], chunk)

    def _with_operations(self, report: dict[str, Any]) -> dict[str, Any]:
        if self.operations:
            report["o"] = self.operations.pop(0)
        return report


def is_busy(stage: Stage) -> bool:
    return stage.session.is_busy


async def fetched(stage: Stage, request: Request = GET) -> ReadableStream:
    response = await stage.session.streams.fetch(request, {})
    assert isinstance(response.body, ReadableStream)
    return response.body


# ── chunks ──


@given(st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
def test_a_chunk_survives_the_way_both_ways(chunk: bytes) -> None:
    assert chunk_from_wire(chunk_to_wire(chunk)) == chunk
    assert chunk_from_host(chunk_to_wire(chunk)) == chunk


def test_the_largest_chunk_passes_and_one_more_byte_does_not() -> None:
    for byte in (b"a", b"\xff"):
        chunk = byte * STREAM_CHUNK_BYTES_MAX
        assert chunk_from_wire(chunk_to_wire(chunk)) == chunk
        with pytest.raises(GuestError, match=str(STREAM_CHUNK_BYTES_MAX)):
            chunk_from_wire(chunk_to_wire(chunk + byte))
    with pytest.raises(GuestError, match=str(STREAM_CHUNK_BYTES_MAX)):
        chunk_from_wire("é" * STREAM_CHUNK_BYTES_MAX)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
)


@given(JSON | st.lists(JSON, max_size=2).map(lambda rest: ["bytes", *rest]))
def test_a_forged_chunk_is_a_chunk_or_the_guests_error(tree: object) -> None:
    try:
        chunk = chunk_from_wire(tree)
    except GuestError:
        return
    assert chunk is None or isinstance(chunk, bytes)


# ── streams of the guest ──


@sim
async def test_a_stream_of_the_guest_is_pulled_and_keeps_the_session_until_its_end() -> None:
    script = Script(chunks=["a", ["bytes", "/w=="], None])
    stage = await Stage(script).booted()
    stream = await fetched(stage)

    assert is_busy(stage)
    assert not stage.session.has_only_timers
    assert await stream.collect() == b"a\xff"
    assert not is_busy(stage)
    assert script.cancelled == []


@sim
async def test_an_error_of_the_guests_source_is_the_error() -> None:
    stage = await Stage(Script(chunks=[{"type": "ValueError", "message": "torn"}])).booted()
    stream = await fetched(stage)

    with pytest.raises(GuestError, match="torn"):
        await stream.read()
    assert not is_busy(stage)


@pytest.mark.parametrize("chunk", [1, ["bytes"], ["bytes", "?"], {"b": 1}, "x" * (STREAM_CHUNK_BYTES_MAX + 1)])
def test_a_malformed_chunk_ends_the_stream_and_nothing_else(chunk: object) -> None:
    async def scenario() -> None:
        script = Script(chunks=[[chunk] if isinstance(chunk, dict) else chunk])
        stage = await Stage(script).booted()
        stream = await fetched(stage)

        with pytest.raises(GuestError):
            await stream.read()
        await steps()
        assert script.cancelled == [1]
        assert not is_busy(stage)
        assert isinstance((await fetched(stage)), ReadableStream)

    run_sim(scenario)


@sim
async def test_a_stream_that_nobody_wants_is_cancelled() -> None:
    script = Script(chunks=["a"])
    stage = await Stage(script).booted()
    stream = await fetched(stage)
    await stream.cancel()
    await steps()
    assert script.cancelled == [1]

    script.response["S"] = 2
    stream = await fetched(stage)
    del stream
    gc.collect()
    await steps()
    assert script.cancelled == [1, 2]
    assert not is_busy(stage)


@sim
async def test_a_read_that_never_ends_can_be_given_up() -> None:
    script = Script(chunks=[...])
    stage = await Stage(script).booted()
    stream = await fetched(stage)
    reading = asyncio.ensure_future(stream.read())
    await steps()

    reading.cancel()
    await asyncio.wait([reading])
    await steps()

    assert script.cancelled == [1]


@sim
async def test_the_end_of_a_session_breaks_its_streams_with_the_reason() -> None:
    script = Script(chunks=[...])
    stage = await Stage(script).booted()
    waiting = await fetched(stage)
    script.response["S"] = 2
    idle = await fetched(stage)
    reading = asyncio.ensure_future(waiting.read())
    await steps()

    stage.session.end(ObjectResetError("because"))

    for read in (reading, idle.read()):
        with pytest.raises(ObjectResetError, match="because"):
            await read


@sim
async def test_a_guest_has_so_many_streams_and_no_more() -> None:
    script = Script()
    stage = await Stage(script).booted()
    streams = []
    for number in range(1, STREAMS_OPEN_MAX + 1):
        script.response["S"] = number
        streams.append(await fetched(stage))
    for number in range(10):
        script.response["S"] = STREAMS_OPEN_MAX + 1 + number
        with pytest.raises(OverloadedError, match=str(STREAMS_OPEN_MAX)):
            await fetched(stage)
    await steps()
    assert script.cancelled == [STREAMS_OPEN_MAX + 1 + number for number in range(10)]

    for stream in streams:
        await stream.cancel()
    await steps()
    assert len(script.cancelled) == STREAMS_OPEN_MAX + 10
    assert not is_busy(stage)


@pytest.mark.parametrize(
    "body",
    [
        *[{"S": 0}, {"S": -1}, {"S": True}, {"S": "1"}, {"S": None}, {"S": [1]}, {"S": 2**53}, {"S": 1, "b": ""}],
        *[{"R": 1}, {"R": 0}, {"R": None}, {"R": {}}, {"R": 1, "S": 1}],
    ],
)
def test_a_forged_stream_is_the_guests_error(body: dict[str, object]) -> None:
    async def scenario() -> None:
        stage = await Stage(Script({"s": 200, "h": [], **body})).booted()
        with pytest.raises(GuestError):
            await stage.session.streams.fetch(GET, {})
        await steps()
        assert not stage.session.streams.is_open

    run_sim(scenario)


@sim
async def test_a_stream_that_is_sent_twice_is_the_guests_error() -> None:
    stage = await Stage(Script(chunks=["a"])).booted()
    stream = await fetched(stage)

    with pytest.raises(GuestError, match="twice"):
        await fetched(stage)
    assert await stream.read() == b"a"


@sim
async def test_the_answer_of_a_caller_that_gave_up_is_cancelled() -> None:
    script = Script()
    stage = await Stage(script).booted()
    stage.hooks.durable.clear()
    asking = asyncio.ensure_future(stage.session.streams.fetch(GET, {}))
    await steps()

    asking.cancel()
    await asyncio.wait([asking])
    stage.hooks.durable.set()
    await steps()

    assert script.cancelled == [1]
    assert not is_busy(stage)


# ── streams of the host ──


class Source:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.is_closed = True


def upload(source: Source) -> Request:
    return Request("http://a", "POST", None, source)


def operation(number: int, act: object, stream: object) -> list[object]:
    return [number, "stream", {"n": stream, "act": act}]


@sim
async def test_the_guest_reads_a_stream_of_the_hosts_in_bounded_chunks() -> None:
    large = b"\xff" * STREAM_CHUNK_BYTES_MAX
    reads = [[operation(number, "read", 1)] for number in range(1, 5)]
    script = Script(chunks=["x", None], operations=reads)
    stage = await Stage(script).booted()
    response = await stage.session.streams.fetch(upload(Source(large + b"a", b"b")), {})
    await steps(40)

    assert script.requests[0]["S"] == 1
    assert [entry[:2] for entry in script.resumed] == [[1, 1], [2, 1], [3, 1], [4, 1]]
    assert [chunk_from_host(entry[2]) for entry in script.resumed] == [large, b"a", b"b", None]
    await response.bytes()
    assert not is_busy(stage)


@sim
async def test_what_the_guest_has_not_read_is_cancelled_with_the_end_of_its_answer() -> None:
    source = Source(b"a", b"b", b"c")
    script = Script(chunks=["x", None], operations=[[operation(1, "read", 1)]])
    stage = await Stage(script).booted()
    response = await stage.session.streams.fetch(upload(source), {})
    await steps()
    is_closed_early = source.is_closed

    await response.bytes()
    await steps()

    assert (is_closed_early, source.is_closed) == (False, True)
    assert not is_busy(stage)


@sim
async def test_an_answer_without_a_stream_ends_the_request_at_once() -> None:
    source = Source(b"a", b"b")
    stage = await Stage(Script({"s": 200, "h": [], "b": ""}, operations=[[operation(1, "read", 1)]])).booted()

    await stage.session.streams.fetch(upload(source), {})
    await steps()

    assert not is_busy(stage)


@pytest.mark.parametrize(
    ("act", "stream"),
    [("read", 2), ("read", 0), ("read", None), ("read", [1]), ("read", True), ("write", 1), (None, 1), ([], {})],
)
def test_a_forged_operation_is_refused(act: object, stream: object) -> None:
    async def scenario() -> None:
        script = Script(operations=[[operation(1, act, stream)]])
        stage = await Stage(script).booted()
        await stage.session.streams.fetch(upload(Source(b"a")), {})
        await steps()

        assert [entry[:2] for entry in script.resumed] == [[1, 0]]
        assert not stage.hooks.error

    run_sim(scenario)


@sim
async def test_two_reads_at_once_are_refused_and_harmless() -> None:
    script = Script(operations=[[operation(1, "read", 1), operation(2, "read", 1)], [], [operation(3, "read", 1)]])
    stage = await Stage(script).booted()
    response = await stage.session.streams.fetch(upload(Source(b"a")), {})
    await steps(30)

    assert sorted(entry[:2] for entry in script.resumed) == [[1, 1], [2, 0], [3, 1]]
    assert isinstance(response, Response)


@sim
async def test_the_guest_may_cancel_and_a_read_under_way_ends_with_it() -> None:
    class Never(Source):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                await asyncio.Event().wait()
                yield b""
            finally:
                self.is_closed = True

    source = Never()
    first = [operation(1, "read", 1), operation(2, "read", 9)]
    script = Script(operations=[first, [operation(3, "cancel", 1), operation(4, "cancel", 1)]])
    stage = await Stage(script).booted()
    response = await stage.session.streams.fetch(upload(source), {})
    await steps(30)

    assert source.is_closed
    assert sorted(entry[:2] for entry in script.resumed) == [[1, 1], [2, 0], [3, 1], [4, 1]]
    assert isinstance(response, Response)


@sim
async def test_a_stream_that_is_handed_back_is_the_hosts_again() -> None:
    source = Source(b"a", b"b")
    stage = await Stage(Script({"s": 200, "h": [], "R": 1})).booted()

    response = await stage.session.streams.fetch(upload(source), {})

    assert not is_busy(stage)
    assert await response.bytes() == b"ab"


@sim
async def test_the_end_of_a_session_cancels_what_it_has_not_read() -> None:
    source = Source(b"a", b"b")
    script = Script(operations=[[operation(1, "read", 1)]])
    stage = await Stage(script).booted()
    response = await stage.session.streams.fetch(upload(source), {})
    await steps()

    stage.session.end(ObjectResetError("because"))
    await steps()

    assert source.is_closed
    with pytest.raises(ObjectResetError):
        await response.bytes()


@sim
async def test_a_guest_holds_so_many_streams_of_the_hosts_and_no_more() -> None:
    stage = await Stage(Script()).booted()
    streams = stage.session.streams
    sources = [Source(b"a") for _ in range(STREAMS_OPEN_MAX + 1)]
    for source in sources[:-1]:
        streams.response(Response(source))

    with pytest.raises(OverloadedError, match=str(STREAMS_OPEN_MAX)):
        streams.response(Response(sources[-1]))
    stage.session.end(ObjectResetError("because"))
    await steps()
    assert not streams.is_open
