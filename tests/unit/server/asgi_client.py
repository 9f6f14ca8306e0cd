"""Drives ASGI apps without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from perdure.server._asgi import AsgiApp


@dataclass(frozen=True, slots=True)
class Answer:
    """What an app sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return dict(self.headers).get(name)


def http_scope(
    target: str = "/", method: str = "GET", headers: Iterable[tuple[bytes, bytes]] = (), **extra: object
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(b"host", b"localhost:8787"), *headers],
        "server": ("127.0.0.1", 8787),
        **extra,
    }


def exchange(app: AsgiApp, scope: dict[str, Any], events: Iterable[dict[str, Any]] | bytes = b"") -> Answer:
    """Run one http scope; `events` is the body, or the messages that `receive` gives."""
    messages = asyncio.run(messages_of(app, scope, events))
    assert [message["type"] for message in messages] == ["http.response.start", "http.response.body"]
    return Answer(messages[0]["status"], list(messages[0]["headers"]), messages[1]["body"])


async def messages_of(app: AsgiApp, scope: dict[str, Any], events: Iterable[dict[str, Any]] | bytes = b"") -> list[Any]:
    """Everything an app sends for one scope. Asking for more events than there are is an IndexError."""
    waiting = [{"type": "http.request", "body": events}] if isinstance(events, bytes) else list(events)
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent
