"""Bodies that stream, out of and into objects of every flavour, and through them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.conformance.flavours import Subject, failure, type_name

from perdure import Response
from perdure.errors import BodyTooLargeError, StreamLostError
from perdure.limits import BODY_BYTES_MAX
from perdure.web import ReadableStream

pytestmark = pytest.mark.subject("streams")


async def ask(subject: Subject, target: str, body: Any = None) -> Response:
    method = "GET" if body is None else "POST"
    return await subject.world.get(subject.kind, subject.name).fetch(f"http://it/{target}", method=method, body=body)


async def stream_of(subject: Subject, target: str, body: Any = None) -> ReadableStream:
    response = await ask(subject, target, body)
    assert isinstance(response.body, ReadableStream)
    return response.body


async def evict(subject: Subject) -> None:
    """It can be: nothing is under way any more."""
    await subject.world.settle()
    await subject.evict()


async def source(*chunks: str | bytes) -> AsyncIterator[str | bytes]:
    for chunk in chunks:
        await asyncio.sleep(0.01)
        yield chunk


class Endless:
    """A source without an end that counts what was asked of it."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk = chunk
        self.given = 0
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                self.given += 1
                yield self.chunk
        finally:
            self.is_closed = True


# ── answers ──


async def test_an_answer_streams_and_each_step_is_a_turn(subject: Subject) -> None:
    response = await ask(subject, "count?n=3")

    assert response.headers["content-type"] == "text/event-stream"
    assert await subject.call("get", "given") is None
    pieces = response.stream()
    assert await anext(pieces) == b"0;"
    assert await subject.call("get", "given") == 1
    assert b"".join([piece async for piece in pieces]) == b"1;2;"
    assert await subject.call("get", "given") == 3
    await evict(subject)  # Nothing is under way any more.


async def test_an_answer_that_streams_can_be_read_as_a_whole(subject: Subject) -> None:
    response = await ask(subject, "count?n=100")

    assert await response.text() == "".join(f"{number};" for number in range(100))


async def test_large_chunks_arrive_whole(subject: Subject) -> None:
    body = await (await ask(subject, "large")).bytes()

    assert body == bytes(range(256)) * 1024 + ("é" * 100_000).encode()


async def test_a_slow_reader_holds_the_object_back_and_awake(subject: Subject) -> None:
    stream = await stream_of(subject, "ticks?seconds=0")
    for _ in range(3):
        await stream.read()

    await subject.world.advance(seconds=60)

    assert await subject.call("get", "given") <= 4
    assert await stream.read() is not None
    error = await failure(subject.evict())
    assert "in use" in str(error)
    await stream.cancel()
    await subject.world.settle()
    assert await subject.call("get", "closed") is True
    await evict(subject)


async def test_a_reader_that_leaves_while_it_waits_ends_the_source(subject: Subject) -> None:
    stream = await stream_of(subject, "ticks?seconds=1000")
    await stream.read()
    reading = asyncio.ensure_future(stream.read())
    await subject.world.settle()
    assert await subject.call("get", "closed") is None

    reading.cancel()
    await asyncio.wait([reading])
    await subject.world.settle()

    assert await subject.call("get", "closed") is True


async def test_a_stream_that_nobody_holds_ends(subject: Subject) -> None:
    stream = await stream_of(subject, "ticks?seconds=0")
    await stream.read()

    del stream
    await subject.world.settle()

    assert await subject.call("get", "closed") is True
    await evict(subject)


async def test_an_error_in_the_midst_is_the_readers_and_the_object_lives(subject: Subject) -> None:
    stream = await stream_of(subject, "failing")
    assert await stream.read() == b"a"

    error = await failure(stream.read())

    assert "torn" in str(error)
    assert type_name(error) in {"ValueError", "Error"}
    assert await subject.call("get", "given") == 1
    await evict(subject)


async def test_a_reset_breaks_a_stream_with_its_reason(subject: Subject) -> None:
    stream = await stream_of(subject, "aborting")
    other = await stream_of(subject, "count?n=3")
    await stream.read()
    await other.read()

    for broken in (stream, other):
        error = await failure(broken.read())
        assert "enough" in str(error)


async def test_a_chunk_that_is_no_bytes_is_a_type_error(subject: Subject) -> None:
    error = await failure(ask_and_read(subject, "wrong"))

    assert type_name(error) in {"TypeError", "HttpMessageError"}


async def ask_and_read(subject: Subject, target: str) -> bytes:
    return await (await ask(subject, target)).bytes()


async def test_what_a_stream_gives_waits_until_it_is_durable(subject: Subject) -> None:
    stream = await stream_of(subject, "count?n=3")

    with subject.world.journal_held():
        reading = asyncio.ensure_future(stream.read())
        await subject.world.settle()
        assert not reading.done()
    assert await reading == b"0;"


# ── requests ──


async def test_a_request_streams_in(subject: Subject) -> None:
    response = await ask(subject, "upload", source("ab", "c", b"\xff"))

    assert await response.json() == {"size": 4, "chunks": 3}


async def test_a_request_that_streams_can_be_read_as_a_whole(subject: Subject) -> None:
    assert await (await ask(subject, "text", source("a", "é"))).text() == "aé"


async def test_a_request_that_is_too_large_as_a_whole(subject: Subject) -> None:
    endless = Endless(b"x" * 100_000)
    error = await failure(ask(subject, "text", endless))

    assert type_name(error) in {BodyTooLargeError.__name__, "TypeError"}
    assert f"more than {BODY_BYTES_MAX} bytes" in str(error)
    await subject.world.settle()
    assert endless.is_closed


async def test_a_request_that_nobody_reads_is_let_go(subject: Subject) -> None:
    endless = Endless(b"x")
    assert await (await ask(subject, "ignore", endless)).text() == "ignored"
    await subject.world.settle()

    assert endless.given <= 1
    await evict(subject)


async def test_an_answer_made_of_the_request_as_it_comes(subject: Subject) -> None:
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def typed() -> AsyncIterator[str]:
        while (text := await queue.get()) is not None:
            yield text

    stream = await stream_of(subject, "shout", typed())
    for letter in "abc":
        queue.put_nowait(letter)
        assert await stream.read() == letter.upper().encode()
    queue.put_nowait(None)
    assert await stream.read() is None
    await evict(subject)


async def test_a_source_that_fails_is_an_error_where_the_request_is_read(subject: Subject) -> None:
    async def torn() -> AsyncIterator[str]:
        yield "a"
        raise StreamLostError("the client left")

    error = await failure(ask(subject, "text", torn()))

    assert "the client left" in str(error)


# ── through another object ──


@pytest.mark.parametrize("how", ["forward", "wrap", "read"])
async def test_an_answer_passes_through(subject: Subject, how: str) -> None:
    text = await (await ask(subject, f"{how}?to=far&url=http://it/count%3Fn=3")).text()

    assert text == {"wrap": "<0;><1;><2;>"}.get(how, "0;1;2;")
    assert await subject.other("far").call("get", "given") == 3


async def test_an_answer_that_is_passed_on_needs_the_middle_no_more(subject: Subject) -> None:
    stream = await stream_of(subject, "forward?to=far&url=http://it/count%3Fn=3")
    await evict(subject)

    assert await stream.read() == b"0;"
    assert await subject.other("far").call("get", "given") == 1
    assert await stream.collect() == b"1;2;"


async def test_a_request_passes_through(subject: Subject) -> None:
    response = await ask(subject, "proxy?to=far&path=text", source("a", "b"))

    assert await response.text() == "ab"


async def test_an_object_sends_a_request_that_streams(subject: Subject) -> None:
    assert await (await ask(subject, "send?to=far")).text() == "0;1;2;"
    assert await subject.call("get", "given") == 3


async def test_an_object_sends_such_a_request_in_a_critical_section(subject: Subject) -> None:
    assert await (await ask(subject, "send_inside?to=far")).text() == "0;1;2;"


async def test_a_stream_that_is_kept_keeps_its_maker_awake_until_it_is_dropped(subject: Subject) -> None:
    far = subject.other("far")
    await ask(subject, "keep?to=far&url=http://it/ticks%3Fseconds=0")
    assert "in use" in str(await failure(far.evict()))

    await ask(subject, "drop")
    await evict(far)
    await evict(subject)


async def test_a_body_that_was_read_from_cannot_be_sent(subject: Subject) -> None:
    text = await (await ask(subject, "twice?to=far&url=http://it/count%3Fn=3")).text()

    assert text.startswith("0;")
    assert "already been used" in text or "has been read from" in text


async def test_many_streams_at_once(subject: Subject) -> None:
    streams = [await stream_of(subject, f"count?n={number}") for number in range(1, 51)]
    texts = await asyncio.gather(*(stream.collect() for stream in streams))

    assert texts == ["".join(f"{k};" for k in range(number)).encode() for number in range(1, 51)]
