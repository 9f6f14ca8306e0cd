"""An object that offers itself to npm's capnweb: at /object, and without an object at /stateless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from perdure import (
    DurableObject,
    PerdureError,
    Platform,
    Request,
    Response,
    RpcTarget,
    WritableStream,
    connect,
    new_workers_rpc_response,
)


class Counter(RpcTarget):
    def __init__(self, room: Room) -> None:
        self._room = room
        self._value = 0

    def increment(self, by: int = 1) -> int:
        self._value += by
        return self._value

    def on_dispose(self) -> None:
        self._room._note("counter disposed")


class Room(DurableObject):
    def __init__(self, ctx: Any, env: Any) -> None:
        super().__init__(ctx, env)
        self.events: list[str] = []
        self.listener: Any = None
        self._noted = asyncio.Event()

    def ready(self) -> str:
        return "ready"

    async def ask(self, url: str) -> list[Any]:
        """Be a client of another server, which calls back."""
        async with connect(url) as api:
            self.ctx.storage.kv.put("total", 41)
            return [await api.add(1, 2), await api.call(self.increment)]

    def echo(self, value: Any) -> Any:
        return value

    def increment(self, by: int = 1) -> int:
        total: int = self.ctx.storage.kv.get("total", 0) + by
        self.ctx.storage.kv.put("total", total)
        return total

    def counter(self) -> Counter:
        return Counter(self)

    def get_events(self) -> list[str]:
        return self.events

    async def wait_for_event(self, text: str) -> bool:
        """Until something was noted; the disposer of a counter, and the end of a listener, note something."""
        while text not in self.events:
            await self._noted.wait()
            self._noted.clear()
        return True

    def _note(self, text: str) -> None:
        self.events.append(text)
        self._noted.set()

    async def greet(self, callback: Any) -> Any:
        return await callback("hello")

    def listen(self, listener: Any) -> None:
        self.listener = listener.dup()

    async def publish(self, text: str) -> Any:
        assert self.listener is not None
        try:
            return await self.listener(text)
        except PerdureError as error:
            return f"{type(error).__name__}: {error}"

    def fail(self) -> None:
        error = TypeError("it failed")
        error.status = 409  # type: ignore[attr-defined]  # as user code does
        raise error

    async def forever(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self._note("forever ended")

    def reset(self) -> None:
        self.ctx.abort("reset on demand")

    def ids(self) -> list[int]:
        return [1, 2, 3]

    def name(self, number: int) -> str:
        return f"number {number}"

    async def total(self, stream: Any) -> list[Any]:
        return [chunk async for chunk in stream]

    async def numbers(self) -> Any:
        async def count() -> AsyncIterator[Any]:
            for number in range(4):
                yield {"number": number}

        return count()

    async def fill(self, sink: WritableStream) -> None:
        for letter in "abc":
            await sink.write(letter)
        await sink.close()

    async def describe(self, message: Any) -> str:
        return f"{type(message).__name__} {(await message.bytes()).decode()}"

    def answer(self) -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"in "
            yield b"parts"

        return Response(body(), 201, {"x-a": "b"})

    def unsendable(self) -> Any:
        return {1, 2}

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": ["a", "b"]}

    async def fetch(self, request: Request) -> Response:
        return await new_workers_rpc_response(request, self)


class Adder(RpcTarget):
    def ready(self) -> str:
        return "ready"

    async def forever(self) -> None:
        await asyncio.Event().wait()

    def add(self, first: int, second: int) -> int:
        return first + second


async def fetch(request: Request, env: Any, ctx: Any) -> Response:
    match request.path.split("/"):
        case ["", "object", name]:
            answer: Response = await ctx.exports.Room.get_by_name(name).fetch(request)
            return answer
        case ["", "stateless"]:
            return await new_workers_rpc_response(request, Adder())
        case ["", "stub", name]:
            return await new_workers_rpc_response(request, ctx.exports.Room.get_by_name(name))
        case _:
            return Response("not here", 404)


platform = Platform([Room], fetch=fetch)
