"""Two sessions back to back, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from perdure.capnweb import PeerStub, Session


class Wire:
    """One direction: what is sent is received, in order; `cut` breaks it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()
        self.sent: list[str] = []


class LocalTransport:
    """One end."""

    def __init__(self, outgoing: Wire, incoming: Wire) -> None:
        self._outgoing = outgoing
        self._incoming = incoming
        self.error: BaseException | None = None

    async def send(self, message: str) -> None:
        self._outgoing.sent.append(message)
        self._outgoing.queue.put_nowait(message)

    async def receive(self) -> str | None:
        return await self._incoming.queue.get()

    async def end(self, error: BaseException | None) -> None:
        self.error = error
        self._outgoing.queue.put_nowait(None)


class Pair:
    """A client, a server, and what each said."""

    def __init__(self, main: object, client_main: object = None) -> None:
        self.to_server, self.to_client = Wire(), Wire()
        self.client_transport = LocalTransport(self.to_server, self.to_client)
        self.server_transport = LocalTransport(self.to_client, self.to_server)
        self.client = Session(self.client_transport, client_main)
        self.server = Session(self.server_transport, main)

    @property
    def api(self) -> Any:
        main: PeerStub = self.client.main
        return main


@asynccontextmanager
async def connected(main: object, client_main: object = None) -> AsyncIterator[Pair]:
    """A pair whose sessions run; both have ended afterwards."""
    pair = Pair(main, client_main)
    running = [asyncio.ensure_future(pair.client.run()), asyncio.ensure_future(pair.server.run())]
    try:
        yield pair
    finally:
        pair.client.main.close()
        await asyncio.wait_for(asyncio.gather(*running), 20)


async def settle(rounds: int = 50) -> None:
    """Let everything run that can."""
    for _ in range(rounds):
        await asyncio.sleep(0)
