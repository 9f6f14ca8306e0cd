"""LiveApp: what the server holds. The platform behind it can be exchanged while connections stay.

Requests that arrive during an exchange wait for its end; those under way are waited for, up to a limit.
Effects: tasks, log.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from perdure.limits import DRAIN_S
from perdure.server._asgi import AsgiApp, Receive, Scope, Send
from perdure.server._discover import Found

_LOG: Final = logging.getLogger("perdure.server")


class LiveApp:
    """The ASGI app in front of what was `found`. It drives platform and lifespan itself, whatever the server does."""

    def __init__(self, found: Found) -> None:
        self.found = found
        self._lifespan = InnerLifespan(found.app)
        self._requests = 0
        self._is_open = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def start(self) -> None:
        """Start the platform and the app around it. Raises what they raise."""
        await self.found.platform.start()
        # A platform is its own app when nothing is around it.
        if self.found.app is not self.found.platform:
            await self._lifespan.start()
        self._is_open.set()

    async def stop(self) -> None:
        """Stop them, in the other order."""
        self._is_open.clear()
        await self._lifespan.stop()
        await self.found.platform.stop()

    async def replace(self, found: Found, *, drain_s: float = DRAIN_S) -> None:
        """Serve `found` from now on. If it does not start, the old one goes on and the error is raised."""
        self._is_open.clear()
        if self._requests:
            _LOG.info("requests under way: %d; the new code waits for them, at most %g s", self._requests, drain_s)
        try:
            async with asyncio.timeout(drain_s):
                await self._is_idle.wait()
        except TimeoutError:
            _LOG.warning(
                "%d requests are still under way after %g s; the new code starts without them", self._requests, drain_s
            )
        old = self.found, self._lifespan
        await self.stop()
        self.found, self._lifespan = found, InnerLifespan(found.app)
        try:
            await self.start()
        except Exception:
            await found.platform.stop()
            self.found, self._lifespan = old[0], InnerLifespan(old[0].app)
            await self.start()
            raise

    @property
    def requests_under_way(self) -> int:
        """How many requests have come and are not answered yet."""
        return self._requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if not self._is_open.is_set():
            await self._is_open.wait()
        if self._lifespan.state:
            scope["state"] = dict(self._lifespan.state)
        if scope["type"] == "websocket":  # It may last for ever: nobody waits for it, a stop ends it.
            await self.found.app(scope, receive, send)
            return
        self._requests += 1
        self._is_idle.clear()
        try:
            await self.found.app(scope, receive, send)
        finally:
            self._requests -= 1
            if not self._requests:
                self._is_idle.set()


class InnerLifespan:
    """Runs the lifespan of an ASGI app as a server would; an app without one is fine."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.state: dict[str, Any] = {}

    async def start(self) -> None:
        """Wait until the app has started. Raises RuntimeError with its message when it says that it failed."""
        self._task = asyncio.create_task(self._run())
        await self._exchange("startup")

    async def stop(self) -> None:
        """Tell the app to stop, and wait for it."""
        if self._task is None:
            return
        try:
            await self._exchange("shutdown")
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        await self._app(scope, self._events.get, self._send)

    async def _send(self, message: Any) -> None:  # noqa: ANN401  # the shape of an ASGI message
        self._answers.put_nowait(message)

    async def _exchange(self, event: str) -> None:
        assert self._task is not None
        self._events.put_nowait({"type": f"lifespan.{event}"})
        answer = asyncio.create_task(self._answers.get())
        await asyncio.wait([answer, self._task], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            # By the protocol an app that raises here just has no lifespan.
            answer.cancel()
            return
        if answer.result()["type"] == f"lifespan.{event}.failed":
            raise RuntimeError(f"the app's {event} failed: {answer.result().get('message', '')}")
