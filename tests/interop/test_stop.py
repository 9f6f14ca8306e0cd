"""A server that stops while sessions are open."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.serving import served

from perdure import RpcSessionError, connect
from perdure.errors import GuestError

HERE = Path(__file__).resolve().parent


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
        command = Path(sys.executable).parent / "perdure"
        address = stop.enter_context(served(command, HERE / "app" / "main.py", data=tmp_path / "data"))
        asyncio.run(main(address, stop))
