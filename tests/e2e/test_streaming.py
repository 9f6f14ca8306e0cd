"""Bodies that stream through a real server and real sockets: as they come, held back, cut, and of any size."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.serving import served

APP = '''
import asyncio
import resource

from perdure import DurableObject, Platform, Response, WorkerCode

GUEST = """
from workers import DurableObject, Response
import asyncio

class App(DurableObject):
    async def fetch(self, request):
        if request.method == "POST":
            size = 0
            async for chunk in request.stream():
                size += len(chunk)
            return Response(str(size))
        return Response(self.ticks())

    async def ticks(self):
        number = 0
        while True:
            number += 1
            yield f"{number};"
            await asyncio.sleep(0.01)
"""


class Main(DurableObject):
    given = 0
    closed = 0

    async def fetch(self, request):
        match request.path:
            case "/guest":
                worker = self.env.LOADER.get("app", lambda: WorkerCode.python(GUEST))
                facet = self.ctx.facets.get("app", lambda: worker.get_durable_object_class("App"))
                return await facet.fetch(request)
            case "/upload":
                size = 0
                async for chunk in request.stream():
                    size += len(chunk)
                return Response(f"{size} {peak()}")
            case "/peak":
                return Response(str(peak()))
            case "/state":
                return Response.json({"given": self.given, "closed": self.closed})
            case "/flood":
                return Response(self.flood())
            case "/torn":
                return Response(self.torn())
            case "/short":
                return Response(self.torn(), headers={"content-length": "100"})

    async def flood(self):
        try:
            while True:
                self.given += 1
                yield b"x" * 65536
        finally:
            self.closed += 1

    async def torn(self):
        yield "a"
        raise ValueError("torn in its midst")


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


async def fetch(request, env, ctx):
    return await ctx.exports.Main.get_by_name("it").fetch(request)


platform = Platform([Main], fetch=fetch)
'''
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    command = Path(sys.executable).parent / "perdure"
    with served(command, folder / "app.py", data=tmp_path_factory.mktemp("data")) as url:
        yield url


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def megabytes(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield b"x" * MIB


def state_when(http: httpx.Client, *, closed: int) -> dict[str, int]:
    """The state once that many bodies were closed; whoever waits in vain fails."""
    for _ in range(200):
        state: dict[str, int] = http.get("/state").json()
        if state["closed"] >= closed:
            return state
        time.sleep(0.05)
    raise AssertionError("the body was not closed")


def test_an_upload_of_100_megabytes_takes_no_memory(http: httpx.Client) -> None:
    before = int(http.get("/peak").text)

    size, peak = map(int, http.post("/upload", content=megabytes(100)).text.split())

    assert size == 100 * MIB
    assert peak - before < 30


def test_an_upload_into_a_sandbox_streams(http: httpx.Client) -> None:
    assert http.post("/guest", content=megabytes(20)).text == str(20 * MIB)


def test_a_sandbox_answers_as_it_goes_until_the_client_leaves(http: httpx.Client) -> None:
    with http.stream("GET", "/guest") as response:
        text = ""
        for piece in response.iter_text():
            text += piece
            if "5;" in text:
                break

    assert text.startswith("1;2;3;4;5;")
    assert response.headers["transfer-encoding"] == "chunked"


def test_a_client_that_does_not_read_holds_the_object_back_and_one_that_leaves_lets_it_go(http: httpx.Client) -> None:
    closed = http.get("/state").json()["closed"]
    with socket.create_connection((http.base_url.host, http.base_url.port or 80)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.sendall(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.recv(100)
        time.sleep(1)
        given = http.get("/state").json()["given"]
        time.sleep(0.5)
        assert http.get("/state").json()["given"] == given  # Every buffer on the way is full.
        assert given * 65_536 < 32 * MIB

    state_when(http, closed=closed + 1)


@pytest.mark.parametrize("path", ["/torn", "/short"])
def test_an_answer_that_fails_is_cut_and_the_next_one_works(http: httpx.Client, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        http.get(path)

    assert http.get("/state").status_code == 200


def test_head_of_an_answer_that_streams(http: httpx.Client) -> None:
    response = http.head("/flood")

    assert (response.status_code, response.content) == (200, b"")
