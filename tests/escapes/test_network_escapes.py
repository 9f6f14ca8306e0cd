"""Attempts to reach this machine's own network through a way out to the internet.

Each URL first reaches the server on loopback through a client that checks nothing, where that client understands it, so
that the refusal proves something.
"""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from perdure import Internet, Platform, Request, Response, WorkerCode, WorkerEntrypoint
from perdure.isolates import Isolates

GUESTS = {
    "python": """
from workers import WorkerEntrypoint, fetch
class Default(WorkerEntrypoint):
    async def go(self, url):
        try:
            return await (await fetch(url)).text()
        except Exception as error:
            return f"refused: {error}"
""",
    "javascript": """
import { WorkerEntrypoint } from "cloudflare:workers";
export default class extends WorkerEntrypoint {
  async go(url) {
    try {
      return await (await fetch(url)).text();
    } catch (error) {
      return `refused: ${error.message}`;
    }
  }
}
""",
}
REACHING = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://127.1:{port}/",
    "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0x7f.0.0.1:{port}/", "http://0177.0.0.1:{port}/",
    "http://0.0.0.0:{port}/", "http://0:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://{name}:{port}/",
]  # fmt: skip
CONFUSING = [
    "http://192.0.2.1@127.0.0.1:{port}/", "http://user:secret@localhost:{port}/", "http://127.0.0.1:{port}\\@192.0.2.1/",
    "http://192.0.2.1\\@127.0.0.1:{port}/", "http:\\\\127.0.0.1:{port}/", "http:127.0.0.1:{port}/",
    "http:///127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://127.0.0.1:{port}#@192.0.2.1/",
    "http://127.0.0.1\t:{port}/", "\thttp://127.0.0.1:{port}/", "http://①②⑦.⓪.⓪.①:{port}/", "http://127。0。0。1:{port}/",
    "http://%31%32%37.0.0.1:{port}/", "http://127.0.0.1%00.example:{port}/", "http://[::1%25lo]:{port}/",
    "http://[0:0:0:0:0:ffff:7f00:1]:{port}/", "http://localhost.:{port}/", "http://127.0.0.1.:{port}/",
]  # fmt: skip


class Local:
    """A server on loopback that must not be reached, and one by its side that redirects to it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.reached.append(head.splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 6\r\n\r\nsecret")
        await writer.drain()
        writer.close()

    def redirector(self, location: str) -> Any:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(
                f"HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n".encode()
            )
            await writer.drain()
            writer.close()

        return serve


async def _listen(serve: Any) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def _run(tmp_path: Path, isolates: Isolates, language: str, steps: Any) -> list[str]:
    """What a guest gets when it fetches what `steps` gives for the port of the local server; and what was reached."""

    async def main() -> list[str]:
        local = Local()
        server, port = await _listen(local.serve)
        urls, outbound, closing = await steps(local, port)
        make = WorkerCode.python if language == "python" else WorkerCode.javascript

        class Asks(WorkerEntrypoint):
            async def fetch(self, request: Any) -> Response:
                entry = self.env.LOADER.load(make(GUESTS[language], global_outbound=outbound)).get_entrypoint()
                return Response.json([await entry.go(url) for url in urls])

        platform = Platform(fetch=Asks, data=tmp_path, isolates=isolates, has_admin_socket=False)
        response = await platform.handle(Request("http://localhost/"))
        answers: list[str] = await response.json()
        await platform.stop()
        for each in (server, *closing):
            each.close()
        assert local.reached == []
        return answers

    return asyncio.run(main())


@pytest.fixture(params=GUESTS)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_way_to_write_loopback_is_refused(tmp_path: Path, perdure_isolates: Isolates, language: str) -> None:
    async def steps(local: Local, port: int) -> Any:
        urls = [url.format(port=port, name=socket.gethostname()) for url in [*REACHING, *CONFUSING]]
        reached = 0
        for url in urls[: len(REACHING)]:
            reached += await asyncio.to_thread(_plainly, url)
        assert reached >= len(REACHING) - 2, "a client that checks nothing reaches the server"
        local.reached.clear()
        return urls, Internet(), []

    answers = _run(tmp_path, perdure_isolates, language, steps)

    assert [answer for answer in answers if not answer.startswith("refused: ")] == []


def _plainly(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # our own server
            return bool(answer.read() == b"secret")
    except OSError:
        return False


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "http://[::ffff:7f00:1]:{port}/"]
)
def test_an_allowed_host_cannot_redirect_to_another(
    tmp_path: Path, perdure_isolates: Isolates, language: str, location: str
) -> None:
    async def steps(local: Local, port: int) -> Any:
        server, door = await _listen(local.redirector(location.format(port=port)))
        assert await asyncio.to_thread(_plainly, f"http://localhost:{door}/"), "the redirect works"
        local.reached.clear()
        return [f"http://localhost:{door}/"], Internet((f"localhost:{door}",)), [server]

    (answer,) = _run(tmp_path, perdure_isolates, language, steps)

    assert "it has no public address" in answer


def test_what_is_allowed_is_reached(tmp_path: Path, perdure_isolates: Isolates, language: str) -> None:
    """The tests above would pass without any network at all."""

    async def main() -> str:
        local = Local()
        server, port = await _listen(local.serve)
        make = WorkerCode.python if language == "python" else WorkerCode.javascript
        code = make(GUESTS[language], global_outbound=Internet((f"localhost:{port}",)))

        class Asks(WorkerEntrypoint):
            async def fetch(self, request: Any) -> Response:
                return Response(await self.env.LOADER.load(code).get_entrypoint().go(f"http://localhost:{port}/"))

        platform = Platform(fetch=Asks, data=tmp_path, isolates=perdure_isolates, has_admin_socket=False)
        answer = await (await platform.handle(Request("http://localhost/"))).text()
        await platform.stop()
        server.close()
        return answer

    assert asyncio.run(main()) == "secret"
