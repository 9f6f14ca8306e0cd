"""A platform without storage or sandboxes, for what only starts, stops and serves it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from perdure.api import DurableObject
from perdure.server._asgi import Receive, Scope, Send


class FakePlatform:
    """Answers with its `text`; counts what was done to it. `fails_to_start` makes it raise then."""

    def __init__(self, classes: Iterable[type[DurableObject]] = (), *, fetch: object = None, text: str = "") -> None:
        self.classes = list(classes)
        self.fetch = fetch
        self.text = text
        self.data = Path(".perdure")
        self.is_development = False
        self.adopt_changed_files = False
        self.fails_to_start = False
        self.acts: list[str] = []

    async def start(self) -> None:
        self.acts.append("start")
        if self.fails_to_start:
            raise OSError("no room left")

    async def stop(self) -> None:
        self.acts.append("stop")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.text.encode()})
