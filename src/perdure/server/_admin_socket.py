"""AdminSocket: where a running platform answers its operator, a Unix socket in the data directory.

A request is one line of JSON; the answer is a line `{"item": …}` for each item and one `{"done": …}`, or one
`{"error": …}`. Only the process's own user and root may ask: the file's mode says so, and the kernel tells who
connected. It is opened under the directory's lock, so what lies in its place is left over from a crash.
Effects: network, disk, tasks, log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from perdure.errors import ConfigurationError, PerdureError, RemoteError, UnavailableError, UsageError
from perdure.limits import (
    ADMIN_ANSWER_BYTES_MAX,
    ADMIN_CONNECTIONS_MAX,
    ADMIN_IDLE_S,
    ADMIN_REQUEST_BYTES_MAX,
    DRAIN_S,
)
from perdure.server._admin_requests import AdminRequest, Answer, request_from_line, request_to_line

_LOG: Final = logging.getLogger("perdure.server")
_ADDRESS_BYTES_MAX: Final = 107 if sys.platform == "linux" else 103  # what `sockaddr_un` holds, less its final NUL
_ITEMS_AT_ONCE: Final = 256  # between two of which others may run
_ANSWER_LINE_BYTES_MAX: Final = 8 * ADMIN_ANSWER_BYTES_MAX  # the worst escaping in JSON, and some room
_MODE: Final = 0o600
_ROOT: Final = 0
_CREDENTIALS: Final = struct.Struct("3i")  # process, user, group


class Answers(Protocol):
    """Who knows the answers: Admin."""

    async def answer(self, request: AdminRequest) -> Answer: ...


class AdminSocket:
    """The listening end. `open` and `close` are called once."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self._path = path
        self._answers = answers
        self._server: asyncio.Server | None = None
        self._waiting: set[asyncio.Task[object]] = set()
        self._answering: set[asyncio.Task[object]] = set()

    async def open(self) -> None:
        """Listen. Where that is not possible the platform goes on without, and says so in its log."""
        try:
            listener = _listener(self._path)
        except (OSError, ConfigurationError) as error:
            _LOG.warning("commands such as `perdure ls` cannot reach this server: %s", error)
            return
        self._server = await asyncio.start_unix_server(self._connected, sock=listener, limit=ADMIN_REQUEST_BYTES_MAX)

    async def close(self) -> None:
        """Listen no longer; answers under way are waited for."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._waiting - self._answering:
            task.cancel()
        if self._answering:
            await asyncio.wait(self._answering, timeout=DRAIN_S)
        for task in self._waiting:
            task.cancel()
        if self._waiting:
            await asyncio.wait(self._waiting)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a handler of asyncio's server runs in a task"
        self._waiting.add(task)
        try:
            await self._converse(reader, writer, task)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # Whoever asked has gone, or the platform stops: nobody waits for more.
        finally:
            self._waiting.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[object]
    ) -> None:
        if not _may_ask(writer.get_extra_info("socket")):
            _LOG.warning("another user tried to use `%s` and was refused", self._path)
            return
        if len(self._waiting) > ADMIN_CONNECTIONS_MAX:
            await _say(writer, _error(UnavailableError(f"{ADMIN_CONNECTIONS_MAX} commands are under way already")))
            return
        while True:
            try:
                line = await asyncio.wait_for(reader.readuntil(), ADMIN_IDLE_S)
            except asyncio.IncompleteReadError:
                return
            except asyncio.LimitOverrunError:
                await _say(writer, _error(UsageError(f"a request is at most {ADMIN_REQUEST_BYTES_MAX} bytes")))
                return
            self._answering.add(task)
            try:
                await _say_all(writer, await self._answer(line))
            finally:
                self._answering.discard(task)

    async def _answer(self, line: bytes) -> Answer | dict[str, object]:
        try:
            return await self._answers.answer(request_from_line(line))
        except PerdureError as error:
            return _error(error)
        except Exception:  # noqa: BLE001  # the last place above one command: the server goes on
            _LOG.exception("a command of the operator failed")
            return {"error": {"code": "internal", "text": "a bug in perdure: the server's log has the details"}}


async def _say_all(writer: asyncio.StreamWriter, answer: Answer | dict[str, object]) -> None:
    if isinstance(answer, Answer):
        for number, item in enumerate(answer.items):
            writer.write(_line({"item": item}))
            if number % _ITEMS_AT_ONCE == 0:
                await asyncio.wait_for(writer.drain(), ADMIN_IDLE_S)
                await asyncio.sleep(0)
        answer = {"done": answer.summary}
    await _say(writer, answer)


async def _say(writer: asyncio.StreamWriter, tree: dict[str, object]) -> None:
    writer.write(_line(tree))
    await asyncio.wait_for(writer.drain(), ADMIN_IDLE_S)


def _line(tree: dict[str, object]) -> bytes:
    return json.dumps(tree).encode() + b"\n"


def _error(error: PerdureError) -> dict[str, object]:
    return {"error": {"code": error.code, "text": str(error)}}


def _may_ask(connection: socket.socket) -> bool:
    """Whether the other end is a process of our own user, or of root."""
    if sys.platform != "linux":
        return True  # The file's mode has kept others out.
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(packed)
    return user in {_ROOT, os.geteuid()}


def _listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            if not stat.S_ISSOCK(path.lstat().st_mode):
                raise ConfigurationError(f"`{path}` is no socket: something else lies in its place")
            path.unlink()
        os.fchmod(listener.fileno(), _MODE)  # Before it has a name: at no moment may others connect.
        with _address(path) as address:
            listener.bind(address)
        path.chmod(_MODE)
        listener.listen(ADMIN_CONNECTIONS_MAX)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """The socket's address: its path, or a short way to it, for an address holds about a hundred bytes."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    if sys.platform != "linux":
        raise ConfigurationError(f"the path `{path}` is longer than {_ADDRESS_BYTES_MAX} bytes: choose a shorter one")
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


# ── the asking end ───────────────────────────────────────────────────────────────────────────────────────────


async def ask_running(path: Path, request: AdminRequest) -> Answer | None:
    """The answer of the platform that listens at `path`; None when none does. Raises RemoteError with its error."""
    connection = _connected_or_none(path)
    if connection is None:
        return None
    reader, writer = await asyncio.open_unix_connection(sock=connection, limit=_ANSWER_LINE_BYTES_MAX)
    try:
        writer.write(request_to_line(request))
        await writer.drain()
        items: list[object] = []
        while line := await reader.readline():
            tree = json.loads(line)
            if "item" in tree:
                items.append(tree["item"])
            elif "done" in tree:
                return Answer(items, tree["done"])
            else:
                raise RemoteError(tree["error"]["text"], remote_code=tree["error"]["code"])
    except (OSError, ValueError, KeyError) as error:
        raise UnavailableError(f"the server at `{path}` did not answer to the end: {error}") from error
    finally:
        writer.close()
    raise UnavailableError(f"the server at `{path}` ended before it had answered: whether it did anything is not known")


def _connected_or_none(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(path) as address:
            connection.connect(address)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except PermissionError as error:
        connection.close()
        raise UnavailableError(f"`{path}` may only be used by the user who runs the server, and root") from error
    except BaseException:
        connection.close()
        raise
    return connection
