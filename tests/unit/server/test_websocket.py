"""A `websocket` scope, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from perdure.capnweb import SocketEnd
from perdure.limits import WEBSOCKET_MESSAGE_BYTES_MAX
from perdure.server._websocket import Connections, serve_websocket
from perdure.web import Request, Response, WebSocketClose, WebSocketPair

Handle = Callable[[Request], Awaitable[Response]]


class Client:
    """What a server does for a client: events in, messages out."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.connections = Connections()
        self.events.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> dict[str, Any]:
        return await self.events.get()

    async def send(self, message: Any) -> None:
        self.sent.put_nowait(message)

    def says(self, **event: object) -> None:
        self.events.put_nowait({"type": "websocket.receive", **event})

    def leaves(self, code: int = 1001) -> None:
        self.events.put_nowait({"type": "websocket.disconnect", "code": code})


def scope(**extra: object) -> dict[str, Any]:
    return {
        "type": "websocket",
        "scheme": "ws",
        "path": "/chat",
        "raw_path": b"/chat",
        "query_string": b"a=b",
        "headers": [(b"host", b"localhost:8787"), (b"x-a", b"1")],
        "extensions": {"websocket.http.response": {}},
        **extra,
    }


def answer_error(request: Request, error: Exception) -> Response:
    return Response(f"failed: {error}", 500)


def run(handle: Handle, scenario: Callable[[Client], Awaitable[None]], given: dict[str, Any] | None = None) -> None:
    async def main() -> None:
        client = Client()
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            served = serve_websocket(
                given or scope(),
                client.receive,
                client.send,
                handle,
                answer_error=answer_error,
                connections=client.connections,
            )
            tasks.create_task(served)
            await scenario(client)

    asyncio.run(main())


def serving(talk: Callable[[SocketEnd], Awaitable[None]], headers: dict[str, str] | None = None) -> Handle:
    """A handler whose own end does `talk`."""

    async def handle(request: Request) -> Response:
        ends = WebSocketPair()

        async def serve() -> None:
            await talk(SocketEnd(ends.server))

        ends.client.serve = serve
        return Response(status=101, web_socket=ends.client, headers=headers)

    return handle


async def echo(end: SocketEnd) -> None:
    while not isinstance(arrival := await end.take(), WebSocketClose):
        await end.send(arrival)


def test_the_request_asks_to_switch() -> None:
    seen: list[Request] = []

    async def handle(request: Request) -> Response:
        seen.append(request)
        return Response("no", 404)

    async def scenario(client: Client) -> None:
        start, body = await client.sent.get(), await client.sent.get()
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
        assert (b"content-length", b"2") in start["headers"]
        assert body == {"type": "websocket.http.response.body", "body": b"no"}

    run(handle, scenario)
    assert (seen[0].method, seen[0].url) == ("GET", "http://localhost:8787/chat?a=b")
    assert (seen[0].headers.get("upgrade"), seen[0].headers.get("x-a")) == ("websocket", "1")


def test_a_server_that_cannot_say_why_refuses_the_handshake() -> None:
    async def handle(request: Request) -> Response:
        return Response("no", 404)

    async def scenario(client: Client) -> None:
        assert (await client.sent.get())["type"] == "websocket.close"

    run(handle, scenario, scope(extensions={}))


def test_an_error_of_the_handler_is_answered() -> None:
    async def handle(request: Request) -> Response:
        raise ValueError("no luck")

    async def scenario(client: Client) -> None:
        assert (await client.sent.get())["status"] == 500

    run(handle, scenario)


def test_a_malformed_host_is_refused() -> None:
    async def handle(request: Request) -> Response:
        raise AssertionError("it is not asked")

    async def scenario(client: Client) -> None:
        assert (await client.sent.get())["status"] == 400

    run(handle, scenario, scope(headers=[(b"host", b"a b")]))


def test_messages_go_both_ways() -> None:
    async def scenario(client: Client) -> None:
        accept = await client.sent.get()
        assert accept == {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-b", b"2")]}
        client.says(text="hello")
        client.says(bytes=b"\x00")
        client.says(text="")
        assert [await client.sent.get() for _ in range(3)] == [
            {"type": "websocket.send", "text": "hello"},
            {"type": "websocket.send", "bytes": b"\x00"},
            {"type": "websocket.send", "text": ""},
        ]
        client.leaves()

    run(serving(echo, {"sec-websocket-protocol": "chat", "x-b": "2"}), scenario)


@pytest.mark.parametrize(("code", "told"), [(1001, 1001), (4000, 4000), (1006, 1006), (77, 1006), (None, 1006)])
def test_a_client_that_leaves_is_told_of(code: int, told: int) -> None:
    ended: list[object] = []

    async def listen(end: SocketEnd) -> None:
        ended.append(await end.take())

    async def scenario(client: Client) -> None:
        await client.sent.get()
        client.leaves(code)

    run(serving(listen), scenario)
    assert ended == [WebSocketClose(told, "")]


def test_the_server_ends_the_connection_with_a_code_and_a_reason() -> None:
    async def leave(end: SocketEnd) -> None:
        await end.send("last words")
        end.close(3000, "enough")

    async def scenario(client: Client) -> None:
        await client.sent.get()
        assert (await client.sent.get())["text"] == "last words"
        assert await client.sent.get() == {"type": "websocket.close", "code": 3000, "reason": "enough"}
        client.says(text="too late")
        client.leaves(3000)

    run(serving(leave), scenario)


def test_a_stop_ends_connections() -> None:
    async def listen(end: SocketEnd) -> None:
        close = await end.take()
        assert isinstance(close, WebSocketClose)
        end.close(close.code, close.reason)

    async def scenario(client: Client) -> None:
        await client.sent.get()
        client.connections.close()
        assert await client.sent.get() == {
            "type": "websocket.close",
            "code": 1012,
            "reason": "the server is restarting: connect again",
        }

    run(serving(listen), scenario)


def test_a_message_over_the_limit_ends_the_connection() -> None:
    ended: list[object] = []

    async def listen(end: SocketEnd) -> None:
        ended.append(await end.take())

    async def scenario(client: Client) -> None:
        await client.sent.get()
        client.says(text="x" * (WEBSOCKET_MESSAGE_BYTES_MAX + 1))
        close = await client.sent.get()
        assert (close["type"], close["code"]) == ("websocket.close", 1009)

    run(serving(listen), scenario)
    assert isinstance(ended[0], WebSocketClose)
    assert ended[0].code == 1009


def test_a_slow_end_holds_the_client_back() -> None:
    gate = asyncio.Event()

    async def slow(end: SocketEnd) -> None:
        await gate.wait()
        await echo(end)

    async def scenario(client: Client) -> None:
        await client.sent.get()
        for _ in range(20):
            client.says(text="x" * 100_000)
        for _ in range(100):
            await asyncio.sleep(0)
        assert client.events.qsize() >= 15  # so many were not asked for
        gate.set()
        for _ in range(20):
            await client.sent.get()
        client.leaves()

    run(serving(slow), scenario)


def test_a_handler_that_fails_while_it_serves_ends_the_connection() -> None:
    async def fail(end: SocketEnd) -> None:
        await end.take()
        raise ValueError("it broke")

    async def scenario(client: Client) -> None:
        await client.sent.get()
        client.says(text="x")

    with pytest.raises(ExceptionGroup) as caught:
        run(serving(fail), scenario)
    assert caught.group_contains(ValueError, match="it broke")
