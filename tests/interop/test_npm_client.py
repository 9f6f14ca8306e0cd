"""npm's capnweb as a client of a real server of ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.interop.npm import HERE, needs_npm_packages, run_node
from tests.serving import served

EXPECTED: dict[str, Any] = {
    "calls": [2, 3, []],
    "values": [
        True,
        "1970-01-02T00:00:00.000Z",
        [0, 255],
        ["Uint16Array", 1, 65535],
        str(2**70),
        ["Infinity", "NaN"],
        "b",
        "passed",
        True,
    ],
    "pipelining": [5, 2, "b"],
    "callbacks": ["hello you", "Ada", {"deep": [1]}],
    "errors": [
        ["TypeError", "it failed", 409, True],
        'Error: The RPC receiver does not implement the method "missing"',
        'Error: The RPC receiver does not implement the method "_private"',
        'Error: The RPC receiver does not implement the method "events"',
        "TypeError: it failed",
        "Error: a `set` cannot be sent to a Cap'n Web peer, which has none",
    ],
    "streams": [["a", 1, {"b": 2}], [0, 1, 2, 3], ["a", "b", "c", "end"]],
    "messages": [
        "Request of a request",
        "Response of a response",
        "File of a blob",
        [201, "b", "in parts"],
    ],
    "large": [True, 200],
    "mapping": [[[1, "number 1"], [2, "number 2"], [3, "number 3"]], [1, 2, 3]],
    "disposal": [[], True, "Error: Attempted to use RPC stub after it has been disposed."],
    "ordering": True,
    "brokenConnection": ["Error: Peer closed WebSocket: 1006 ", True, "RpcSessionError: the connection has ended"],
    "resetObject": ["Error: reset on demand", "reset on demand"],
    "malformed": [
        [["abort", "the peer broke the protocol of Cap'n Web: `'map'` is no kind of value that Cap'n"]],
        3000,
        "the peer broke the protocol of Cap'n Web",
    ],
    "binary": "the peer sent a binary message: Cap'n Web is spoken in text",
    "stateless": 3,
    "throughAStub": [5, 'Error: The RPC receiver does not implement the method "missing"'],
    "refused": "Unexpected server response: 404",
    "foreignOrigin": "Unexpected server response: 403",
    "batch": [1, 6, 2, "TypeError: it failed", "a\nb"],
    "batchGet": [405, "POST"],
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each scenario saw."""
    needs_npm_packages()
    command = Path(sys.executable).parent / "perdure"
    with served(command, HERE / "app" / "main.py", data=tmp_path_factory.mktemp("data")) as address:
        try:
            answer = run_node("client.mjs", address)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f"{error.stdout}\n{error.stderr}") from None
    return dict(json.loads(line) for line in answer.splitlines())


@pytest.mark.parametrize("scenario", EXPECTED)
def test_npm_client(seen: dict[str, Any], scenario: str) -> None:
    assert without_advice(seen[scenario]) == EXPECTED[scenario]


def test_every_scenario_is_expected(seen: dict[str, Any]) -> None:
    assert set(seen) == set(EXPECTED)


def without_advice(saw: Any) -> Any:
    """Texts of errors up to what to do, which is for people."""
    if isinstance(saw, list):
        return [without_advice(each) for each in saw]
    return saw.partition("; `")[0].partition(": send a list")[0] if isinstance(saw, str) else saw
