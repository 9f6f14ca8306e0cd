"""A real program: an app of Hono, bundled by esbuild with its packages, answers requests in a JavaScript guest."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver, only

HERE: Final = Path(__file__).parent
NODE_MODULES: Final = HERE.parents[2] / "tools" / "javascript" / "node_modules"


@pytest.fixture(scope="module")
def bundle() -> str:
    command = [
        str(NODE_MODULES / ".bin" / "esbuild"),
        str(HERE / "hono_app.tsx"),
        "--bundle",
        "--format=esm",
        "--minify",
        "--jsx=automatic",
    ]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "NODE_PATH": str(NODE_MODULES)}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Answer:
    """A response, its body as text."""

    status: int
    headers: dict[str, str]
    text: str = ""
    cookies: list[str] = field(default_factory=list)


class Client:
    """Asks the app."""

    def __init__(self, guest: Driver) -> None:
        self._guest = guest

    def __call__(self, path: str, method: str = "GET", *, body: str | None = None, **headers: str) -> Answer:
        request: dict[str, Any] = {"m": method, "u": f"http://app.test{path}", "h": []}
        request["h"] = [[name.replace("_", "-"), value] for name, value in headers.items()]
        if body is not None:
            request["b"] = body
        wire = self._settled(self._guest.event("fetch", r=request, x="default"))
        text = base64.b64decode(wire["B"]).decode() if "B" in wire else wire.get("b", "")
        if "S" in wire:
            text = "".join(self._chunks(wire["S"]))
        cookies = [value for name, value in wire["h"] if name == "set-cookie"]
        return Answer(wire["s"], dict(wire["h"]), text, cookies)

    def _chunks(self, number: int) -> Iterator[str]:
        while (chunk := self._settled(self._guest.event("stream", n=number, act="read"))) is not None:
            yield base64.b64decode(chunk[1]).decode()

    def _settled(self, report: dict[str, Any]) -> Any:
        while "d" not in report:
            self._guest.host.now_ms += int(report["t"])
            report = self._guest.resume()
        return only(report)


@pytest.fixture
def app(javascript: JavaScript, bundle: str) -> Client:
    return Client(javascript(bundle))


def test_it_routes(app: Client) -> None:
    assert app("/").text == "hello"
    assert app("/v2/ping").text == "pong"
    assert (app("/nowhere").status, app("/nowhere").text) == (404, "nothing at /nowhere")
    assert json.loads(app("/api/items/7?q=x&t=1&t=2").text) == {"id": 7, "q": "x", "all": ["1", "2"]}
    assert app("/api/items/x").status == 404


def test_its_middleware_works(app: Client) -> None:
    assert app("/api/items/7", origin="http://other").headers["access-control-allow-origin"] == "*"
    first = app("/etag")
    assert app("/etag", if_none_match=first.headers["etag"]).status == 304
    assert app("/private/x").status == 401
    assert app("/private/x", authorization="Basic " + base64.b64encode(b"ann:pass").decode()).text == "for ann"
    token = app("/login").text
    assert app("/token/who").status == 401
    assert json.loads(app("/token/who", authorization=f"Bearer {token}").text)["sub"] == "ann"


def test_it_reads_bodies(app: Client) -> None:
    kind = "application/json"
    assert app("/api/items", "POST", body='{"name": "n", "size": 1}', content_type=kind).status == 201
    assert app("/api/items", "POST", body="{}", content_type=kind).text == "no name"
    assert app("/api/items", "POST", body="{", content_type=kind).status == 400
    form = (
        '--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhé\r\n'
        '--x\r\nContent-Disposition: form-data; name="note"\r\n\r\nkept\r\n--x--\r\n'
    )
    uploaded = app("/upload", "POST", body=form, content_type="multipart/form-data; boundary=x")
    assert json.loads(uploaded.text) == {"name": "a.txt", "text": "hé", "note": "kept"}


def test_it_renders_and_keeps_cookies(app: Client) -> None:
    assert app("/page").text == '<ul><li class="item">a</li><li class="item">&lt;b&gt;</li></ul>'
    first = app("/visits")
    assert first.cookies == ["visits=1; Path=/; HttpOnly"]
    assert app("/visits", cookie="visits=1").text == "visit 2"


def test_it_streams(app: Client) -> None:
    assert app("/stream").text == "one two three"
    events = app("/events")
    assert events.headers["content-type"] == "text/event-stream"
    assert events.text == "event: tick\ndata: 1\nid: 7\n\n"


def test_its_errors_are_its_own(app: Client) -> None:
    assert (app("/fails").status, app("/fails").text) == (418, "a teapot")
    assert (app("/breaks").status, app("/breaks").text) == (500, "caught inside")
