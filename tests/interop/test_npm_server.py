"""Our client, and a real server of npm's capnweb."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import IO, Any

import pytest
from tests.interop.npm import needs_npm_packages, node_server

from perdure import RpcTarget, WritableStream, connect
from perdure.errors import GuestError, RpcSessionError, UsageError
from perdure.web import File, Request, Response
from perdure.wire import BigInt, TypedBytes

Scenario = Callable[[Any], Awaitable[Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[int, IO[str]]]:
    needs_npm_packages()
    with node_server() as started:
        yield started


@pytest.fixture
def port(server: tuple[int, IO[str]]) -> int:
    return server[0]


def run(port: int, scenario: Scenario, *, scheme: str = "ws", main: object = None) -> Any:
    """Run `scenario(api)` in a session."""

    async def session() -> Any:
        async with connect(f"{scheme}://127.0.0.1:{port}/", main) as api:
            return await asyncio.wait_for(scenario(api), 30)

    return asyncio.run(session())


def test_calls_and_pipelining(port: int) -> None:
    async def scenario(api: Any) -> None:
        counter = api.counter()
        first = counter.increment(2)
        assert await api.add(1, 2) == 3
        assert await counter.increment(3) == 5
        assert await api.add(first, api.add(1, 1)) == 4
        assert await api.settings.names[1] == "b"

    run(port, scenario)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "text \U0001f600",
        1.5,
        2**53 - 1,
        [[1], []],
        {"a": {"b": []}},
        b"\x00\xff",
        datetime(1970, 1, 2, tzinfo=UTC),
        BigInt(5),
        2**70,
        float("inf"),
        TypedBytes(b"\x01\x00\xff\xff", "Uint16Array"),
    ],
)
def test_values(port: int, value: object) -> None:
    async def scenario(api: Any) -> None:
        back = await api.echo(value)
        assert back == value
        assert type(back) is type(value)

    run(port, scenario)


def test_callbacks(port: int) -> None:
    class Name(RpcTarget):
        def first_name(self) -> str:
            return "Ada"

    async def greet(word: str) -> str:
        return f"{word} you"

    async def scenario(api: Any) -> None:
        assert await api.call(greet, "hello") == "hello you"
        back = await api.echo(Name())
        assert await back.firstName() == "Ada"
        back.close()
        await api.keep(lambda word: word.upper())
        assert await api.useKept("again") == "AGAIN"

    run(port, scenario)


def test_errors(port: int) -> None:
    def refuse() -> None:
        error = ValueError("not today")
        error.until = 5  # type: ignore[attr-defined]  # as user code does
        raise error

    async def scenario(api: Any) -> None:
        with pytest.raises(GuestError, match="it failed") as caught:
            await api.fail()
        assert caught.value.type_name == "TypeError"
        assert caught.value.properties == {"status": 409, "detail": {"field": "name"}}
        with pytest.raises(GuestError, match="only text"):
            await api.throwText()
        with pytest.raises(GuestError, match="'missing' is not a function"):
            await api.missing()
        with pytest.raises(GuestError, match="it failed"):
            await api.fail().anything.at.all()
        with pytest.raises(GuestError, match="not today") as passed:
            await api.call(refuse)
        assert passed.value.properties == {"until": 5}
        with pytest.raises(GuestError, match="Cannot serialize value"):
            await api.file()

    run(port, scenario)


def test_streams(port: int) -> None:
    got: list[object] = []

    async def letters() -> AsyncIterator[Any]:
        for letter in ("a", 1, {"b": 2}):
            yield letter

    async def scenario(api: Any) -> None:
        assert await api.total(letters()) == ["a", 1, {"b": 2}]
        assert [chunk["number"] async for chunk in await api.numbers()] == [0, 1, 2, 3]
        await api.fill(WritableStream(got.append, close=lambda: got.append("end")))

    run(port, scenario)
    assert got == ["a", "b", "c", "end"]


def test_messages_and_blobs(port: int) -> None:
    async def scenario(api: Any) -> None:
        assert await api.describe(Request("https://a.example/", "POST", body="of a request")) == "Request of a request"
        assert await api.describe(Response("x")) == "Response x"
        assert await api.describe(File(b"of a blob", name="", content_type="text/plain")) == "Blob of a blob"
        answer = await api.answer()
        assert (answer.status, answer.headers.get("x-a"), await answer.text()) == (201, "b", "of a response")
        blob = await api.blob()
        assert (blob.type, await blob.text()) == ("text/plain", "of a blob")

    run(port, scenario)


def test_large_messages(port: int) -> None:
    async def scenario(api: Any) -> None:
        large = "x" * 5_000_000
        assert await api.echo(large) == large

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield b"y" * 20_000

        assert len(await api.total(chunks())) == 200

    run(port, scenario)


def test_map(port: int) -> None:
    async def scenario(api: Any) -> None:
        assert await api.ids().map(lambda number: [number, api.name(number)]) == [
            [1, "number 1"],
            [2, "number 2"],
            [3, "number 3"],
        ]
        assert await api.ids().map(lambda number: api.echo({"number": number}).number) == [1, 2, 3]
        with pytest.raises(UsageError, match="cannot be awaited or kept"):
            api.ids().map(lambda number: number.__await__().send(None))

    run(port, scenario)


def test_disposal(server: tuple[int, IO[str]]) -> None:
    port, printed = server

    async def scenario(api: Any) -> None:
        with await api.counter() as counter:
            second = counter.dup()
        assert await second.increment() == 1
        second.close()
        with pytest.raises(UsageError, match="RPC stub used after being disposed"):
            await second.increment()

    run(port, scenario)
    assert printed.readline() == "counter disposed\n"


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("hangUp", "the connection broke"),
        ("garbage", "the peer broke the protocol of Cap'n Web: a message cannot be read"),
    ],
)
def test_broken_connections(port: int, how: str, told: str) -> None:
    async def scenario(api: Any) -> None:
        waiting = api.forever()
        with pytest.raises(RpcSessionError, match=told):
            await api[how]()
        with pytest.raises(RpcSessionError, match=told):
            await waiting
        with pytest.raises(RpcSessionError, match=told):
            await api.add(1, 1)

    run(port, scenario)


def test_a_batch(port: int) -> None:
    async def scenario(api: Any) -> None:
        counter = api.counter()
        assert await asyncio.gather(api.add(1, 2), counter.increment(4), api.echo("a\nb")) == [3, 4, "a\nb"]  # type: ignore[comparison-overlap]  # it is a list
        with pytest.raises(RpcSessionError, match="the batch is over"):
            await api.add(1, 1)

    run(port, scenario, scheme="http")


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_a_server_that_is_not_there(scheme: str, closed_port: int) -> None:
    async def scenario(api: Any) -> None:
        await api.add(1, 1)

    with pytest.raises(RpcSessionError, match="cannot be reached"):
        run(closed_port, scenario, scheme=scheme)


@pytest.fixture
def closed_port() -> int:
    """A port that nobody listens at: of the reserved ones, which no test takes."""
    return 1


def test_an_address_of_another_kind(port: int) -> None:
    async def scenario(api: Any) -> None:
        raise AssertionError("there is no session")

    with pytest.raises(UsageError, match="it begins with ws, wss, http or https"):
        run(port, scenario, scheme="ftp")
