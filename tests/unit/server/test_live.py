"""What is served can be exchanged while requests wait, and survives a successor that fails."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
from tests.unit.server.asgi_client import http_scope, messages_of
from tests.unit.server.fakes import FakePlatform

from perdure.server._asgi import AsgiApp, Receive, Scope, Send
from perdure.server._discover import Found, Wanted
from perdure.server._live import InnerLifespan, LiveApp
from perdure.server._reload import is_source, reload


def found(platform: FakePlatform, app: AsgiApp | None = None) -> Found:
    return Found(app=app or platform, platform=platform, description="a fake")


async def text_from(live: LiveApp) -> str:
    sent = await messages_of(live, http_scope())
    return bytes(sent[1]["body"]).decode()


def test_requests_wait_for_the_start() -> None:
    async def main() -> str:
        live = LiveApp(found(FakePlatform(text="hi")))
        answer = asyncio.create_task(text_from(live))
        await asyncio.sleep(0)
        assert not answer.done()
        await live.start()
        return await answer

    assert asyncio.run(main()) == "hi"


def test_the_successor_answers_and_the_predecessor_has_stopped() -> None:
    old, new = FakePlatform(text="old"), FakePlatform(text="new")

    async def main() -> str:
        live = LiveApp(found(old))
        await live.start()
        await live.replace(found(new))
        return await text_from(live)

    assert asyncio.run(main()) == "new"
    assert (old.acts, new.acts) == (["start", "stop"], ["start"])


def test_a_successor_that_does_not_start_changes_nothing() -> None:
    old, new = FakePlatform(text="old"), FakePlatform(text="new")
    new.fails_to_start = True

    async def main() -> str:
        live = LiveApp(found(old))
        await live.start()
        with pytest.raises(OSError, match="no room left"):
            await live.replace(found(new))
        return await text_from(live)

    assert asyncio.run(main()) == "old"
    assert old.acts == ["start", "stop", "start"]


def test_a_websocket_keeps_no_successor_waiting() -> None:
    release = asyncio.Event()

    async def endless(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["type"] == "websocket"
        await release.wait()

    async def main() -> None:
        live = LiveApp(found(FakePlatform(), endless))
        await live.start()
        connection = asyncio.create_task(messages_of(live, {"type": "websocket"}))
        await asyncio.sleep(0)
        await asyncio.wait_for(live.replace(found(FakePlatform())), 5)
        release.set()
        await connection

    asyncio.run(main())


def test_requests_under_way_are_waited_for() -> None:
    old = FakePlatform()
    release = asyncio.Event()

    async def slow(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["type"] == "http"
        await release.wait()
        assert old.acts == ["start"]

    async def main() -> None:
        live = LiveApp(found(old, slow))
        await live.start()
        request = asyncio.create_task(messages_of(live, http_scope()))
        await asyncio.sleep(0)
        exchange = asyncio.create_task(live.replace(found(FakePlatform())))
        await asyncio.sleep(0)
        release.set()
        await request
        await exchange

    asyncio.run(main())
    assert old.acts == ["start", "stop"]


def test_a_request_that_never_ends_delays_the_exchange_only_so_long(caplog: pytest.LogCaptureFixture) -> None:
    async def endless(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["type"] == "http"
        await asyncio.Event().wait()

    async def main() -> str:
        live = LiveApp(found(FakePlatform(), endless))
        await live.start()
        request = asyncio.create_task(messages_of(live, http_scope()))
        await asyncio.sleep(0)
        await live.replace(found(FakePlatform(text="new")), drain_s=0)
        request.cancel()
        return await text_from(live)

    assert asyncio.run(main()) == "new"
    assert "1 requests are still under way" in caplog.text


# ── lifespan of the app around the platform ──────────────────────────────────────────────────────────────────


class AppWithLifespan:
    """Like FastAPI: keeps something in `state` from startup to shutdown."""

    def __init__(self, *, message: str = "") -> None:
        self.acts: list[str] = []
        self.message = message

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["state"]["word"].encode()})
            return
        await receive()
        self.acts.append("startup")
        if self.message:
            await send({"type": "lifespan.startup.failed", "message": self.message})
            return
        scope["state"]["word"] = "from state"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.acts.append("shutdown")
        await send({"type": "lifespan.shutdown.complete"})


def test_the_app_around_a_platform_has_its_lifespan() -> None:
    app, platform = AppWithLifespan(), FakePlatform()

    async def main() -> str:
        live = LiveApp(found(platform, app))
        await live.start()
        text = await text_from(live)
        await live.stop()
        return text

    assert asyncio.run(main()) == "from state"
    assert app.acts == ["startup", "shutdown"]
    assert platform.acts == ["start", "stop"]


def test_an_app_that_fails_to_start_says_why() -> None:
    with pytest.raises(RuntimeError, match="startup failed: no database"):
        asyncio.run(InnerLifespan(AppWithLifespan(message="no database")).start())


def test_an_app_without_lifespan_is_fine() -> None:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["type"] == "http"

    async def main() -> None:
        lifespan = InnerLifespan(app)
        await lifespan.start()
        await lifespan.stop()

    asyncio.run(main())


# ── reload ───────────────────────────────────────────────────────────────────────────────────────────────────

SOURCE = "from tests.unit.server.fakes import FakePlatform\nplatform = FakePlatform(text={text!r})\n"


async def reload_file(live: LiveApp, path: Path, source: str) -> None:
    path.write_text(source)  # noqa: ASYNC240  # nothing else runs on this loop
    wanted = Wanted([str(path)], data=path.parent / "data")
    await reload(live, wanted, names=path.name, platform_type=FakePlatform)


def test_saved_code_is_served_with_the_same_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "perdure")

    async def main() -> tuple[str, Any]:
        live = LiveApp(found(FakePlatform()))
        await live.start()
        await reload_file(live, tmp_path / "reloaded_app.py", SOURCE.format(text="second"))
        return await text_from(live), live.found.platform

    text, platform = asyncio.run(main())

    assert text == "second"
    assert platform.data == tmp_path / "data"
    assert platform.is_development
    assert "reloaded_app.py changed: serving Platform `platform`" in caplog.text


@pytest.mark.parametrize("broken", ["def (", "raise ValueError('x')", "nothing = 1", "import none_such_module"])
def test_broken_code_is_reported_and_the_old_code_goes_on(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    old = FakePlatform(text="old")

    async def main() -> str:
        live = LiveApp(found(old))
        await live.start()
        await reload_file(live, tmp_path / "broken_app.py", broken)
        return await text_from(live)

    assert asyncio.run(main()) == "old"
    assert old.acts == ["start"]
    assert "broken_app.py changed, but the new code does not start; the old code goes on" in caplog.text


@pytest.mark.parametrize(
    ("name", "is_one"), [("a.py", True), ("a.html", True), (".#a.py", False), ("data.db", False), ("a.py~", False)]
)
def test_only_sources_reload(name: str, is_one: bool) -> None:  # noqa: FBT001  # a column
    assert is_source(None, f"/x/{name}") == is_one
