"""Clients go where they were told to: credentials in their headers are for that place alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from perdure import RpcSessionError, connect


@asynccontextmanager
async def redirecting(target: str) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends everybody on to `target`; its host and port, and what it was sent."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        lines = f"HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(lines.encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()[:2]
        yield f"{host}:{port}", heard


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_no_redirect_is_followed(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def scenario() -> tuple[list[bytes], list[bytes]]:
        async with redirecting("http://127.0.0.1:9/") as (elsewhere, stolen):
            async with redirecting(f"{scheme}://{elsewhere}/metadata") as (place, heard):
                with pytest.raises(RpcSessionError):
                    async with connect(f"{scheme}://{place}/", headers={"authorization": "Bearer secret"}) as api:
                        await api.hello()
            return heard, stolen

    heard, stolen = asyncio.run(scenario())

    assert b"secret" in heard[0]
    assert stolen == []
