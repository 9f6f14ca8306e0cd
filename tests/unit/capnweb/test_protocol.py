"""The protocol without a connection: its tables, what it refuses, and that nothing a peer says breaks anything else."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.capnweb._protocol import Discard, Drop, Evaluate, MakePipe, Nothing, Protocol, Pull, Settle
from perdure.capnweb._reader import MalformedError
from perdure.capnweb._references import Introduced, Own
from perdure.errors import ValueNotCloneableError
from perdure.limits import CAPNWEB_HELD_BYTES_MAX, CAPNWEB_TABLE_MAX, RPC_MESSAGE_BYTES_MAX


class Plain:
    """An introducer for values that hold no capability."""

    def introduce(self, value: object) -> None:
        return None


PLAIN = Plain()


def receive(protocol: Protocol, *message: object) -> Any:
    return protocol.receive(json.dumps(message))


def sent(protocol: Protocol) -> list[Any]:
    return [json.loads(message) for message in protocol.take_messages()]


# ── calls out ──


def test_a_call_is_a_push_and_its_result_is_pulled_settled_and_released() -> None:
    protocol = Protocol("main")

    number = protocol.push(0, ("greet",), ["you", [1]], PLAIN)
    protocol.pull(number)
    act = receive(protocol, "resolve", number, "hi")
    protocol.release(number)

    assert isinstance(act, Settle)
    assert (act.id, act.parsed.root, act.is_error) == (1, ["hi"], False)
    assert sent(protocol) == [
        ["push", ["pipeline", 0, ["greet"], ["you", [[1]]]]],
        ["pull", 1],
        ["release", 1, 1],
    ]
    assert protocol.sizes == (1, 1)


def test_the_peer_releases_the_result_of_a_stream_call_itself() -> None:
    protocol = Protocol("main")
    pipe = protocol.push_pipe()

    number, _ = protocol.push_stream(pipe, "write", ["chunk"], PLAIN)
    receive(protocol, "resolve", number, ["undefined"])
    protocol.release(number)

    assert sent(protocol) == [["pipe"], ["stream", ["pipeline", 1, ["write"], ["chunk"]]]]


def test_a_resolution_that_nobody_waits_for_is_discarded() -> None:
    protocol = Protocol("main")
    number = protocol.push(0, ("make",), [], PLAIN)
    protocol.release(number)

    act = receive(protocol, "resolve", number, ["export", -1])

    assert isinstance(act, Discard)
    assert act.parsed.root == [Introduced(-1, is_promise=False)]


def test_a_capability_that_was_shown_twice_is_released_twice() -> None:
    protocol = Protocol("main")
    receive(protocol, "push", [[["export", -1], ["export", -1]]])
    receive(protocol, "push", ["export", -1])

    protocol.release(-1)

    assert sent(protocol) == [["release", -1, 3]]


def test_a_message_over_the_limit_is_not_sent() -> None:
    protocol = Protocol("main")

    with pytest.raises(ValueNotCloneableError, match="limited to 32MiB, but the size of this value was"):
        protocol.push(0, ("put",), ["x" * RPC_MESSAGE_BYTES_MAX], PLAIN)

    assert sent(protocol) == []
    assert protocol.sizes == (1, 1)


# ── calls in ──


def test_pushes_are_numbered_and_refer_to_those_before() -> None:
    protocol = Protocol("main")

    first = receive(protocol, "push", ["pipeline", 0, ["make"], []])
    second = receive(protocol, "push", ["pipeline", 1, ["a", 0]])

    assert (first.id, second.id) == (1, 2)
    assert second.parsed.root == [Own(1, ("a", 0), None, is_promise=True)]


def test_what_is_pulled_twice_is_answered_once() -> None:
    protocol = Protocol("main")
    receive(protocol, "push", 5)
    protocol.hold(1, "holder")

    assert receive(protocol, "pull", 1) == Pull(1, "holder")
    assert receive(protocol, "pull", 1) == Nothing()


def test_an_export_is_dropped_with_its_last_reference() -> None:
    protocol = Protocol("main")
    number, is_new = protocol.export("holder", identity="it")
    again, is_new_again = protocol.export("another", identity="it")

    assert (number, again, is_new, is_new_again) == (-1, -1, True, False)
    assert receive(protocol, "release", -1, 1) == Nothing()
    assert receive(protocol, "release", -1, 1) == Drop("holder")
    assert protocol.export("holder", identity="it") == (-2, True)


def test_the_result_of_a_stream_call_is_dropped_once_it_is_told() -> None:
    protocol = Protocol("main")
    receive(protocol, "stream", ["pipeline", 0, ["write"], [1]])
    protocol.hold(1, "holder")

    assert protocol.resolve(1, None, PLAIN) == Drop("holder")
    assert sent(protocol) == [["resolve", 1, None]]


def test_what_was_released_before_it_is_resolved_is_not_told() -> None:
    protocol = Protocol("main")
    receive(protocol, "push", 5)
    receive(protocol, "pull", 1)
    receive(protocol, "release", 1, 1)

    protocol.resolve(1, 5, PLAIN)

    assert sent(protocol) == []


def test_a_pipe_gives_its_readable_end_once() -> None:
    protocol = Protocol("main")

    assert receive(protocol, "pipe") == MakePipe(1)
    assert isinstance(receive(protocol, "push", ["readable", 1]), Evaluate)
    with pytest.raises(MalformedError, match="has been given away"):
        receive(protocol, "push", ["readable", 1])


# ── what is refused ──


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "a message cannot be read"),
        ("[", "a message cannot be read"),
        ("[" * 100_000, "nested too deeply"),
        ("7" * 5000, "a message cannot be read"),
        ("{}", "is no message that Cap'n Web has"),
        ("[]", "is no message that Cap'n Web has"),
        ('["push"]', "is no message that Cap'n Web has"),
        ('["nonsense", 1]', "`['nonsense', 1]` is no message that Cap'n Web has"),
        ('["pull", 1]', "refers to export 1, and there is none"),
        ('["pull", "1"]', "the id of an import is no whole number: `'1'`"),
        ('["pull", true]', "is no whole number"),
        ('["release", 0, 0]', "releases 0 references of export 0, and has 1"),
        ('["release", 0, 2]', "releases 2 references of export 0, and has 1"),
        ('["release", 0, -1]', "releases -1 references"),
        ('["release", 9, 1]', "refers to export 9"),
        ('["resolve", [], 1]', "the id of an export is no whole number"),
        ('["push", ["import", 1]]', "refers to export 1, and there is none"),
        ('["push", ["pipeline", 0, "name", []]]', "its path is no list of names"),
        ('["push", ["pipeline", 0, [[]], []]]', "its path is no list of names"),
        ('["push", ["pipeline", 0, ["a"], {}]]', "its arguments are no list"),
        (json.dumps(["push", ["pipeline", 0, ["a"] * 65, []]]), "property path is too deep: it has 65 names, max 64"),
        (json.dumps(["push", ["pipeline", 0, ["a"], [1] * 256]]), "it has 256 arguments, the limit is 255"),
        ('["push", ["export", 1]]', "what it introduces has negative numbers"),
        ('["push", ["export", 0]]', "what it introduces has negative numbers"),
        ('["push", [[["export", -1], ["promise", -1]]]]', "as a new promise, and has introduced it before"),
        ('["resolve", 0, 1]', "the peer resolves export 0, which is a capability and no promise"),
        ('["push", ["readable", 0]]', "is no pipe"),
        ('["push", ["map", []]]', "`'map'` is no kind of value that Cap'n Web has"),
        ('["push", ["set", []]]', "is no kind of value that Cap'n Web has"),
        ('["push", ["graph", 1, []]]', "is no kind of value that Cap'n Web has"),
        ('["push", ["regexp", "a", ""]]', "is no kind of value that Cap'n Web has"),
        ('["push", ["channel", "stub", {}]]', "is no kind of value that Cap'n Web has"),
        ('["push", [1, 2]]', "is no kind of value that Cap'n Web has"),
        ('["push", []]', "is no kind of value that Cap'n Web has"),
        ('["push", ["bigint", "1e9"]]', "its digits are not decimal"),
        (json.dumps(["push", ["bigint", "9" * 4301]]), "it has 4301 digits, the limit is 4300"),
        ('["push", ["date", "now"]]', "its time is no number"),
        ('["push", ["bytes", 5]]', "it is no string"),
        ('["push", ["bytes", "****"]]', "malformed"),
        ('["push", ["bytes", "AAA", "Int32Array"]]', "no whole number of elements"),
        ('["push", ["bytes", "AAA", "Nonsense"]]', "is no kind of buffer"),
        ('["push", ["error", "Error"]]', "a `error` value is malformed"),
        ('["push", ["error", "Error", "text", null, 5]]', "its properties are no object"),
        ('["push", ["headers", {"a": "b"}]]', "its headers are no list"),
        ('["push", ["headers", [["a"]]]]', "a `headers` value is malformed"),
        ('["push", ["request", "nowhere", {}]]', "Invalid URL"),
        ('["push", ["request", "https://a/", {"body": {"a": 1}, "method": "POST"}]]', "its body is a `dict`"),
        ('["push", ["response", null, {"status": 7}]]', "outside 200 to 599"),
        ('["push", ["response", null, {"webSocket": 1}]]', "a response with a WebSocket cannot be sent"),
        ('["push", ["blob", "text/plain", "text"]]', "it is a type and a stream"),
        ('["push", ["remap", 0, [], [], []]]', "its captures or its instructions are no list"),
        ('["push", ["remap", 0, [], [["pipeline", 0]], [1]]]', "captures are exports and imports"),
        (json.dumps(["push", json.loads("[" * 300 + "1" + "]" * 300)]), "nested deeper than 128 levels"),
    ],
)
def test_a_message_that_breaks_the_protocol_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedError) as refusal:
        Protocol("main").receive(text)

    assert reason in str(refusal.value)


def test_a_message_is_measured_before_it_is_read() -> None:
    with pytest.raises(MalformedError, match=f"the limit is {RPC_MESSAGE_BYTES_MAX}"):
        Protocol("main").receive(" " * (RPC_MESSAGE_BYTES_MAX + 1))


def test_a_peer_that_releases_nothing_is_cut_off() -> None:
    protocol = Protocol("main")
    for _ in range(CAPNWEB_TABLE_MAX - 1):
        receive(protocol, "push", 1)

    with pytest.raises(MalformedError, match="and releases none"):
        receive(protocol, "push", 1)


def test_a_peer_that_shows_too_many_capabilities_is_cut_off() -> None:
    protocol = Protocol("main")

    with pytest.raises(MalformedError, match="has introduced 10000 capabilities"):
        receive(protocol, "push", [[["export", -1 - number] for number in range(CAPNWEB_TABLE_MAX)]])


def test_values_that_a_peer_pushes_and_does_not_release_are_bounded_in_bytes() -> None:
    protocol = Protocol("main")
    large = "x" * (CAPNWEB_HELD_BYTES_MAX // 3)
    receive(protocol, "push", large)
    receive(protocol, "push", large)
    receive(protocol, "release", 1, 1)
    receive(protocol, "push", large)  # there is room again

    with pytest.raises(MalformedError, match="values that it does not release"):
        receive(protocol, "push", large)


def test_the_bytes_of_a_call_are_free_once_it_is_over() -> None:
    protocol = Protocol("main")

    for number in range(1, 7):
        receive(protocol, "push", ["pipeline", 0, ["put"], ["x" * (CAPNWEB_HELD_BYTES_MAX // 3)]])
        protocol.forget_message(number)

    assert protocol.sizes == (1, 7)


# ── fuzzing ──

numbers = st.integers(-4, 4) | st.sampled_from([1.5, 2.0, True, None, "1", 2**60])
names = st.lists(st.sampled_from(["a", "b", 0, -1, None]), max_size=3)
expressions = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: (
        st.builds(lambda items: [items], st.lists(inner, max_size=3))
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.builds(
            lambda tag, rest: [tag, *rest],
            st.sampled_from(
                "undefined bigint date bytes error url headers request response blob import pipeline remap export "
                "promise writable readable map graph".split()
            ),
            st.lists(numbers | names | inner, max_size=4),
        )
    ),
    max_leaves=12,
)
messages = st.builds(
    lambda kind, rest: [kind, *rest],
    st.sampled_from(["push", "stream", "pipe", "pull", "resolve", "reject", "release", "abort", "nonsense"]),
    st.lists(numbers | expressions, max_size=3),
)


@given(st.lists(messages, max_size=12))
def test_whatever_a_peer_sends_is_an_act_or_a_refusal(conversation: list[list[object]]) -> None:
    protocol = Protocol("main")
    protocol.export("ours", identity="ours")
    protocol.push(0, ("call",), [], PLAIN)

    with suppress(MalformedError):  # which ends the session
        for message in conversation:
            protocol.receive(json.dumps(message))

    imports, exports = protocol.sizes
    assert imports <= 4 + sum(json.dumps(message).count("-") for message in conversation)
    assert exports <= 2 + len(conversation)
    assert all(isinstance(holder, str | None) for holder in protocol.drop_all())
    assert protocol.sizes == (0, 0)


@given(st.text())
def test_whatever_text_a_peer_sends_is_an_act_or_a_refusal(text: str) -> None:
    with suppress(MalformedError):
        Protocol("main").receive(text)
