"""Requests to a server on this machine, over real connections: what is sent, what comes back, and what is refused."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from perdure.api import Internet
from perdure.errors import FetchError
from perdure.limits import BODY_BYTES_MAX
from perdure.web import Request, Response
from perdure.workers import _internet
from perdure.workers._internet import InternetClient, Resolve, look_up


@dataclass
class Server:
    """Answers every request with `answer`, and keeps what it was sent."""

    answer: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
    port: int = 0
    got: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                self.got.append(head + await reader.readexactly(length))
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def serving(answer: bytes | None = None) -> AsyncIterator[Server]:
    told = Server() if answer is None else Server(answer)
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    told.port = server.sockets[0].getsockname()[1]
    try:
        yield told
    finally:
        server.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(work(), 20)

    asyncio.run(main())


async def fetch(url: str, *, allow: tuple[str, ...] = (), resolve: Resolve | None = None, **parts: object) -> Response:
    client = InternetClient(Internet(allow), resolve=resolve)
    try:
        return await client.fetch(Request(url, **parts))  # type: ignore[arg-type]
    finally:
        await client.close()


def resolves(*answers: list[str]) -> Resolve:
    """A resolver that answers differently each time; the last answer stays."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_what_is_sent_and_what_comes_back() -> None:
    async def work() -> None:
        answer = (
            b"HTTP/1.1 201 Made\r\ncontent-length: 2\r\nset-cookie: a=1\r\nset-cookie: b=2\r\nx-a: \xe4\r\n"
            b"keep-alive: 5\r\n\r\nhi"
        )
        async with serving(answer) as server:
            response = await fetch(
                f"http://{server.place}/a?b=c#d",
                allow=("127.0.0.1",),
                method="POST",
                headers=[("x-one", "1"), ("host", "evil.example"), ("connection", "upgrade"), ("content-length", "99"),
                         ("transfer-encoding", "chunked"), ("user-agent", "mine")],
                body=b"body",
            )  # fmt: skip
        (got,) = server.got
        head, _, body = got.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        assert lines[0] == b"post /a?b=c http/1.1"
        assert lines[1] == f"host: {server.place}".encode()
        assert b"x-one: 1" in lines
        assert b"user-agent: mine" in lines
        assert lines.count(b"content-length: 4") == 1
        assert not [line for line in lines if line.startswith((b"connection", b"transfer-encoding"))]
        assert body == b"body"
        assert (response.status, response.body) == (201, b"hi")
        assert response.headers.get_set_cookie() == ["a=1", "b=2"]
        assert response.headers["x-a"] == "ä"
        assert not response.headers.has("keep-alive")

    run(work)


def test_connections_are_kept() -> None:
    async def work() -> None:
        async with serving() as server:
            client = InternetClient(Internet(("127.0.0.1",)))
            for _ in range(3):
                await client.fetch(Request(f"http://{server.place}/"))
            await client.close()
        assert (len(server.got), server.connections) == (3, 1)

    run(work)


HOSTILE = [
    "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0", "0.0.0.0", "localhost",
    "LOCALHOST", "localhost.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::]", "[::127.0.0.1]",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTILE)
def test_loopback_is_out_of_bounds_however_it_is_written(host: str) -> None:
    async def work() -> None:
        async with serving() as server:
            with pytest.raises(FetchError, match="it has no public address"):
                await fetch(f"http://{host}:{server.port}/")
        assert server.connections == 0

    run(work)


def test_a_name_is_looked_up_once_for_its_check_and_its_connection() -> None:
    """A name that is public when it is checked, and private the next moment: there is no next look-up."""

    async def work() -> None:
        asked: list[str] = []

        async def rebinding(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["192.0.2.1"] if len(asked) > 1 else ["127.0.0.1"]

        async with serving() as server:
            with pytest.raises(FetchError, match="it has no public address"):
                await fetch(f"http://rebind.example:{server.port}/", resolve=rebinding)
        assert asked == ["rebind.example"]
        assert server.connections == 0

    run(work)


def test_connections_go_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with serving() as server:
            monkeypatch.setattr(_internet, "is_public", lambda address: address == "127.0.0.1")
            answers = resolves(["10.0.0.1", "127.0.0.1"], ["10.0.0.1"])
            response = await fetch(f"http://name.example:{server.port}/", resolve=answers)
            assert response.body == b"hi"
            assert b"host: name.example" in server.got[0].lower()

    run(work)


def test_an_allowed_name_is_reached_wherever_it_is_and_no_other_is() -> None:
    async def work() -> None:
        async with serving() as server:
            allow = (f"db.internal:{server.port}",)
            there = resolves(["127.0.0.1"])
            assert (await fetch(f"http://DB.internal:{server.port}/", allow=allow, resolve=there)).body == b"hi"
            for url in (f"http://other.internal:{server.port}/", f"http://127.0.0.1:{server.port}/"):
                with pytest.raises(FetchError, match="no public address"):
                    await fetch(url, allow=allow, resolve=there)

    run(work)


def test_allowed_connections_are_not_lent_to_those_without_the_name() -> None:
    async def work() -> None:
        async with serving() as server:
            url = f"http://{server.place}/"
            allowed = _internet.internet_client(Internet(("127.0.0.1",)))
            assert (await allowed.fetch(Request(url))).body == b"hi"
            with pytest.raises(FetchError, match="no public address"):
                await _internet.internet_client(Internet()).fetch(Request(url))
            await _internet.close_internet_clients()

    run(work)


@pytest.mark.parametrize("url", ["http://mail.example:25/", "http://x.example:0/", "http://x.example:65536/"])
def test_ports_that_are_none_or_not_for_http(url: str) -> None:
    async def work() -> None:
        with pytest.raises(FetchError):
            await fetch(url, resolve=resolves(["8.8.8.8"]))

    run(work)


def test_the_refusal_does_not_say_whether_a_private_name_exists() -> None:
    async def work() -> None:
        async def nothing(host: str, port: int) -> list[str]:
            raise OSError("no such host")

        texts = []
        for resolve in (nothing, resolves(["10.1.2.3"]), resolves([])):
            with pytest.raises(FetchError) as caught:
                await fetch("http://vault.internal/", resolve=resolve)
            texts.append(str(caught.value))
        assert len(set(texts)) == 1
        assert "10.1.2.3" not in texts[0]

    run(work)


@pytest.mark.parametrize(
    ("coding", "packed"), [("gzip", gzip.compress(b"text" * 99)), ("deflate", zlib.compress(b"text" * 99))]
)
def test_packed_answers_are_unpacked(coding: str, packed: bytes) -> None:
    async def work() -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(packed)}\r\n\r\n".encode()
        async with serving(head + packed) as server:
            response = await fetch(f"http://{server.place}/", allow=("127.0.0.1",))
        assert response.body == b"text" * 99
        assert not response.headers.has("content-encoding")

    run(work)


BOMB = gzip.compress(bytes(BODY_BYTES_MAX * 8))
BROKEN = {
    "too large": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1) + bytes(BODY_BYTES_MAX + 1),
    "a bomb": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB) + BOMB,
    "not gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
    "unknown coding": b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 3\r\n\r\nabc",
    "not HTTP": b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "impossible status": b"HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
    "too many headers": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"
    + b"".join(b"x-%d: 1\r\n" % n for n in range(300))
    + b"\r\n",
}


@pytest.mark.parametrize("what", BROKEN)
def test_answers_that_are_refused(what: str) -> None:
    async def work() -> None:
        async with serving(BROKEN[what]) as server:
            with pytest.raises(FetchError) as caught:
                await fetch(f"http://{server.place}/", allow=("127.0.0.1",))
        assert str(caught.value)

    run(work)


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_internet, "_TIMEOUTS", {"connect": 1, "read": 0.05, "write": 1, "pool": 1})

    async def work() -> None:
        async with serving(b"") as server:
            with pytest.raises(FetchError, match="has not answered in time") as caught:
                await fetch(f"http://{server.place}/", allow=("127.0.0.1",))
        assert caught.value.retryable

    run(work)


def test_nobody_listens() -> None:
    async def work() -> None:
        async with serving() as server:
            port = server.port
        with pytest.raises(FetchError, match="could not be fetched"):
            await fetch(f"http://127.0.0.1:{port}/", allow=("127.0.0.1",))

    run(work)


def test_this_machine_is_found_by_its_name() -> None:
    async def work() -> None:
        assert "127.0.0.1" in await look_up("localhost", 80) or "::1" in await look_up("localhost", 80)

    run(work)


class _Packed:
    """An answer whose content came in one piece."""

    headers = ((b"content-encoding", b"gzip"),)

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def aiter_stream(self) -> AsyncIterator[bytes]:
        yield self._content


def test_others_have_a_turn_while_an_answer_is_unpacked() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def work() -> None:
        beside = asyncio.ensure_future(others())
        content = bytes(BODY_BYTES_MAX - 5) + b"the end"[:5]
        answer = _Packed(gzip.compress(content))
        assert await _internet._content(answer, "here") == content  # type: ignore[arg-type]  # as much of one as it reads
        beside.cancel()

    run(work)

    assert turns >= BODY_BYTES_MAX // (64 * 1024)
