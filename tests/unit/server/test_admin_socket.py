"""The operator's socket: who may use it, what it says, and what no byte on it can do."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.errors import InternalError, RemoteError, UnavailableError, UsageError
from perdure.limits import ADMIN_CONNECTIONS_MAX as COUNT
from perdure.limits import ADMIN_REQUEST_BYTES_MAX
from perdure.server import AdminRequest, Answer, ListObjects, ShowStatistics
from perdure.server._admin_socket import AdminSocket, ask_running


class Echo:
    """Answers with what it was asked."""

    def __init__(self) -> None:
        self.asked: list[AdminRequest] = []
        self.arrived: asyncio.Queue[AdminRequest] = asyncio.Queue()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.error: Exception | None = None

    async def answer(self, request: AdminRequest) -> Answer:
        self.asked.append(request)
        self.arrived.put_nowait(request)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        assert isinstance(request, ListObjects)
        return Answer([request.pattern] * request.limit, {"after": request.after})


@asynccontextmanager
async def listening(path: Path) -> AsyncIterator[Echo]:
    echo = Echo()
    end = AdminSocket(path, echo)
    await end.open()
    try:
        yield echo
    finally:
        await end.close()


def said(path: Path, sent: bytes) -> list[dict[str, object]]:
    """What comes back for raw bytes, until the other end closes or has answered one line."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has answered already, and closed.
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
    return [json.loads(line) for line in received.splitlines()]


def test_an_answer_comes_back_whole(tmp_path: Path) -> None:
    async def main() -> Answer | None:
        async with listening(tmp_path / "s"):
            return await ask_running(tmp_path / "s", ListObjects("é" * 1000, "there", 5_000))

    answer = asyncio.run(main())

    assert answer == Answer(["é" * 1000] * 5_000, {"after": "there"})


def test_only_the_owner_may_use_the_file_and_it_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def main() -> int:
        async with listening(path):
            return path.stat().st_mode

    mode = asyncio.run(main())

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells the user on Linux only")
def test_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[list[dict[str, object]], list[AdminRequest]]:
        async with listening(tmp_path / "s") as echo:
            monkeypatch.setattr("perdure.server._admin_socket.os.geteuid", lambda: os.getuid() + 1)
            monkeypatch.setattr("perdure.server._admin_socket._ROOT", os.getuid() + 2)
            answer = await asyncio.to_thread(said, tmp_path / "s", b'{"do": "ls"}\n')
            return answer, echo.asked

    assert asyncio.run(main()) == ([], [])


def test_what_a_crash_left_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "s"))

    async def main() -> Answer | None:
        assert await ask_running(tmp_path / "s", ListObjects("", "", 1)) is None
        async with listening(tmp_path / "s"):
            return await ask_running(tmp_path / "s", ListObjects("a", "", 1))

    assert asyncio.run(main()) == Answer(["a"], {"after": ""})


def test_what_is_no_socket_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "s").write_text("mine")

    async def main() -> None:
        async with listening(tmp_path / "s"):
            pass

    asyncio.run(main())

    assert (tmp_path / "s").read_text() == "mine"
    assert "is no socket" in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a long path is refused")
def test_a_path_longer_than_an_address_works(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 120)
    directory.mkdir()

    async def main() -> Answer | None:
        async with listening(directory / "admin.sock"):
            return await ask_running(directory / "admin.sock", ListObjects("a", "", 1))

    assert asyncio.run(main()) == Answer(["a"], {"after": ""})
    assert list(directory.iterdir()) == []


def test_an_error_comes_back_with_its_code(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main(error: Exception) -> None:
        async with listening(tmp_path / "s") as echo:
            echo.error = error
            await ask_running(tmp_path / "s", ListObjects())

    with pytest.raises(RemoteError, match="so not") as caught:
        asyncio.run(main(UsageError("so not")))
    assert caught.value.remote_code == "usage"
    with pytest.raises(RemoteError, match="the server's log has the details"):
        asyncio.run(main(KeyError("a bug")))
    assert "a bug" in caplog.text
    with pytest.raises(RemoteError, match="told"):
        asyncio.run(main(InternalError("told")))


def test_an_answer_under_way_is_finished_at_the_end(tmp_path: Path) -> None:
    async def main() -> Answer | None:
        echo = Echo()
        echo.may_answer.clear()
        end = AdminSocket(tmp_path / "s", echo)
        await end.open()
        asking = asyncio.ensure_future(ask_running(tmp_path / "s", ListObjects("a", "", 1)))
        await echo.arrived.get()
        closing = asyncio.ensure_future(end.close())
        await asyncio.sleep(0)
        echo.may_answer.set()
        await closing
        return await asking

    assert asyncio.run(main()) == Answer(["a"], {"after": ""})


def test_too_many_at_once_are_told_so(tmp_path: Path) -> None:
    async def main() -> BaseException | None:
        async with listening(tmp_path / "s") as echo:
            echo.may_answer.clear()
            first = [asyncio.ensure_future(ask_running(tmp_path / "s", ListObjects("a"))) for _ in range(COUNT)]
            for _ in first:
                await echo.arrived.get()
            (one_more,) = await asyncio.gather(ask_running(tmp_path / "s", ListObjects("b")), return_exceptions=True)
            echo.may_answer.set()
            await asyncio.gather(*first)
            assert not isinstance(one_more, Answer)
            return one_more

    assert isinstance(asyncio.run(main()), UnavailableError)


def test_a_request_that_is_too_long_is_told_so(tmp_path: Path) -> None:
    async def main() -> list[dict[str, object]]:
        async with listening(tmp_path / "s"):
            return await asyncio.to_thread(said, tmp_path / "s", b"x" * (ADMIN_REQUEST_BYTES_MAX * 3))

    answers = asyncio.run(main())

    assert [list(answer) for answer in answers] in ([["error"]], [])  # The rest of it may have torn the answer.


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.binary(max_size=100)
        | st.sampled_from([b'{"do": "ls"}', b'{"do": "statistics"}', b"{}", b"\n", b"[" * 5_000, b'"', b"\x00"]),
        max_size=6,
    ),
    st.sampled_from([b"\n", b""]),
)
def test_no_bytes_do_any_harm(tmp_path: Path, lines: list[bytes], end: bytes) -> None:
    async def main() -> tuple[list[dict[str, object]], Answer | None]:
        async with listening(tmp_path / "s") as echo:
            answers = await asyncio.to_thread(said, tmp_path / "s", end.join(lines) + end)
            assert all(isinstance(request, ListObjects | ShowStatistics) for request in echo.asked)
            return answers, await ask_running(tmp_path / "s", ListObjects("still", "", 1))

    answers, still = asyncio.run(main())

    assert still == Answer(["still"], {"after": ""})
    assert all(answer.keys() & {"item", "done", "error"} for answer in answers)
