"""Peers that say anything: the session answers or ends, and nothing is left running."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.capnweb.test_protocol import messages

from perdure import RpcTarget
from perdure.capnweb import Session, WritableStream
from perdure.errors import OverloadedError, RpcSessionError
from perdure.limits import CAPNWEB_OUTBOX_BYTES_MAX


class Api(RpcTarget):
    """Names that the random messages use, and results of every kind."""

    def a(self, *arguments: Any) -> Any:
        return [self.b, {"a": self, "b": arguments}]

    async def b(self, function: Any = None, *_: Any) -> Any:
        return await function("called") if callable(function) else self._numbers()

    async def _numbers(self) -> AsyncIterator[int]:
        yield 1

    @property
    def c(self) -> Any:
        return WritableStream(lambda chunk: None)

    def large(self) -> str:
        return "x" * 1_000_000


class DeafTransport:
    """A peer that has said its messages, and takes `takes` of ours."""

    def __init__(self, said: list[str], *, takes: int = 1_000_000) -> None:
        self._said = said
        self._left = takes
        self.error: BaseException | None = None

    async def send(self, message: str) -> None:
        assert json.loads(message)
        self._left -= 1
        if self._left < 0:
            await asyncio.Event().wait()

    async def receive(self) -> str | None:
        if self._said:
            await asyncio.sleep(0)
            return self._said.pop(0)
        for _ in range(30):
            await asyncio.sleep(0)
        return None

    async def end(self, error: BaseException | None) -> None:
        self.error = error


ours, theirs = st.integers(0, 5), st.integers(-4, -1)
paths = st.lists(st.sampled_from(["a", "b", "c", "large", "write", "close", "abort", "missing", 0, "1"]), max_size=3)
values = st.recursive(
    st.sampled_from([None, 1, "text", ["undefined"], ["bytes", "AAAA"], ["error", "Error", "text"]])
    | st.builds(lambda number: ["import", number], ours)
    | st.builds(lambda number: ["pipeline", number], ours)
    | st.builds(lambda number: ["export", number], theirs)
    | st.builds(lambda number: ["promise", number], theirs)
    | st.builds(lambda number: ["writable", number], theirs)
    | st.builds(lambda number: ["readable", number], ours)
    | st.builds(lambda number: ["blob", "text/plain", ["readable", number]], ours)
    | st.builds(lambda number: ["response", ["readable", number], {}], ours),
    lambda inner: (
        st.builds(lambda items: [items], st.lists(inner, max_size=3))
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
        | st.builds(
            lambda tag, number, path, given: [tag, number, path, given],
            st.sampled_from(["pipeline", "import"]),
            ours,
            paths,
            st.lists(inner, max_size=2),
        )
        | st.builds(
            lambda number, path, given: ["remap", number, path, [], given], ours, paths, st.lists(inner, max_size=3)
        )
    ),
    max_leaves=8,
)
likely = (
    st.builds(lambda kind, value: [kind, value], st.sampled_from(["push", "push", "stream"]), values)
    | st.just(["pipe"])
    | st.builds(lambda number: ["pull", number], ours)
    | st.builds(lambda number: ["release", number, 1], ours)
    | st.builds(
        lambda kind, number, value: [kind, number, value], st.sampled_from(["resolve", "reject"]), ours | theirs, values
    )
)


@settings(max_examples=200, deadline=None)
@given(st.lists(likely, max_size=15) | st.lists(messages, max_size=12))
def test_whatever_a_peer_says_the_session_ends_cleanly(conversation: list[list[object]]) -> None:
    complaints: list[Any] = []

    async def main() -> Session:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        transport = DeafTransport([json.dumps(message) for message in conversation])
        session = Session(transport, Api())
        await asyncio.wait_for(session.run(), 20)
        assert transport.error is session.error is not None
        assert len(asyncio.all_tasks()) == 1
        return session

    session = asyncio.run(main())
    assert session.protocol.sizes == (0, 0)
    assert not session.shared_targets
    assert complaints == []


def test_a_peer_that_takes_nothing_is_cut_off() -> None:
    calls = CAPNWEB_OUTBOX_BYTES_MAX // 1_000_000 + 2

    async def main() -> BaseException | None:
        said = [json.dumps(["push", ["pipeline", 0, ["large"], []]])] * calls
        said += [json.dumps(["pull", number]) for number in range(1, calls + 1)]
        transport = DeafTransport(said, takes=1)
        session = Session(transport, Api())
        async with asyncio.timeout(60):
            await session.run()
        return transport.error

    error = asyncio.run(main())
    assert isinstance(error, OverloadedError)
    with pytest.raises(OverloadedError, match="the peer does not take its messages"):
        raise error


class Ticker:
    """Something else that runs in the same event loop."""

    def __init__(self) -> None:
        self.ticks = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.ticks += 1


async def attacked(*messages: object) -> tuple[BaseException | None, int]:
    """Why the session of a peer that says all of this at once has ended, and how often another had its turn."""
    lines = deque(json.dumps(message) for message in messages)

    class AtOnce(DeafTransport):
        async def receive(self) -> str | None:
            return lines.popleft() if lines else None

    session = Session(AtOnce([]), Api())
    ticker = Ticker()
    ticking = asyncio.ensure_future(ticker.run())
    async with asyncio.timeout(60):
        await session.run_batch()
    ticking.cancel()
    return session.error, ticker.ticks


LARGE = ["push", {"a": [[0] * 20_000]}]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([LARGE, ["push", ["remap", 1, [], [], [["pipeline", 0, ["a"]]] * 100]]], "to be copied at once"),
        ([LARGE, ["push", [[["pipeline", 1, ["a"]]] * 100]]], "to be copied at once"),
        ([["push", [[0] * 1000]], ["push", ["remap", 1, [], [], [[[0] * 2000]]]]], "to be copied at once"),
        ([LARGE, *[["push", ["pipeline", 1, ["a"]]]] * 100], "the peer holds results"),
    ],
    ids=["map", "places", "instructions", "results"],
)
def test_a_few_bytes_that_ask_for_many_copies_end_the_session(messages: list[object], reason: str) -> None:
    error, ticks = asyncio.run(attacked(*messages))
    assert isinstance(error, OverloadedError)
    assert reason in str(error)
    assert ticks >= len(messages) // 2, "others have their turn after 20,000 values"


def test_copies_that_are_released_are_made_in_turns_with_others() -> None:
    asked = [[["push", ["pipeline", 1, ["a"]]], ["release", number, 1]] for number in range(2, 60)]
    error, ticks = asyncio.run(attacked(LARGE, *(message for pair in asked for message in pair)))
    assert isinstance(error, RpcSessionError), "it is slowed down, not cut off"
    assert ticks > 50


def test_many_promises_in_one_value_are_filled_in_turns_with_others() -> None:
    error, ticks = asyncio.run(attacked(["push", 1], ["push", [[["pipeline", 1]] * 40_000]], ["pull", 2]))
    assert isinstance(error, RpcSessionError)
    assert ticks >= 4
