"""Listening: what is refused, and in which words."""

from __future__ import annotations

import gc
import socket
import sys

import pytest

from perdure.errors import ConfigurationError
from perdure.server._serve import listen, run


def close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()


def test_localhost_is_one_port_on_each_of_its_addresses() -> None:
    sockets = listen("localhost", 0)

    ports = {each.getsockname()[1] for each in sockets}
    addresses = [each.getsockname()[0] for each in sockets]
    close(sockets)

    assert len(ports) == 1
    assert addresses[0] == "127.0.0.1"


def test_a_port_in_use_is_told_so() -> None:
    sockets = listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]

    with pytest.raises(ConfigurationError, match=f"port {port} on `127.0.0.1` is in use.*--port"):
        listen("127.0.0.1", port)
    close(sockets)


def test_an_address_of_another_machine_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on `192\.0\.2\.1` port 0"):
        listen("192.0.2.1", 0)


def test_a_process_of_ours_alone_lets_other_threads_keep_the_loop_waiting_only_briefly() -> None:
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()

    async def what_is_set() -> None:
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        assert gc.get_threshold()[0] == 10_000

    try:
        run(what_is_set())
    finally:
        sys.setswitchinterval(interval)
        gc.set_threshold(*threshold)
        gc.unfreeze()
