"""Two of our sessions back to back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.capnweb.pairs import Pair, connected, settle

from perdure import RpcTarget
from perdure.capnweb import PeerPromise, PeerStub, ValueStream, WritableStream
from perdure.errors import GuestError, RpcSessionError, UsageError, ValueNotCloneableError
from perdure.limits import CAPNWEB_CALLS_MAX, CAPNWEB_MAP_STEPS_MAX, CAPNWEB_STREAM_WINDOW_BYTES
from perdure.web import File, Request, Response


class Counter(RpcTarget):
    def __init__(self, log: list[str], name: str = "counter") -> None:
        self.value = 0
        self._log = log
        self._name = name

    def increment(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def on_dispose(self) -> None:
        self._log.append(f"{self._name} disposed")


class Api(RpcTarget):
    def __init__(self) -> None:
        self.log: list[str] = []
        self.secret = "hidden"
        self.kept: PeerStub | None = None
        self.gate = asyncio.Event()

    def echo(self, value: Any) -> Any:
        return value

    def add(self, first: int, second: int) -> int:
        return first + second

    def note(self, text: str) -> None:
        self.log.append(text)

    async def slow(self) -> str:
        await self.gate.wait()
        return "done"

    def fail(self) -> None:
        error = ValueError("it failed")
        error.status = 409  # type: ignore[attr-defined]  # as user code does
        raise error

    def counter(self, name: str = "counter") -> Counter:
        return Counter(self.log, name)

    def counters(self, count: int) -> list[Counter]:
        return [Counter(self.log, str(number)) for number in range(count)]

    async def call(self, function: Any, *arguments: Any) -> Any:
        return await function(*arguments)

    def keep(self, stub: Any) -> None:
        self.kept = stub.dup()

    def keep_without_dup(self, stub: Any) -> None:
        self.kept = stub

    async def use_kept(self) -> Any:
        assert self.kept is not None
        return await self.kept("again")

    def unsendable(self) -> Any:
        return {1, 2}

    def get_camel_case(self) -> str:
        return "found"

    @property
    def settings(self) -> dict[str, Any]:
        return {"names": ["a", "b"], "deep": {"er": 5}}

    async def count_to(self, end: int) -> Any:
        async def numbers() -> AsyncIterator[int]:
            for number in range(end):
                yield number

        return numbers()

    async def read(self, stream: ValueStream) -> list[Any]:
        return [chunk async for chunk in stream]

    async def write_to(self, stream: WritableStream) -> None:
        for number in range(3):
            await stream.write(number)
        await stream.close()

    def collector(self) -> WritableStream:
        return WritableStream(
            write=lambda chunk: self.log.append(f"got {chunk}"),
            close=lambda: self.log.append("closed"),
            abort=lambda reason: self.log.append(f"aborted: {reason}"),
        )


def run(scenario: Any, api: Any = None) -> Any:
    """Run `scenario(pair)` with a connected pair."""

    async def main() -> Any:
        async with connected(api or Api()) as pair:
            return await asyncio.wait_for(scenario(pair), 20)

    return asyncio.run(main())


# ── calls ──


def test_a_call_gives_its_result() -> None:
    async def scenario(pair: Pair) -> None:
        assert await pair.api.add(1, 2) == 3
        assert await pair.api.echo({"a": [1, None, b"x"]}) == {"a": [1, None, b"x"]}

    run(scenario)


def test_a_javascript_name_finds_the_method() -> None:
    async def scenario(pair: Pair) -> None:
        assert await pair.api.getCamelCase() == "found"

    run(scenario)


def test_calls_start_in_the_order_in_which_they_are_made() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        for number in range(50):
            pair.api.note(str(number))
        await pair.api.add(1, 1)

    run(scenario, api)
    assert api.log == [str(number) for number in range(50)]


def test_a_call_is_made_without_being_awaited_and_its_arguments_are_those_of_then() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        argument = ["before"]
        promise = pair.api.echo(argument)
        argument[0] = "after"
        assert await promise == ["before"]

    run(scenario, api)


def test_results_are_pipelined_without_waiting() -> None:
    async def scenario(pair: Pair) -> None:
        counter = pair.api.counter()
        counter.increment(2)
        total = counter.increment(3)
        await settle(1)
        assert pair.to_client.sent == []  # all three were sent before anything came back
        assert await total == 5
        assert await pair.api.add(total, pair.api.add(1, 1)) == 7

    run(scenario)


def test_pipelined_calls_overtake_nothing_when_the_result_arrives() -> None:
    api = Api()

    class Log(RpcTarget):
        def note(self, text: str) -> None:
            api.log.append(text)

    class Late(RpcTarget):
        async def log(self) -> Log:
            await api.gate.wait()
            return Log()

    async def scenario(pair: Pair) -> None:
        log = pair.api.log()
        log.note("first")
        await settle()
        api.gate.set()
        log.note("second")
        await settle(3)
        log.note("third")
        await log.note("fourth")

    run(scenario, Late())
    assert api.log == ["first", "second", "third", "fourth"]


def test_properties_can_be_read_and_walked() -> None:
    async def scenario(pair: Pair) -> None:
        assert await pair.api.settings == {"names": ["a", "b"], "deep": {"er": 5}}
        assert await pair.api.settings.names[1] == "b"
        assert await pair.api.settings.deep.er == 5
        with pytest.raises(GuestError, match='does not implement the method "nothing"'):
            await pair.api.settings.nothing

    run(scenario)


def test_a_method_read_as_a_property_is_a_function() -> None:
    async def scenario(pair: Pair) -> None:
        add = await pair.api.add
        assert await add(2, 3) == 5

    run(scenario)


@pytest.mark.parametrize("name", ["secret", "missing", "log", "kept"])
def test_what_an_instance_holds_and_what_is_not_there_read_alike(name: str) -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match=f'does not implement the method "{name}"'):
            await pair.api[name]()

    run(scenario)


@pytest.mark.parametrize("name", ["_private", "__class__", "__init__", "constructor", "on_dispose", "dup"])
def test_private_and_reserved_names_are_refused_on_the_receiving_side(name: str) -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match=r"does not implement|is a reserved method"):
            await pair.api[name]

    run(scenario)


def test_calling_what_is_no_function() -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match=r'"settings\.deep" is not a function'):
            await pair.api.settings.deep()

    run(scenario)


# ── errors ──


def test_an_error_keeps_its_type_its_text_and_its_properties() -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match="it failed") as caught:
            await pair.api.fail()
        assert caught.value.type_name == "ValueError"
        assert caught.value.properties == {"status": 409}
        assert caught.value.remote

    run(scenario)


def test_what_is_pipelined_on_a_failure_fails_with_it() -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match="it failed"):
            await pair.api.fail().anything.at.all()
        with pytest.raises(GuestError, match="it failed"):
            await pair.api.add(pair.api.fail(), 1)

    run(scenario)


def test_a_result_that_cannot_be_sent_is_an_error_that_says_why() -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(GuestError, match="a `set` cannot be sent to a Cap'n Web peer"):
            await pair.api.unsendable()
        assert await pair.api.add(1, 1) == 2

    run(scenario)


def test_an_argument_that_cannot_be_sent_is_refused_at_the_call_and_nothing_leaks() -> None:
    async def scenario(pair: Pair) -> None:
        with pytest.raises(ValueNotCloneableError, match="a `set` cannot be sent"):
            pair.api.echo([lambda: None, {1}])
        assert pair.client.protocol.sizes == (1, 1)
        assert await pair.api.add(1, 1) == 2

    run(scenario)


# ── capabilities ──


def test_a_function_is_called_back() -> None:
    async def scenario(pair: Pair) -> None:
        assert await pair.api.call(lambda text: text.upper(), "hi") == "HI"

    run(scenario)


def test_a_target_is_passed_there_and_comes_back_as_itself() -> None:
    log: list[str] = []

    async def scenario(pair: Pair) -> None:
        counter = Counter(log)
        back = await pair.api.echo(counter)
        assert await back.increment(5) == 5
        assert counter.value == 5
        assert len(pair.to_server.sent) == 3  # a push, a pull and a release: the calls to `back` stay at home
        back.close()

    run(scenario)


def test_stubs_in_arguments_are_closed_when_the_call_returns_unless_they_were_duplicated() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        await pair.api.keep_without_dup(lambda text: f"{text}!")
        with pytest.raises(GuestError, match="RPC stub used after being disposed"):
            await pair.api.use_kept()
        await pair.api.keep(lambda text: f"{text}!")
        assert await pair.api.use_kept() == "again!"

    run(scenario, api)


def test_a_target_is_disposed_once_when_its_last_stub_is_closed() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        counter = await pair.api.counter()
        second = counter.dup()
        counter.close()
        counter.close()
        await settle()
        assert api.log == []
        assert await second.increment() == 1
        with pytest.raises(UsageError, match="RPC stub used after being disposed"):
            await counter.increment()
        second.close()
        await settle()
        assert api.log == ["counter disposed"]
        assert pair.client.protocol.sizes == (1, 1)
        assert pair.server.protocol.sizes == (1, 1)

    run(scenario, api)


def test_a_promise_that_is_closed_gives_back_what_it_would_have_given() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        with pair.api.counter() as counter:
            assert await counter.increment(4) == 4
        await settle()
        assert api.log == ["counter disposed"]
        assert pair.server.protocol.sizes[1] == 1

    run(scenario, api)


def test_everything_is_disposed_when_the_session_ends() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        await pair.api.counters(3)

    run(scenario, api)
    assert sorted(api.log) == ["0 disposed", "1 disposed", "2 disposed"]


def test_a_promise_that_is_returned_is_awaited() -> None:
    class Proxy(RpcTarget):
        def ask(self, function: Any) -> Any:
            return function("x")

        def ask_inside(self, function: Any) -> Any:
            return {"inside": function("x")}

    async def scenario(pair: Pair) -> None:
        assert await pair.api.ask(lambda text: text * 2) == "xx"
        assert await pair.api.ask_inside(lambda text: text * 3) == {"inside": "xxx"}

    run(scenario, Proxy())


def test_a_stub_of_another_session_is_passed_through_the_middle() -> None:
    api = Api()

    class Middle(RpcTarget):
        def __init__(self, behind: Any) -> None:
            self._behind = behind

        def behind(self) -> Any:
            return self._behind.dup()

    async def main() -> None:
        async with connected(api) as far, connected(Middle(far.client.main)) as near:
            behind = near.api.behind()
            assert await behind.add(1, 2) == 3
            assert await behind.call(lambda text: f"{text}?", "through") == "through?"

    asyncio.run(main())


def test_the_server_may_call_the_client() -> None:
    class Client(RpcTarget):
        def name(self) -> str:
            return "the client"

    async def main() -> None:
        async with connected(Api(), Client()) as pair:
            server: Any = pair.server.main
            assert await server.name() == "the client"

    asyncio.run(main())


# ── streams and large things ──


def test_a_stream_is_sent_and_read() -> None:
    async def scenario(pair: Pair) -> None:
        async def letters() -> AsyncIterator[str]:
            for letter in "abc":
                yield letter

        assert await pair.api.read(letters()) == ["a", "b", "c"]
        stream = await pair.api.count_to(4)
        assert [number async for number in stream] == [0, 1, 2, 3]

    run(scenario)


def test_a_stream_that_fails_fails_at_its_reader() -> None:
    async def scenario(pair: Pair) -> None:
        async def broken() -> AsyncIterator[int]:
            yield 1
            raise ValueError("the source broke")

        with pytest.raises(GuestError, match="the source broke"):
            await pair.api.read(broken())

    run(scenario)


def test_a_slow_reader_slows_the_source_down() -> None:
    produced = 0

    class Slow(RpcTarget):
        def __init__(self) -> None:
            self.gate = asyncio.Event()

        async def read(self, stream: ValueStream) -> int:
            await self.gate.wait()
            return sum([1 async for _ in stream])

    api = Slow()

    async def scenario(pair: Pair) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            nonlocal produced
            for _ in range(64):
                produced += 1
                yield b"x" * (CAPNWEB_STREAM_WINDOW_BYTES // 8)

        reading = asyncio.ensure_future(pair.api.read(chunks())._value())
        await settle(400)
        assert 0 < produced < 16
        api.gate.set()
        assert await reading == 64

    run(scenario, api)


def test_a_stream_that_nobody_reads_is_cancelled() -> None:
    async def scenario(pair: Pair) -> None:
        ended = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
            finally:
                ended.set()

        await pair.api.ignore(endless())
        await asyncio.wait_for(ended.wait(), 10)

    class Deaf(RpcTarget):
        def ignore(self, stream: ValueStream) -> None:
            assert isinstance(stream, ValueStream)

    run(scenario, Deaf())


def test_a_writable_stream_is_passed_and_written_to() -> None:
    api = Api()
    got: list[object] = []

    async def scenario(pair: Pair) -> None:
        await pair.api.write_to(WritableStream(got.append, close=lambda: got.append("end")))
        sink = await pair.api.collector()
        await sink.write("one")
        await sink.write("two")
        await sink.close()

    run(scenario, api)
    assert got == [0, 1, 2, "end"]
    assert api.log == ["got one", "got two", "closed"]


def test_files_and_messages_are_passed() -> None:
    async def scenario(pair: Pair) -> None:
        request = await pair.api.echo(Request("https://a/", method="POST", body=b"x"))
        response = await pair.api.echo(Response("y"))
        assert (request.body, response.body) == (b"x", b"y")

    run(scenario)


def test_bodies_are_streamed() -> None:
    async def scenario(pair: Pair) -> None:
        async def body() -> AsyncIterator[bytes]:
            yield b"a"
            yield b"b"

        request = await pair.api.echo(Request("https://a/", method="POST", body=body()))
        response = await pair.api.echo(Response(body()))
        assert await request.bytes() == b"ab"
        assert [chunk async for chunk in response.stream()] == [b"a", b"b"]

    run(scenario)


def test_a_blob_is_read_whole_before_it_is_delivered() -> None:
    async def scenario(pair: Pair) -> None:
        for message in (
            ["pipe"],
            ["push", ["pipeline", 0, ["echo"], [["blob", "text/plain", ["readable", 1]]]]],
            ["stream", ["pipeline", 1, ["write"], [["bytes", "YWI"]]]],
            ["stream", ["pipeline", 1, ["write"], [["bytes", "Yw"]]]],
            ["stream", ["pipeline", 1, ["close"], []]],
        ):
            pair.server.receive(json.dumps(message))
        await settle()
        blob = await pair.server.own(2).pull()
        assert isinstance(blob.value, File)
        assert (blob.value.type, await blob.value.bytes()) == ("text/plain", b"abc")

    run(scenario)


def test_long_chains_of_promises_do_not_nest() -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        server = pair.server
        server.receive('["push",["pipeline",0,["slow"],[]]]')
        for number in range(1, 5_000):
            server.receive(json.dumps(["push", ["pipeline", number, ["further"]]]))
        for number in range(5_000, 9_000):
            server.receive(json.dumps(["push", [[["pipeline", number]]]]))
        await settle()
        assert server.error is None
        api.gate.set()
        await settle(200)
        for number in range(1, 9_001):
            server.receive(json.dumps(["release", number, 1]))
        await settle()
        assert server.error is None
        assert server.protocol.sizes[1] == 1

    run(scenario, api)


def test_too_many_calls_at_once_end_the_session() -> None:
    async def scenario(pair: Pair) -> None:
        call = ["pipeline", 0, ["slow"], []]
        pair.server.receive(json.dumps(["push", [[call] * (CAPNWEB_CALLS_MAX + 1)]]))
        assert "calls under way, which is the limit" in str(pair.server.error)

    run(scenario)


# ── map ──


def test_a_recorded_function_is_applied_here() -> None:
    class List(RpcTarget):
        def ids(self) -> list[int]:
            return [1, 2, 3]

        def name(self, number: int) -> str:
            return f"number {number}"

        def nothing(self) -> None:
            return None

    async def scenario(pair: Pair) -> None:
        assert await pair.api.ids().map(lambda number: [number, pair.api.name(number)]) == [
            [1, "number 1"],
            [2, "number 2"],
            [3, "number 3"],
        ]
        assert await pair.api.nothing().map(pair.api.name) is None

    run(scenario, List())


def test_a_map_that_takes_too_many_steps_is_refused() -> None:
    async def scenario(pair: Pair) -> None:
        instructions = [["pipeline", 0]] * 1000
        pair.server.receive(json.dumps(["push", [[1] * (CAPNWEB_MAP_STEPS_MAX // 1000 + 1)]]))
        pair.server.receive(json.dumps(["push", ["remap", 1, [], [], instructions]]))
        with pytest.raises(Exception, match="takes too many steps"):
            await pair.server.own(2).pull()

    run(scenario)


@pytest.mark.parametrize(
    "instruction",
    [["pipeline", 1], ["pipeline", -1], ["export", -1], ["readable", 0], ["nonsense"], [[["pipeline", 5]]]],
)
def test_a_recorded_function_refers_to_nothing_else(instruction: Any) -> None:
    async def scenario(pair: Pair) -> None:
        pair.server.receive(json.dumps(["push", 1]))
        pair.server.receive(json.dumps(["push", ["remap", 1, [], [], [instruction]]]))
        with pytest.raises(ValueError, match=r"a mapped function|no kind of value"):
            await pair.server.own(2).pull()

    run(scenario)


# ── the end ──


def test_what_is_under_way_fails_when_the_peer_goes_and_nothing_hangs() -> None:
    async def scenario(pair: Pair) -> None:
        slow = pair.api.slow()
        waiting = asyncio.ensure_future(slow._value())
        await settle()
        pair.to_client.queue.put_nowait(None)
        with pytest.raises(RpcSessionError, match="the connection was closed"):
            await waiting
        with pytest.raises(RpcSessionError, match="the connection was closed"):
            await pair.api.add(1, 1)

    run(scenario)


def test_a_peer_that_breaks_the_protocol_is_told_why() -> None:
    async def scenario(pair: Pair) -> None:
        pair.server.receive("nonsense")
        with pytest.raises(GuestError, match="the peer broke the protocol of Cap'n Web: a message cannot be read"):
            await pair.api.add(1, 1)
        assert isinstance(pair.server.error, RpcSessionError)
        assert pair.server.protocol.sizes == (0, 0)

    run(scenario)


def test_an_aborting_peer_says_the_reason() -> None:
    async def scenario(pair: Pair) -> None:
        pair.server.abort(RpcSessionError("enough"))
        with pytest.raises(GuestError, match="enough"):
            await pair.api.add(1, 1)

    run(scenario)


def test_a_session_without_a_main_object_says_so() -> None:
    async def scenario(pair: Pair) -> None:
        server: Any = pair.server.main
        with pytest.raises(GuestError, match="this connection has no main object"):
            await server.anything()

    run(scenario)


def test_what_cannot_be_a_main_object() -> None:
    async def main() -> None:
        with pytest.raises(UsageError, match="a `dict` cannot be the main object of a session"):
            Pair({"a": 1})

    asyncio.run(main())


# ── random conversations ──

steps = st.lists(
    st.sampled_from(["call", "pipeline", "callback", "await", "close", "stream", "fail"]), min_size=1, max_size=20
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_nothing_is_left_behind_whatever_was_done(script: list[str]) -> None:
    api = Api()

    async def scenario(pair: Pair) -> None:
        promises: list[PeerPromise] = []
        for step in script:
            match step:
                case "call":
                    promises.append(pair.api.add(1, 1))
                case "pipeline":
                    promises.append(pair.api.counter().increment())
                case "callback":
                    promises.append(pair.api.call(lambda: "called"))
                case "fail":
                    promises.append(pair.api.fail())
                case "stream":
                    promises.append(pair.api.count_to(3))
                case "await" if promises:
                    with suppress(GuestError):
                        await promises[-1]
                case "close" if promises:
                    promises.pop().close()
        for promise in promises:
            promise.close()
        await settle(200)
        started = script.count("pipeline")
        assert pair.client.protocol.sizes[0] <= 1 + started  # the counters, which were never closed
        assert pair.client.protocol.sizes[1] == 1
        assert pair.server.protocol.sizes[0] == 1

    run(scenario, api)
    assert api.log == ["counter disposed"] * script.count("pipeline")
