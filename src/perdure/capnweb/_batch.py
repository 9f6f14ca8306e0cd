"""Batches over HTTP: messages are lines, one body of them asks, and one answers. Effects: none."""

from __future__ import annotations

from collections import deque

from perdure.capnweb._session import Host, Session
from perdure.limits import CAPNWEB_BATCH_MESSAGES_MAX
from perdure.web import Request, Response


class BatchTransport:
    """`Transport` at the server: what the client sent is there already, and the answers are collected."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = deque(lines)
        self.answers: list[str] = []

    async def send(self, message: str) -> None:
        """Keep it for the answer."""
        self.answers.append(message)

    async def receive(self) -> str | None:
        """The next line."""
        return self._lines.popleft() if self._lines else None

    async def end(self, error: BaseException | None) -> None:
        """The answer is made."""


async def answer_batch(request: Request, main: object, host: Host | None) -> Response:
    """Do what a batch asks for, and answer when every result that it pulls is there."""
    text = await request.text()
    lines = text.split("\n", CAPNWEB_BATCH_MESSAGES_MAX) if text else []
    if len(lines) > CAPNWEB_BATCH_MESSAGES_MAX:
        return Response(f"A batch has at most {CAPNWEB_BATCH_MESSAGES_MAX} messages: send several.\n", 413)
    transport = BatchTransport([line for line in lines if line.strip()])
    session = Session(transport, main, host=host)
    await session.run_batch()
    return Response("\n".join(transport.answers), headers={"content-type": "text/plain;charset=UTF-8"})
