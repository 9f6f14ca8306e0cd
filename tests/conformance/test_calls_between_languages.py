"""Calls, callbacks and stubs, with every flavour as caller and as callee (spec 6; cases 86 to 92 and E25 to E28)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.conformance.flavours import FLAVOURS, Subject, Topic, failure

from perdure.testing import World

pytestmark = pytest.mark.subject("calls")

pairs = pytest.mark.parametrize(
    ("caller", "callee"), [(caller, callee) for caller in FLAVOURS for callee in FLAVOURS], indirect=True
)


@pytest.fixture
def caller(request: pytest.FixtureRequest, world: World, topic: Topic) -> Subject:
    """Who calls, in every flavour."""
    return Subject(world, request.param, topic, name="caller")


@pytest.fixture
def callee(request: pytest.FixtureRequest, world: World, topic: Topic) -> Subject:
    """Who is called, in every flavour."""
    return Subject(world, request.param, topic, name="callee")


async def peer(callee: Subject) -> Any:
    """A fresh stub of the callee."""
    return (await callee.namespace()).get_by_name(callee.name)


async def eventually(subject: Subject, log: list[str]) -> None:
    """References go back a few milliseconds after the call; then the log says so, and no more than that."""
    for _ in range(200):
        if await subject.call("logged") == log:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.03)
    assert await subject.call("logged") == log


# ── what can be called ───────────────────────────────────────────────────────────────────────────────────────


@pairs
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (["missing"], 'The RPC receiver does not implement the method "missing"'),
        (["secret"], 'The RPC receiver does not implement the method "secret"'),
        (["ctx"], 'The RPC receiver does not implement the method "ctx"'),
        (["alarm"], "'alarm' is a reserved method and cannot be called over RPC"),
        (["settings", "deep", "number"], '"settings.deep.number" is not a function'),
        (["settings", "none", "x"], 'The RPC receiver does not implement the method "none"'),
    ],
)
async def test_case_86_only_what_the_class_says(
    caller: Subject, callee: Subject, path: list[str], message: str
) -> None:
    text, *_ = await caller.call("attempt", await peer(callee), path)

    assert message in text


@pairs
async def test_case_e26_get_put_and_delete_are_names_like_others(caller: Subject, callee: Subject) -> None:
    stub = await peer(callee)

    assert await caller.call("attempt", stub, ["get"], 1) == "get 1"
    assert await caller.call("attempt", stub, ["put"], "k", 2) == "put k 2"
    assert await caller.call("attempt", stub, ["delete"], "k") == "delete k"


# ── pipelining ───────────────────────────────────────────────────────────────────────────────────────────────


@pairs
async def test_case_87_calls_on_results_that_have_not_come(caller: Subject, callee: Subject) -> None:
    assert await caller.call("pipelined", await peer(callee)) == [3, 6, 6, 7, 3]
    assert await caller.call("methodAsFunction", await peer(callee)) == [5, 5]
    assert await caller.call("baseFails", await peer(callee)) == ["it failed"] * 3


@pairs
async def test_case_88_calls_start_in_their_order(caller: Subject, callee: Subject) -> None:
    assert await caller.call("inOrder", await peer(callee)) == [1, 2, 3, 4, 5, 6]


@pairs
async def test_case_e25_a_path_has_sixty_four_steps(caller: Subject, callee: Subject) -> None:
    text = await caller.call("tooDeep", await peer(callee))

    assert "property path is too deep" in text
    assert "64" in text


# ── callbacks and ownership ──────────────────────────────────────────────────────────────────────────────────


@pairs
async def test_functions_are_arguments(caller: Subject, callee: Subject) -> None:
    assert await caller.call("withCallback", await peer(callee)) == [1, "b", "own"]


@pairs
async def test_case_89_a_target_that_is_lent_is_disposed_of_once_for_each_call(
    caller: Subject, callee: Subject
) -> None:
    assert await caller.call("lend", await peer(callee), 1) == [[1, 2]]
    await eventually(caller, ["disposed"])


@pairs
async def test_case_89_a_stub_that_is_lent_stays_its_owners(caller: Subject, callee: Subject) -> None:
    assert await caller.call("lendStub", await peer(callee)) == [[1, 2], [3, 4], 4]
    await eventually(caller, [])
    await caller.call("drop", "own")
    await eventually(caller, ["disposed"])


@pairs
async def test_case_89_what_is_kept_must_be_duplicated(caller: Subject, callee: Subject) -> None:
    await caller.call("lendToKeep", await peer(callee))

    assert [await callee.call("useKept", "a"), await callee.call("useKept", "a")] == [11, 12]
    await eventually(caller, [])
    await callee.call("drop", "a")
    await eventually(caller, ["disposed"])
    assert "used after being disposed" in str(await failure(callee.call("useKept", "a")))


@pairs
async def test_case_90_a_disposed_stub_says_so(caller: Subject, callee: Subject) -> None:
    value, *errors = await caller.call("usedAfterDisposal", await peer(callee))

    assert value == 2
    assert len(errors) == 2
    assert all("RPC stub used after being disposed" in error for error in errors)
    await eventually(callee, ["disposed"])


@pairs
async def test_case_87_capabilities_cross_two_borders(caller: Subject, callee: Subject) -> None:
    middle = callee.other("middle")

    assert await caller.call("through", await peer(middle), await peer(callee)) == [101, 2, 3, 5]


# ── what cannot be sent, and errors ──────────────────────────────────────────────────────────────────────────


@pairs
@pytest.mark.parametrize(("what", "kind"), [("instance", "Money"), ("promise", "promise"), ("property", "property")])
async def test_case_91_what_cannot_be_sent_says_what_it_is(
    caller: Subject, callee: Subject, what: str, kind: str
) -> None:
    text = await caller.call("refused", await peer(callee), what)

    assert "serializ" in text
    assert kind.lower() in text.lower()


@pairs
async def test_case_92_errors_say_where_they_come_from(caller: Subject, callee: Subject) -> None:
    assert await caller.call("attempt", await peer(callee), ["fail"]) == ["it failed", True, False]
    text, _, is_reset = await caller.call("attempt", await peer(callee), ["stop"])
    assert "stopped" in text
    assert is_reset


async def test_case_e27_a_stub_that_outlived_its_request(guest: Subject) -> None:
    held, error = await guest.call("acrossRequests")

    assert held == "held"
    assert "different request" in error


# ── what can be stored ───────────────────────────────────────────────────────────────────────────────────────


async def test_case_e28_only_an_export_that_was_called_can_be_stored(guest: Subject) -> None:
    await guest.call("store", "called")

    assert await guest.call("stored") == {"n": 1}
    error = await failure(guest.call("store", "bare"))
    assert "LoopbackServiceStub" in str(error)
    assert "does not support serialization" in str(error)
    assert await guest.call("stored") == {"n": 1}
