"""Sessions of objects: calls are events, what is said waits for the disk, and a reset ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from perdure import DurableObject, Request, Response, RpcTarget, new_workers_rpc_response
from perdure.capnweb import Session
from perdure.capnweb._socket import SocketTransport
from perdure.errors import GuestError, RpcSessionError, UsageError
from perdure.testing import World

SWITCH = {"upgrade": "websocket"}
URL = "https://room/"


class Item(RpcTarget):
    def __init__(self, room: Room) -> None:
        self._room = room

    def rename(self, name: str) -> str:
        self._room.ctx.storage.kv.put("name", name)
        return name

    def on_dispose(self) -> None:
        self._room.ctx.storage.kv.put("disposed", value=True)


class Room(DurableObject):
    newest: ClassVar[Room]

    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.listener: Any = None
        self.gate = asyncio.Event()
        self.log: list[str] = []
        Room.newest = self

    async def fetch(self, request: Request) -> Response:
        return await new_workers_rpc_response(request, self)

    def put(self, value: int) -> int:
        self.ctx.storage.kv.put("value", value)
        return value

    def get(self, key: str) -> Any:
        return self.ctx.storage.kv.get(key)

    def item(self) -> Item:
        return Item(self)

    def fail_after_writing(self) -> None:
        self.ctx.storage.kv.put("value", 0)
        raise ValueError("it failed")

    def listen(self, listener: Any) -> None:
        self.listener = listener.dup()

    def write_and_tell(self) -> None:
        self.ctx.storage.kv.put("value", 1)
        self.listener("written")

    async def section(self) -> None:
        async def inside() -> None:
            self.log.append("begin")
            await self.gate.wait()
            self.log.append("end")

        await self.ctx.block_concurrency_while(inside)

    async def ask_in_section(self, peer: Any) -> Any:
        async def inside() -> Any:
            return await peer(lambda: "called back")

        return await self.ctx.block_concurrency_while(inside)

    def neighbour(self) -> Any:
        return self.ctx.exports.Room.get_by_name("b")

    async def hand_on(self, listener: Any) -> Any:
        return await self.ctx.exports.Room.get_by_name("b").tell(listener)

    async def tell(self, listener: Any) -> Any:
        self.ctx.storage.kv.put("value", 1)
        return await listener("from b")

    def note(self, text: str) -> list[str]:
        self.log.append(text)
        return self.log

    def reset(self) -> None:
        self.ctx.abort("on demand")

    def count(self) -> Any:
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                self.ctx.storage.kv.put("value", number)
                yield number

        return numbers()


@asynccontextmanager
async def session(world: World, main: object = None) -> AsyncIterator[Any]:
    """A client of the object `a`, over its own WebSocket."""
    response = await world.platform.get(Room, "a").fetch(Request(URL, headers=SWITCH))
    assert response.web_socket is not None
    serve: Any = response.web_socket.serve
    client = Session(SocketTransport(response.web_socket), main)
    running = [asyncio.ensure_future(serve()), asyncio.ensure_future(client.run())]
    try:
        yield client.main
    finally:
        client.main.close()
        await asyncio.gather(*running)


async def steps(count: int = 100) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    with World([Room]) as world:
        world.run(scenario(world))


def test_calls_are_events_of_the_object() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            assert await api.put(5) == 5
            with api.item() as item:
                assert await item.rename("x") == "x"
            with pytest.raises(GuestError, match="it failed"):
                await api.fail_after_writing()
        assert await world.platform.get(Room, "a").get("name") == "x"

    run(scenario)


def test_a_disposer_is_an_event_of_the_object() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            await api.item()
        assert await world.platform.get(Room, "a").get("disposed") is True

    run(scenario)


def test_an_answer_waits_until_what_was_written_is_durable() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            with world.journal_held():
                answers = [
                    asyncio.ensure_future(promise._value()) for promise in (api.put(5), api.fail_after_writing())
                ]
                await steps()
                assert not any(answer.done() for answer in answers)
            assert await answers[0] == 5
            with pytest.raises(GuestError, match="it failed"):
                await answers[1]

    run(scenario)


def test_a_call_to_the_peer_waits_until_what_was_written_before_is_durable() -> None:
    heard: list[str] = []

    async def scenario(world: World) -> None:
        async with session(world) as api:
            await api.listen(heard.append)
            with world.journal_held():
                told = asyncio.ensure_future(api.write_and_tell()._value())
                await steps()
                assert heard == []
            await told
            await steps()
            assert heard == ["written"]

    run(scenario)


def test_a_stream_of_the_object_waits_for_what_it_writes() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            stream = await api.count()
            chunks = aiter(stream)
            assert await anext(chunks) == 0
            rest = [number async for number in chunks]
            assert rest == [1, 2]
            assert await api.get("value") == 2

    run(scenario)


def test_calls_wait_for_a_critical_section() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            inside = asyncio.ensure_future(api.section()._value())
            await steps()
            later = asyncio.ensure_future(api.note("later")._value())
            await steps()
            assert not later.done()
            Room.newest.gate.set()
            await inside
            assert await later == ["begin", "end", "later"]

    run(scenario)


def test_a_call_back_into_a_critical_section_is_let_in() -> None:
    async def answer(function: Any) -> Any:
        return await function()

    async def scenario(world: World) -> None:
        async with session(world) as api:
            assert await api.ask_in_section(answer) == "called back"

    run(scenario)


def test_a_stub_of_another_object_is_passed_to_the_peer() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            assert await api.neighbour().put(3) == 3
            neighbour = await api.neighbour()
            assert await neighbour.get("value") == 3
        assert await world.platform.get(Room, "b").get("value") == 3

    run(scenario)


def test_a_function_of_the_peer_is_passed_to_another_object_and_waits_for_its_writes() -> None:
    heard: list[str] = []

    def hear(text: str) -> str:
        heard.append(text)
        return f"heard {text}"

    async def scenario(world: World) -> None:
        async with session(world) as api:
            with world.journal_held():
                told = asyncio.ensure_future(api.hand_on(hear)._value())
                await steps()
                assert heard == []
            assert await told == "heard from b"

    run(scenario)


def test_a_reset_ends_the_session_with_its_reason() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            await api.put(1)
            with pytest.raises((GuestError, RpcSessionError), match="on demand"):
                await api.reset()
            with pytest.raises((GuestError, RpcSessionError), match="on demand"):
                await api.put(2)
        async with session(world) as again:
            assert await again.get("value") == 1

    run(scenario)


def test_an_object_with_a_session_stays_in_memory() -> None:
    async def scenario(world: World) -> None:
        async with session(world) as api:
            await api.note("kept")
            await asyncio.sleep(3600)
            assert await api.note("still") == ["kept", "still"]
        await asyncio.sleep(3600)
        assert await world.platform.get(Room, "a").note("new") == ["new"]

    run(scenario)


def test_a_batch_is_answered_when_its_writes_are_durable() -> None:
    async def scenario(world: World) -> None:
        lines = '["push",["pipeline",0,["put"],[7]]]\n["pull",1]'
        with world.journal_held():
            answer = asyncio.ensure_future(world.platform.get(Room, "a").fetch(Request(URL, "POST", body=lines)))
            await steps()
            assert not answer.done()
        assert await (await answer).text() == '["resolve",1,7]'

    run(scenario)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", ""),
        (
            "nonsense",
            '["abort",["error","RpcSessionError","the peer broke the protocol of Cap\'n Web: a message cannot',
        ),
        (
            '["push",["pipeline",0,["missing"],[]]]\n["pull",1]',
            '["reject",1,["error","RpcMethodError","The RPC receiver',
        ),
    ],
)
def test_batches_that_ask_for_nothing_or_nonsense(body: str, said: str) -> None:
    async def scenario(world: World) -> None:
        answer = await world.platform.get(Room, "a").fetch(Request(URL, "POST", body=body))
        assert answer.status == 200
        assert (await answer.text()).startswith(said)

    run(scenario)


def test_too_many_messages_in_a_batch_are_refused() -> None:
    async def scenario(world: World) -> None:
        answer = await world.platform.get(Room, "a").fetch(Request(URL, "POST", body="\n" * 10_001))
        assert answer.status == 413

    run(scenario)


def test_other_methods_are_refused() -> None:
    async def scenario(world: World) -> None:
        answer = await world.platform.get(Room, "a").fetch(URL)
        assert (answer.status, answer.headers.get("allow")) == (405, "POST")

    run(scenario)


def test_what_cannot_be_offered() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="a `str` cannot be the main object of a session"):
            await new_workers_rpc_response(Request(URL, headers=SWITCH), "text")

    asyncio.run(main())
