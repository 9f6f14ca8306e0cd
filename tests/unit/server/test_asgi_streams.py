"""ASGI with bodies that stream: back-pressure both ways, clients that leave, answers that fail in their midst."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.unit.server.asgi_client import http_scope

from perdure.errors import StreamLostError
from perdure.limits import BODY_AT_ONCE_BYTES, BODY_BYTES_MAX
from perdure.server._asgi import AnswerCutError, serve_http
from perdure.server._errors import status_of
from perdure.web import ReadableStream, Request, Response

Handle = Callable[[Request], Awaitable[Response]]
STREAMED = [(b"transfer-encoding", b"chunked")]


def in_loop(scenario: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    def test() -> None:
        asyncio.run(asyncio.wait_for(scenario(), 10))

    test.__name__ = scenario.__name__
    return test


class Client:
    """The other side of one exchange. `takes`: it reads what is sent; `comes`: what it sends."""

    def __init__(self, handle: Handle, method: str = "GET", headers: Any = (), body: Any = ()) -> None:
        self.comes: asyncio.Queue[Any] = asyncio.Queue()
        for chunk in body:
            self.sends(chunk)
        if not body:
            self.comes.put_nowait({"type": "http.request"})
        self.sent: list[dict[str, Any]] = []
        self.errors: list[Exception] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.is_gone = False
        scope = http_scope(method=method, headers=headers)
        if method in {"GET", "HEAD"} and not body:
            self.comes.get_nowait()
        self.task = asyncio.ensure_future(
            serve_http(scope, self.comes.get, self._send, handle, answer_error=self._answer_error)
        )

    def sends(self, chunk: bytes, *, more: bool = True) -> None:
        self.comes.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def leaves(self) -> None:
        self.is_gone = True
        self.comes.put_nowait({"type": "http.disconnect"})

    def _answer_error(self, _request: Request, error: Exception) -> Response:
        self.errors.append(error)
        return Response(f"{type(error).__name__}: {error}", status_of(error))

    async def _send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(dict(message))

    @property
    def start(self) -> dict[str, Any]:
        assert self.sent[0]["type"] == "http.response.start"
        return self.sent[0]

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    @property
    def is_whole(self) -> bool:
        return bool(self.sent) and not self.sent[-1].get("more_body") and len(self.sent) > 1


class Source:
    """A body; `wants` counts what was asked of it."""

    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = list(chunks)
        self.wants = 0
        self.is_closed = False
        self.go = asyncio.Event()
        self.go.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self.chunks:
                self.wants += 1
                await self.go.wait()
                if isinstance(chunk, Exception):
                    raise chunk
                yield chunk
        finally:
            self.is_closed = True


def answering(source: Source, headers: Any = None) -> Handle:
    async def handle(_request: Request) -> Response:
        return Response(source, 200, headers)

    return handle


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# ── out ──


@in_loop
async def test_an_answer_is_sent_as_it_comes() -> None:
    source = Source(b"a", b"b")
    source.go.clear()
    client = Client(answering(source, {"content-type": "text/event-stream"}))
    await settle()

    assert client.start["headers"] == [(b"content-type", b"text/event-stream")]
    assert len(client.sent) == 1  # The headers are there before anything of the body is.
    source.go.set()
    await client.task
    assert [message["body"] for message in client.sent[1:]] == [b"a", b"b", b""]
    assert client.is_whole


@in_loop
async def test_a_client_that_does_not_read_holds_the_source_back() -> None:
    source = Source(*[b"x"] * 100)
    client = Client(answering(source))
    client.takes.clear()
    await settle()

    assert source.wants <= 1
    client.takes.set()
    await client.task
    assert client.body == b"x" * 100


@in_loop
async def test_a_client_that_leaves_closes_the_source_even_while_it_waits() -> None:
    source = Source(b"a", b"b")
    client = Client(answering(source))
    source.go.clear()
    await settle()

    client.leaves()
    await client.task

    assert source.is_closed
    assert client.errors == []
    assert not client.is_whole


@in_loop
async def test_a_client_that_leaves_and_does_not_read_closes_the_source() -> None:
    source = Source(*[b"x"] * 3)
    client = Client(answering(source))
    await client.task
    client = Client(answering(source := Source(*[b"x"] * 3)))
    client.takes.clear()
    await settle()

    client.leaves()
    await client.task

    assert source.wants <= 1  # What never began to run has nothing to close.


@in_loop
async def test_a_source_that_never_waits_holds_nobody_up() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x"

    async def handle(_request: Request) -> Response:
        return Response(endless())

    client = Client(handle)
    await settle()
    client.leaves()  # A server takes what is sent then, and drops it.
    await client.task

    assert not client.is_whole


@in_loop
async def test_a_source_that_fails_cuts_the_answer_and_is_logged() -> None:
    client = Client(answering(Source(b"a", ValueError("torn"))))

    with pytest.raises(AnswerCutError, match="torn"):
        await client.task

    assert client.body == b"a"
    assert not client.is_whole
    assert [str(error) for error in client.errors] == ["torn"]


@in_loop
async def test_head_wants_nothing_of_the_body() -> None:
    source = Source(b"a")
    client = Client(answering(source, {"content-length": "1", "x-a": "1"}), "HEAD")
    await client.task

    assert client.start["headers"] == [(b"x-a", b"1"), (b"content-length", b"1")]
    assert (client.body, client.is_whole, source.wants) == (b"", True, 0)


@in_loop
async def test_a_length_that_the_application_gives_is_kept() -> None:
    client = Client(answering(Source(b"ab", b"c"), {"Content-Length": "3", "Transfer-Encoding": "x"}))
    await client.task

    assert client.start["headers"] == [(b"content-length", b"3")]
    assert (client.body, client.is_whole) == (b"abc", True)


@pytest.mark.parametrize(("length", "what", "sent"), [("2", "more", b""), ("4", "fewer", b"abc")])
def test_a_wrong_length_cuts_the_answer(length: str, what: str, sent: bytes) -> None:
    async def scenario() -> None:
        client = Client(answering(Source(b"abc"), {"content-length": length}))
        with pytest.raises(AnswerCutError, match=f"has {what} bytes"):
            await client.task
        assert (client.body, client.is_whole) == (sent, False)

    asyncio.run(scenario())


@pytest.mark.parametrize("length", ["-1", "1, 1", "x", "9" * 30, "\xb2"])
def test_a_length_that_is_none_is_left_away(length: str) -> None:
    async def scenario() -> None:
        client = Client(answering(Source(b"a"), {"content-length": length}))
        await client.task
        assert (client.start["headers"], client.is_whole) == ([], True)

    asyncio.run(scenario())


@in_loop
async def test_a_body_that_was_read_before_is_an_error() -> None:
    async def handle(_request: Request) -> Response:
        response = Response(Source(b"a", b"b"))
        assert isinstance(response.body, ReadableStream)
        await response.body.read()
        return response

    client = Client(handle)
    await client.task

    assert client.start["status"] == 500
    assert b"already been used" in client.body


# ── in ──


def reading(pieces: list[bytes], *, until: asyncio.Event | None = None) -> Handle:
    async def handle(request: Request) -> Response:
        async for chunk in request.stream():
            pieces.append(chunk)
            if until is not None:
                await until.wait()
        return Response(str(len(pieces)))

    return handle


@in_loop
async def test_a_request_streams_in_as_it_is_read() -> None:
    pieces: list[bytes] = []
    go = asyncio.Event()
    client = Client(reading(pieces, until=go), "POST", STREAMED, [b"a", b"b", b"c"])
    await settle()

    assert pieces == [b"a"]
    assert client.comes.qsize() == 2  # What nobody has read yet stays with the client.
    go.set()
    client.sends(b"d", more=False)
    await client.task
    assert pieces == [b"a", b"b", b"c", b"d"]
    assert client.body == b"4"


@in_loop
async def test_a_long_body_that_says_its_length_streams() -> None:
    pieces: list[bytes] = []
    half = b"x" * (BODY_AT_ONCE_BYTES // 2 + 1)
    headers = [(b"content-length", b"%d" % (2 * len(half)))]
    client = Client(reading(pieces), "POST", headers, [half])
    await settle()
    assert len(pieces) == 1

    client.sends(half, more=False)
    await client.task
    assert len(pieces) == 2


@in_loop
async def test_a_client_that_leaves_while_it_sends_is_an_error_for_whoever_reads() -> None:
    pieces: list[bytes] = []
    client = Client(reading(pieces), "POST", STREAMED, [b"a"])
    await settle()

    client.leaves()
    await client.task

    assert pieces == [b"a"]
    assert [type(error) for error in client.errors] == [StreamLostError]


@pytest.mark.parametrize("pieces", [1, 20])
def test_a_body_that_is_too_large_to_be_read_at_once_is_413(pieces: int) -> None:
    async def scenario() -> None:
        async def handle(request: Request) -> Response:
            return Response(await request.text())

        size = (BODY_BYTES_MAX + 20) // pieces
        client = Client(handle, "POST", STREAMED, [b"x" * size] * (pieces - 1) or [b"x"])
        client.sends(b"x" * size, more=False)
        await client.task
        assert client.start["status"] == 413

    asyncio.run(scenario())


@in_loop
async def test_a_body_that_came_as_one_and_is_large_can_be_read_bit_by_bit_only() -> None:
    async def handle(request: Request) -> Response:
        return Response(str(sum([len(chunk) async for chunk in request.stream()])))

    client = Client(handle, "POST", STREAMED)
    client.comes.get_nowait()
    client.sends(b"x" * (BODY_BYTES_MAX + 1), more=False)
    await client.task

    assert client.body == str(BODY_BYTES_MAX + 1).encode()


@in_loop
async def test_an_error_closes_a_connection_whose_request_is_not_complete() -> None:
    async def handle(_request: Request) -> Response:
        raise ValueError("no")

    client = Client(handle, "POST", STREAMED, [b"a"])
    await client.task

    assert (b"connection", b"close") in client.start["headers"]


@in_loop
async def test_a_request_and_its_answer_stream_at_the_same_time() -> None:
    async def handle(request: Request) -> Response:
        async def echo() -> AsyncIterator[bytes]:
            async for chunk in request.stream():
                yield chunk.upper()

        return Response(echo())

    client = Client(handle, "POST", STREAMED, [b"a"])
    await settle()
    assert client.body == b"A"
    client.sends(b"b")
    await settle()
    assert client.body == b"AB"
    client.sends(b"", more=False)
    await client.task
    assert client.is_whole


@in_loop
async def test_the_body_of_a_request_is_gone_when_it_was_answered() -> None:
    kept: list[Request] = []

    async def handle(request: Request) -> Response:
        kept.append(request)
        return Response("early")

    client = Client(handle, "POST", STREAMED, [b"a"])
    await client.task

    assert isinstance(kept[0].body, ReadableStream)
    assert await kept[0].body.read() == b"a"
    with pytest.raises(StreamLostError, match="answered"):
        await kept[0].body.read()
