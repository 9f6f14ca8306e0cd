"""Listening and serving with uvicorn, and stopping in order.

The platform is started before the first byte is read and stopped after the last answer has left; SIGTERM and SIGINT
begin that. Effects: network, tasks, log, process (signals).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Final

import uvicorn

from perdure.errors import ConfigurationError
from perdure.limits import DRAIN_S, WEBSOCKET_MESSAGE_BYTES_MAX
from perdure.server._asgi import AsgiApp
from perdure.server._live import LiveApp

_LOG: Final = logging.getLogger("perdure.server")
_BACKLOG: Final = 2048
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SWITCH_INTERVAL_S: Final = 0.0005  # the longest wait for another thread that runs Python (decision 0001)
_GARBAGE_THRESHOLD: Final = 10_000  # at Python's 700 a quarter of an object's first use is the search for cycles
_LOOPBACK: Final = {"localhost": ("127.0.0.1", "::1"), "127.0.0.1": ("127.0.0.1",)}


def run(main: Coroutine[object, object, None]) -> None:
    """Run `main` on the fastest loop there is, in a process that is ours alone."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.freeze()  # what is imported stays
    gc.set_threshold(_GARBAGE_THRESHOLD)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


async def serve(
    live: LiveApp,
    sockets: list[socket.socket],
    *,
    on_ready: Callable[[], None],
    beside: Callable[[], Coroutine[object, object, None]] | None = None,
    drain_s: float = DRAIN_S,
    is_behind_proxy: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT, then wait up to `drain_s` for requests under way. `beside` runs meanwhile."""
    server = _Server(_config(live, drain_s=drain_s, is_behind_proxy=is_behind_proxy), live, on_ready)
    with server.signals():
        await live.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                companion = tasks.create_task(beside()) if beside is not None else None
                await server.serve(sockets)
                if companion is not None:
                    companion.cancel()
        finally:
            await live.stop()


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at `host`; `localhost` is both of its addresses, since browsers differ in which they try.

    Port 0 takes a free one. Raises ConfigurationError when the port is taken or the address is not ours.
    """
    sockets: list[socket.socket] = []
    for address in _LOOPBACK.get(host, (host,)):
        try:
            sockets.append(_listener(address, port))
        except OSError as error:
            if sockets and error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
                continue  # a machine without IPv6
            for opened in sockets:
                opened.close()
            raise ConfigurationError(_why_not(error, host, port)) from None
        port = sockets[0].getsockname()[1]
    return sockets


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        # Listening already, so that a port in use shows now and not after the platform has started.
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def _why_not(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on `{host}` is in use, perhaps by another perdure: stop it, or choose another with --port "
            "(0 takes a free one)"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has: choose one from 1024 up with --port"
    return f"cannot listen on `{host}` port {port}: {error.strerror or error}"


def _config(app: AsgiApp, *, drain_s: float, is_behind_proxy: bool) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="websockets-sansio",
        ws_max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
        lifespan="off",  # LiveApp starts and stops what is behind it
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=is_behind_proxy,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )


class _Server(uvicorn.Server):
    """uvicorn, with signals that outlast it: the platform is stopped after the server has ended."""

    def __init__(self, config: uvicorn.Config, live: LiveApp, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._live = live
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if waited_for := self._live.requests_under_way:
            _LOG.info("requests under way: %d; stopping after them, at once with a second Ctrl-C", waited_for)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # uvicorn would raise them again at its end, which kills us before the platform has stopped

    @contextlib.contextmanager
    def signals(self) -> Iterator[None]:
        """The first signal begins a graceful stop, a second SIGINT hastens it."""
        before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.handle_exit(number, frame)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # there is none for Windows

    return uvloop.new_event_loop
