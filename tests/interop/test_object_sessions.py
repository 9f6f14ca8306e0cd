"""Objects of a real server that have sessions: with clients when it stops, and as clients of another server."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.interop.npm import HERE, needs_npm_packages, node_server
from tests.serving import served

from perdure import RpcSessionError, connect
from perdure.errors import GuestError

COMMAND = Path(sys.executable).parent / "perdure"


@pytest.mark.parametrize("path", ["/object/stopped", "/stateless"])
def test_a_server_that_stops_ends_its_sessions_and_waits_for_none(path: str, tmp_path: Path) -> None:
    async def main(address: str, stop: ExitStack) -> None:
        async with connect(address.replace("http", "ws") + path) as api:
            assert await api.ready() == "ready"
            waiting = api.forever()
            waited = asyncio.ensure_future(waiting._value())
            await asyncio.to_thread(stop.close)  # it fails when the server takes more than 30 seconds
            with pytest.raises((RpcSessionError, GuestError)):
                await waited

    with ExitStack() as stop:
        address = stop.enter_context(served(COMMAND, HERE / "app" / "main.py", data=tmp_path / "data"))
        asyncio.run(main(address, stop))


def test_an_object_is_a_client_of_another_server(tmp_path: Path) -> None:
    needs_npm_packages()

    async def main(address: str, port: int) -> None:
        async with connect(address.replace("http", "ws") + "/object/client") as api:
            assert await api.ask(f"ws://127.0.0.1:{port}/") == [3, 42]

    with served(COMMAND, HERE / "app" / "main.py", data=tmp_path / "data") as address, node_server() as (port, _):
        asyncio.run(main(address, port))
