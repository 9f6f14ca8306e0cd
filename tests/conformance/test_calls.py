"""Calls between objects of every kind: what may be called, what is passed by reference, who owns it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.conformance.flavours import FLAVOURS, Subject, Topic, failure, type_name

from perdure.testing import World

pytestmark = pytest.mark.subject("rpc")

TYPE_ERRORS = {"TypeError", "RpcMethodError", "ValueNotCloneableError", "DataCloneError"}
Call = Callable[..., Awaitable[Any]]


@pytest.fixture(params=FLAVOURS)
def peer(request: pytest.FixtureRequest, world: World, topic: Topic) -> Subject:
    """Whom the subject calls."""
    return Subject(world, request.param, topic, name="peer")


@pytest.fixture
def call(subject: Subject, peer: Subject) -> Call:
    """Calls a method of the subject, with a stub of the peer as its first argument."""

    async def call(method: str, *arguments: Any) -> Any:
        stub = (await peer.namespace()).get_by_name(peer.name)
        return await subject.call(method, stub, *arguments)

    return call


# ── what may be called ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("missing", 'does not implement the method "missing"'),
        ("secret", 'does not implement the method "secret"'),
        ("ownFunction", 'does not implement the method "ownFunction"'),
        ("ctx", 'does not implement the method "ctx"'),
        ("toString", 'does not implement the method "toString"'),
        ("__class__", 'does not implement the method "__class__"'),
        ("alarm", "'alarm' is a reserved method and cannot be called over RPC"),
        ("dup", "'dup' is a reserved method and cannot be called over RPC"),
        ("constructor", "'constructor' is a reserved method and cannot be called over RPC"),
        ("greeting", '"greeting" is not a function'),
    ],
)
async def test_case_86_what_is_no_method_of_the_class(subject: Subject, call: Call, name: str, text: str) -> None:
    if subject.flavour == "javascript" and name in {"dup", "constructor", "toString"}:
        return  # There these are the stub's own.
    kind, message = await call("failureOf", name)

    assert text in message
    assert kind in TYPE_ERRORS


async def test_case_86_each_step_of_a_path_follows_the_same_rule(call: Call) -> None:
    for path, text in [
        (["tools", "missing"], 'does not implement the method "missing"'),
        (["tools", "deep", "missing"], 'does not implement the method "missing"'),
        (["tools", "deep", "er", "name"], '"tools.deep.er.name" is not a function'),
        (["secret", "length"], 'does not implement the method "secret"'),
    ]:
        _, message = await call("failureOfPath", *path)
        assert text in message, path


async def test_case_e25_a_path_has_64_steps_at_most(call: Call) -> None:
    kind, message = await call("tooDeep")

    assert "property path is too deep" in message
    assert "max 64" in message
    assert kind in TYPE_ERRORS


async def test_case_e26_get_put_and_delete_are_methods_like_any_other(call: Call) -> None:
    assert await call("ask", "get", "a") == "got a"
    assert await call("ask", "put", "a", 1) == "put a 1"
    assert await call("ask", "delete", "a") == "deleted a"


# ── pipelines ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_87_calls_and_properties_of_results_that_have_not_come(call: Call) -> None:
    assert await call("pipelined") == [3, 3, 7, 2, 20, 5, 101, 5, "bottom", 8, "hello from peer"]
    assert await call("pipelinedLate") == [2, 5, 100]


async def test_case_87_what_goes_on_from_a_failure_fails_with_it(call: Call) -> None:
    first, chained, read, of_nothing, of_target, of_number = await call("pipelineFailures")

    assert "it failed" in first[1]
    assert chained == first
    assert read == first
    assert of_nothing[0] in TYPE_ERRORS
    assert "counted out" in of_target[1]
    assert of_number[0] in TYPE_ERRORS


async def test_case_87_a_property_that_is_a_method_gives_a_function(call: Call) -> None:
    assert await call("methodAsProperty") == [3, 6, 7]


async def test_case_88_calls_on_one_stub_start_in_order(call: Call) -> None:
    assert await call("inOrder", 6) == [1, 2, 3, 4, 5, 6]
    assert await call("neverAwaited") == 9


# ── what is passed by reference ─────────────────────────────────────────────────────────────────────────────


async def test_functions_and_targets_are_called_where_they_live(call: Call) -> None:
    assert await call("withFunction") == 42
    assert await call("withAsyncFunction") == [0, 1, 4, 9]
    assert await call("withTarget") == [6, 7, 7]
    assert await call("echoed") == [2, "called", 7]


async def test_a_stub_is_passed_on_through_who_has_it(subject: Subject, peer: Subject) -> None:
    stubs = [(await peer.namespace()).get_by_name(name) for name in ("peer", "other")]

    assert await subject.call("withStub", *stubs) == [4, 5, 5]


async def test_case_e23_a_stub_of_an_object_is_passed_on_and_may_be_kept(subject: Subject, peer: Subject) -> None:
    stubs = [(await peer.namespace()).get_by_name(name) for name in ("peer", "other")]

    assert await subject.call("withObject", *stubs) == 5
    assert await subject.call("withOwnStub", stubs[0]) == "hello from it"


async def test_a_callback_belongs_to_the_section_that_sent_it(call: Call) -> None:
    assert await asyncio.wait_for(call("inSection"), 20) == "called in the section"


async def test_a_failing_callback_tells_both(call: Call) -> None:
    told = await call("withFailingFunction")

    assert told["message"] in {"called back", "'called back'"}
    assert told["type"] in {"LookupError", "RangeError"}
    assert told["remote"] is True
    assert told["detail"] == {"a": 1}


# ── who owns it ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_89_a_target_as_parameter_is_disposed_of_once_for_each_call(call: Call) -> None:
    assert await call("ownDisposals", 3) == 3


async def test_case_89_a_stub_as_parameter_stays_the_callers(call: Call) -> None:
    assert await call("disposalsOf", "passed on") == [0, 1]


async def test_case_89_what_was_not_duplicated_is_gone_after_the_call(
    subject: Subject, peer: Subject, call: Call
) -> None:
    await call("leaveAFunction")
    assert await peer.call("useKept", 4) == 5
    await call("leaveACounterUndupped")
    assert "RPC stub used after being disposed" in str(await failure(peer.call("incrementKept", 1)))
    await call("leaveACounter")
    assert await peer.call("incrementKept", 1) == 2
    await peer.world.advance(seconds=0.1)
    before = await subject.call("disposed")
    await peer.call("dropKept")
    await peer.world.advance(seconds=0.1)
    assert await subject.call("disposed") == before + 1


async def test_case_90_a_disposed_stub_says_so(call: Call) -> None:
    *stubs, promise = await call("afterDispose")

    for _, message in stubs:
        assert "RPC stub used after being disposed" in message
    assert "RPC promise used after being disposed" in promise[1]


async def test_case_90_the_last_one_disposes_of_the_target_once(call: Call) -> None:
    assert await call("disposalsOf", "once") == [0, 1]
    assert await call("disposalsOf", "dup") == [1, 1, 2]
    assert await call("disposalsOf", "promise") == [2, 5]


async def test_a_stub_can_be_made_of_ones_own(subject: Subject) -> None:
    assert await subject.call("wrapped") == [2, 3, 1]


async def test_who_lends_is_not_evicted_until_it_is_given_back(subject: Subject, peer: Subject, call: Call) -> None:
    assert await call("holdCounter") == 2
    for _ in range(10):
        await subject.world.advance(seconds=6)
        await subject.call("disposed")  # Who holds is in use; who lends hears nothing.
    assert await subject.call("incrementHeld") == 3
    await subject.call("releaseCounter")
    await subject.world.advance(seconds=1)
    assert await peer.call("disposed") == 1
    await subject.world.advance(seconds=60)
    assert (await subject.world.statistics())["live"] == 0


# ── what cannot be ──────────────────────────────────────────────────────────────────────────────────────────


async def test_case_91_what_cannot_be_copied_names_its_type(call: Call) -> None:
    instance, promise, read, returned = await call("refused")

    for kind, message in (instance, returned):
        assert "Strange" in message
        assert "does not support serialization" in message
        assert kind in TYPE_ERRORS
    assert "RpcPromise" in promise[1]
    assert promise[0] in TYPE_ERRORS
    assert read[0] in TYPE_ERRORS


async def test_case_92_errors_say_where_they_come_from(call: Call) -> None:
    told = await call("failedCall")

    assert told["remote"] is True
    assert told["reset"] is False
    assert told["tag"] == "a"
    assert told["type"] in {"KeyError", "RangeError"}


async def test_case_e27_a_stub_belongs_to_the_request_that_it_came_to(guest: Subject) -> None:
    told = await guest.call("cacheInEntry")

    assert "Cannot perform I/O on behalf of a different request" in told
    assert "(I/O type: RpcStub)" in told


async def test_case_e28_an_export_that_was_not_called_cannot_be_stored(subject: Subject) -> None:
    error = await failure(subject.call("store", "entry"))
    assert "LoopbackServiceStub" in str(error)
    assert type_name(error) in TYPE_ERRORS
    assert type_name(await failure(subject.call("store", "function"))) in TYPE_ERRORS


@pytest.mark.parametrize(
    ("what", "method", "result"), [("called", "show", {"a": 1}), ("stub", "greetingIs", "hello from stored")]
)
async def test_case_e28_a_stub_of_the_workers_own_can_be_stored(
    guest: Subject, what: str, method: str, result: object
) -> None:
    await guest.call("store", what)
    await guest.evict()
    assert await guest.call("useStored", method) == result
