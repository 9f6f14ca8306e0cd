"""ASGI in and out, without a server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.server.asgi_client import exchange, http_scope, messages_of

from perdure.limits import URL_BYTES_MAX
from perdure.server._asgi import AsgiApp, Receive, Scope, Send, serve_http, serve_lifespan
from perdure.web import Request, Response


def app_of(answer: object = None, *, seen: list[Request] | None = None) -> AsgiApp:
    """An app that answers everything with `answer`, raises it if it is an exception, and remembers what it saw."""

    async def handle(request: Request) -> Response:
        if seen is not None:
            seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer or Response("ok")  # type: ignore[return-value]  # some tests return what is no response

    def answer_error(_request: Request, error: Exception) -> Response:
        return Response(f"{type(error).__name__}: {error}", 500)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_http(scope, receive, send, handle, answer_error=answer_error)

    return app


def seen_by(scope: dict[str, Any], events: Any = b"") -> Request:
    """The request that a handler gets for a scope."""
    seen: list[Request] = []
    exchange(app_of(seen=seen), scope, events)
    return seen[0]


def test_a_request_carries_url_method_headers_and_body() -> None:
    request = seen_by(http_scope("/a%20b?x=1", "POST", [(b"x-a", b"caf\xe9")]), b"hello")

    assert (request.method, request.url) == ("POST", "http://localhost:8787/a%20b?x=1")
    assert request.headers["x-a"] == "café"
    assert request.body == b"hello"


def test_a_body_in_pieces_is_joined() -> None:
    pieces = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.request", "more_body": True},
        {"type": "http.request", "body": b"b"},
    ]

    assert seen_by(http_scope(method="POST", headers=[(b"content-length", b"2")]), pieces).body == b"ab"


def test_get_is_answered_without_asking_for_a_body() -> None:
    assert seen_by(http_scope(method="GET"), []).body is None


@pytest.mark.parametrize(
    ("target", "root_path", "url"),
    [
        ("/sub/x", "/sub", "/x"),
        ("/sub", "/sub", "/"),
        ("/subject", "/sub", "/subject"),
        ("/s%20b/x", "/s b", "/x"),
        ("/x", "", "/x"),
        ("/x", "/", "/x"),
    ],
)
def test_the_path_begins_below_the_mount(target: str, root_path: str, url: str) -> None:
    assert seen_by(http_scope(target, root_path=root_path)).path == url


def test_a_target_that_a_browser_would_not_send_is_normalised() -> None:
    assert seen_by(http_scope("/a/../b#c\xe9?d#e")).url == "http://localhost:8787/b%23c%C3%A9?d%23e"
    assert seen_by(http_scope("*", "OPTIONS")).path == "/"


def test_without_raw_path_the_path_is_encoded() -> None:
    assert seen_by({**http_scope(), "raw_path": None, "path": "/é b"}).path == "/%C3%A9%20b"


def test_without_host_the_servers_address_stands_in() -> None:
    assert seen_by({**http_scope(), "headers": []}).url == "http://127.0.0.1:8787/"
    assert seen_by({**http_scope(), "headers": [], "server": ("::1", 80)}).url == "http://[::1]:80/"


@pytest.mark.parametrize(
    "scope",
    [
        {**http_scope(), "headers": [(b"host", b"a b")]},
        {**http_scope(), "headers": [(b"host", b"a/../b")]},
        {**http_scope(), "headers": [(b"host", b"a@b")]},
        {**http_scope(), "headers": [(b"host", b"a"), (b"host", b"b")]},
        {**http_scope(), "headers": [], "server": ("/run/x.sock", None)},
        {**http_scope(), "headers": [(b"content-length", b"-1")]},
    ],
)
def test_a_malformed_host_or_length_is_a_bad_request(scope: dict[str, Any]) -> None:
    assert exchange(app_of(), scope, []).status == 400


def test_a_url_that_is_too_long_is_refused() -> None:
    assert exchange(app_of(), http_scope("/" + "x" * URL_BYTES_MAX), []).status == 414


def test_a_body_that_is_longer_than_it_says_is_refused() -> None:
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"123", "more_body": True},
        {"type": "http.request", "body": b"456"},
    ]

    answer = exchange(app_of(), http_scope(method="POST", headers=[(b"content-length", b"5")]), events)

    assert answer.status == 400
    assert answer.header(b"connection") == b"close"
    assert b"its Content-Length, 5 bytes" in answer.body


def test_a_client_that_leaves_while_sending_reaches_nobody() -> None:
    seen: list[Request] = []
    events: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"a", "more_body": True},
        {"type": "http.disconnect"},
    ]

    scope = http_scope(method="POST", headers=[(b"content-length", b"5")])
    sent = asyncio.run(messages_of(app_of(seen=seen), scope, events))

    assert (seen, sent) == ([], [])


def test_a_client_that_leaves_before_the_answer_is_no_error() -> None:
    async def send(_message: Any) -> None:
        raise OSError("gone")

    async def receive() -> Any:
        raise AssertionError("nothing to read")

    asyncio.run(app_of()(http_scope(), receive, send))  # type: ignore[arg-type]  # a coroutine is an Awaitable


def test_the_answer_has_the_length_of_the_body_whatever_the_app_says() -> None:
    response = Response(
        "hé", 201, {"content-length": "1", "connection": "x", "Transfer-Encoding": "chunked", "x-a": "1"}
    )

    answer = exchange(app_of(response), http_scope())

    assert (answer.status, answer.body) == (201, "hé".encode())
    assert answer.headers == [
        (b"x-a", b"1"),
        (b"content-type", b"text/plain;charset=UTF-8"),
        (b"content-length", b"3"),
    ]


def test_head_gets_the_headers_of_get_and_no_body() -> None:
    answer = exchange(app_of(Response("hello")), http_scope(method="HEAD"))

    assert (answer.header(b"content-length"), answer.body) == (b"5", b"")


def test_an_answer_without_body_says_length_zero_unless_its_status_has_none() -> None:
    assert exchange(app_of(Response(None)), http_scope()).header(b"content-length") == b"0"
    assert exchange(app_of(Response(None, 204)), http_scope()).header(b"content-length") is None


def test_what_a_handler_raises_is_answered() -> None:
    answer = exchange(app_of(ValueError("no")), http_scope())

    assert (answer.status, answer.body) == (500, b"ValueError: no")


def test_a_handler_that_returns_no_response_is_told_so() -> None:
    answer = exchange(app_of({"a": 1}), http_scope())

    assert answer.status == 500
    assert b"returned `dict`, not a Response: return Response(text) or Response.json(value)" in answer.body


LIFESPAN = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]


def test_lifespan_starts_and_stops() -> None:
    acts: list[str] = []

    async def start() -> None:
        acts.append("start")

    async def stop() -> None:
        acts.append("stop")

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await serve_lifespan(receive, send, start=start, stop=stop)

    sent = asyncio.run(messages_of(app, {"type": "lifespan"}, LIFESPAN))

    assert acts == ["start", "stop"]
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_start_that_fails_says_why() -> None:
    sent: list[Any] = []

    async def start() -> None:
        raise OSError("disk full")

    async def receive() -> Any:
        return LIFESPAN[0]

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(OSError, match="disk full"):
        asyncio.run(serve_lifespan(receive, send, start=start, stop=start))

    assert sent == [{"type": "lifespan.startup.failed", "message": "disk full"}]
