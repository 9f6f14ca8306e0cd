"""Streams: pulled by one reader, cancelled, split; bodies that stream, and bodies that are here, read alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import BodyTooLargeError, HttpMessageError, StreamLostError
from perdure.limits import BODY_BYTES_MAX
from perdure.web import ReadableStream, Request, Response
from perdure.web._stream import Chunk

Scenario = Callable[[], Coroutine[object, object, None]]


def in_loop(scenario: Scenario) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(asyncio.wait_for(scenario(), 10))

    test.__name__ = scenario.__name__
    return test


class Source:
    """A generator that writes down what becomes of it."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = chunks
        self.given = 0
        self.is_closed = False
        self.go = asyncio.Event()
        self.go.set()

    async def __aiter__(self) -> AsyncIterator[Chunk]:
        try:
            for chunk in self.chunks:
                await self.go.wait()
                if isinstance(chunk, Exception):
                    raise chunk
                self.given += 1
                yield chunk
        finally:
            self.is_closed = True


@in_loop
async def test_nothing_runs_before_it_is_read_and_no_more_than_is_read() -> None:
    source = Source(b"a", "é", bytearray(b"b"), memoryview(b"c"), b"")
    stream = ReadableStream(source)
    await asyncio.sleep(0)

    assert source.given == 0
    assert await stream.read() == b"a"
    assert source.given == 1
    assert [chunk async for chunk in stream] == ["é".encode(), b"b", b"c"]
    assert await stream.read() is None
    assert stream.is_ended


@given(st.lists(st.binary(max_size=20)), st.integers(min_value=1, max_value=7))
def test_reads_of_a_size_lose_nothing(chunks: list[bytes], size: int) -> None:
    async def scenario() -> None:
        stream = ReadableStream(Source(*chunks))
        parts = []
        while (part := await stream.read(size)) is not None:
            assert 0 < len(part) <= size
            parts.append(part)
        assert b"".join(parts) == b"".join(chunks)

    asyncio.run(scenario())


@in_loop
async def test_a_stream_has_one_reader() -> None:
    source = Source(b"a", b"b")
    source.go.clear()
    stream = ReadableStream(source)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)

    with pytest.raises(TypeError, match="has been locked to a reader"):
        await stream.read()
    source.go.set()
    assert await reading == b"a"
    assert [chunk async for chunk in stream] == [b"b"]
    with pytest.raises(TypeError, match="has been locked to a reader"):
        aiter(stream)
    with pytest.raises(TypeError, match="already been used"):
        Response(stream)


@in_loop
async def test_what_a_source_raises_is_raised_at_every_read_from_then_on() -> None:
    stream = ReadableStream(Source(b"a", ValueError("torn")))

    assert await stream.read() == b"a"
    for _ in range(2):
        with pytest.raises(ValueError, match="torn"):
            await stream.read()


@in_loop
async def test_an_interrupted_read_does_not_look_like_the_end() -> None:
    source = Source(b"a")
    source.go.clear()
    stream = ReadableStream(source)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stream.read(), 0.01)

    assert source.is_closed
    with pytest.raises(StreamLostError):
        await stream.read()


@pytest.mark.parametrize("chunk", [1, None, ["a"]])
def test_a_chunk_that_is_none_ends_the_source(chunk: object) -> None:
    async def scenario() -> None:
        source = Source(chunk, b"b")
        with pytest.raises(TypeError, match="bytes or text"):
            await ReadableStream(source).read()
        assert source.is_closed

    asyncio.run(scenario())


@in_loop
async def test_cancelling_closes_the_source() -> None:
    source = Source(b"a", b"b")
    stream = ReadableStream(source)
    await stream.read()

    await stream.cancel("enough")
    await stream.cancel()

    assert source.is_closed
    assert await stream.read() is None


@in_loop
async def test_cancelling_during_a_read_closes_the_source_after_it() -> None:
    source = Source(b"a", b"b")
    source.go.clear()
    stream = ReadableStream(source)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)

    await stream.cancel()
    source.go.set()

    assert await reading is None
    assert source.is_closed
    assert await stream.read() is None


@in_loop
async def test_a_stream_is_handed_on_once() -> None:
    stream = ReadableStream(Source(b"a"))
    other = stream.hand_on()

    assert (stream.locked, other.locked) == (True, False)
    assert await other.read() == b"a"
    with pytest.raises(TypeError, match="locked"):
        await stream.read()
    with pytest.raises(TypeError):
        stream.hand_on()


# ── bodies ──


@in_loop
async def test_a_body_that_streams_is_read_as_one_that_is_here_and_kept() -> None:
    response = Response(aiter(Source(b"\xef\xbb\xbf[1", b",2]")))

    assert repr(response) == "<Response 200 streamed>"
    assert await response.json() == [1, 2]
    assert repr(response) == "<Response 200 8 bytes>"
    assert await response.text() == "[1,2]"
    assert not response.body_used


@in_loop
async def test_both_kinds_of_body_are_read_bit_by_bit() -> None:
    assert [chunk async for chunk in Response("ab").stream()] == [b"ab"]
    assert [chunk async for chunk in Response(None).stream()] == []
    request = Request("http://a", "POST", None, Source("a", "b"))
    assert [chunk async for chunk in request.stream()] == [b"a", b"b"]
    assert request.body_used
    with pytest.raises(TypeError, match="already been used"):
        await request.text()


@in_loop
async def test_a_stream_gives_no_content_type_and_no_body_to_get() -> None:
    assert Response(Source("a")).headers.multi_items() == []
    with pytest.raises(HttpMessageError, match="GET"):
        Request("http://a", "GET", None, Source("a"))
    with pytest.raises(HttpMessageError, match="204"):
        Response(Source("a"), 204)
    with pytest.raises(HttpMessageError, match="async iterable"):
        Response(iter("a"))  # type: ignore[arg-type]  # what is no body


@in_loop
async def test_a_body_that_is_too_large_to_be_read_at_once_is_let_go() -> None:
    source = Source(*[b"x" * 1_000_000] * 10)
    request = Request("http://a", "POST", None, source)

    with pytest.raises(BodyTooLargeError, match="bit by bit"):
        await request.bytes()

    assert source.is_closed
    assert source.given == BODY_BYTES_MAX // 1_000_000 + 1


@in_loop
async def test_a_clone_has_the_same_bytes() -> None:
    request = Request("http://a", "POST", {"x": "1"}, Source("a", "b", "c"))
    clone = request.clone()

    assert isinstance(clone.body, ReadableStream)
    assert await clone.body.read() == b"a"
    assert (await request.text(), await clone.body.collect()) == ("abc", b"bc")


@in_loop
async def test_a_clone_cannot_be_read_at_the_same_moment() -> None:
    source = Source("a")
    source.go.clear()
    response = Response(source)
    clone = response.clone()
    reading = asyncio.ensure_future(response.text())
    await asyncio.sleep(0)

    with pytest.raises(TypeError, match="being read right now"):
        await clone.text()
    source.go.set()
    assert await reading == "a"


@in_loop
async def test_a_clone_that_nobody_reads_holds_nobody_up_and_is_bounded() -> None:
    source = Source(*[b"x" * 1_000_000] * 20)
    response = Response(source)
    clone = response.clone()

    assert sum([len(chunk) async for chunk in response.stream()]) == 20_000_000
    with pytest.raises(BodyTooLargeError, match="ahead"):
        await clone.bytes()


@in_loop
async def test_the_source_of_clones_ends_when_nobody_wants_either() -> None:
    source = Source(b"a", b"b", b"c")
    one, other = ReadableStream(source).tee()
    await one.read()

    await one.cancel()
    assert not source.is_closed
    assert await other.read() == b"a"
    await other.cancel()
    assert source.is_closed
