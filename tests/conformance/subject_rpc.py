"""What the behaviour cases ask of calls: of who makes them, and of who answers."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001

import asyncio

from perdure import DurableObject, Request, Response, RpcStub, RpcTarget, WorkerEntrypoint


class Counter(RpcTarget):
    """Counts; tells its maker when nobody holds it any more."""

    def __init__(self, owner, start):
        self._owner = owner
        self.own = "own"
        self._count = start

    def increment(self, by):
        self._count += by
        return self._count

    @property
    def value(self):
        return self._count

    def fail(self):
        raise LookupError("counted out")

    def another(self):
        return Counter(self._owner, 100)

    def on_dispose(self):
        self._owner.disposals += 1


class Strange:
    """No data, and no RpcTarget."""

    def method(self):
        return "never"


async def failure(work):
    """What an awaitable, or a function that makes one, raises: type and text."""
    try:
        await (work() if callable(work) and not hasattr(work, "__await__") else work)
    except Exception as error:
        return [getattr(error, "type_name", type(error).__name__), str(error)]
    return None


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.disposals = 0
        self.kept = None
        self.secret = "secret"
        self.own_function = lambda: "own"
        self.log = []

    # ── as who answers ──────────────────────────────────────────────────────────────────────────────────────

    @property
    def greeting(self):
        return f"hello from {self.ctx.id.name}"

    @property
    def tools(self):
        return {"add": lambda a, b: a + b, "deep": {"er": {"name": "bottom", "double": lambda a: 2 * a}}}

    def make_counter(self, start):
        return Counter(self, start)

    def counters(self):
        return {"first": Counter(self, 1), "more": [Counter(self, 10), Counter(self, 20)], "plain": 5}

    def add(self, a, b):
        return a + b

    def count(self):
        self.log.append(len(self.log) + 1)
        return self.log[-1]

    def get(self, key):
        return f"got {key}"

    def put(self, key, value):
        return f"put {key} {value}"

    def delete(self, key):
        return f"deleted {key}"

    async def call_back(self, function, *arguments):
        return await function(*arguments)

    async def call_many(self, function, count):
        return [await function(number) for number in range(count)]

    async def increment_it(self, counter, by):
        return await counter.increment(by)

    async def read_it(self, counter):
        return await counter.value

    def echo(self, value):
        return value

    def keep(self, stub):
        self.kept = stub.dup()

    def keep_as_it_is(self, stub):
        self.kept = stub

    async def use_kept(self, *arguments):
        return await self.kept(*arguments)

    async def increment_kept(self, by):
        return await self.kept.increment(by)

    def drop_kept(self):
        self.kept.close()
        self.kept = None

    def disposed(self):
        return self.disposals

    def fail_with(self, properties):
        error = KeyError("it failed")
        for name, value in properties.items():
            setattr(error, name, value)
        raise error

    def strange(self):
        return Strange()

    def nothing(self):
        return None

    # ── as who calls ────────────────────────────────────────────────────────────────────────────────────────

    async def pipelined(self, peer):
        counter = peer.make_counter(1)
        counters = peer.counters()
        return [
            await counter.increment(2),
            await counter.value,
            await peer.make_counter(7).value,
            await counters.first.increment(1),
            await counters.more[1].value,
            await counters.plain,
            await counter.another().increment(1),
            await peer.tools.add(2, 3),
            await peer.tools.deep.er.name,
            await peer.tools.deep.er.double(4),
            await peer.greeting,
        ]

    async def pipelined_late(self, peer):
        """The same, but the result is there already."""
        promise = peer.counters()
        await promise
        return [await promise.first.increment(1), await promise.plain, await promise.more[0].another().value]

    async def pipeline_failures(self, peer):
        broken = peer.fail_with({})
        chained = [broken.anything.at.all(1), broken.property]
        return [
            await failure(broken),
            *[await failure(work) for work in chained],
            await failure(peer.nothing().method()),
            await failure(peer.make_counter(1).fail()),
            await failure(peer.counters().plain.method()),
        ]

    async def method_as_property(self, peer):
        add = await peer.add
        increment = await peer.make_counter(5).increment
        with add, increment:
            return [await add(1, 2), await increment(1), await increment(1)]

    async def in_order(self, peer, count):
        calls = [peer.count() for _ in range(count)]
        return [await call for call in reversed(calls)][::-1]

    async def never_awaited(self, peer):
        peer.count()
        peer.count()
        return await peer.count()

    async def ask(self, peer, method, *arguments):
        return await peer[method](*arguments)

    async def failure_of(self, peer, method, *arguments):
        return await failure(lambda: peer[method](*arguments))

    async def failure_of_path(self, peer, *path):
        async def follow():
            step = peer
            for name in path:
                step = step[name]
            return await step()

        return await failure(follow)

    async def too_deep(self, peer):
        step = peer
        try:
            for _ in range(64):
                step = step.a
        except Exception as error:
            return [f"early {error}"]
        try:
            step = step.a
        except Exception as error:
            return [type(error).__name__, str(error)]
        return None

    async def with_function(self, peer):
        offset = 40
        return await peer.call_back(lambda a, b: a + b + offset, 1, 1)

    async def with_async_function(self, peer):
        async def function(number):
            await asyncio.sleep(0.01)
            return number * number

        return await peer.call_many(function, 4)

    async def with_target(self, peer):
        counter = Counter(self, 5)
        return [await peer.increment_it(counter, 1), await peer.increment_it(counter, 1), await peer.read_it(counter)]

    async def with_failing_function(self, peer):
        def function():
            error = LookupError("called back")
            error.detail = {"a": 1}
            raise error

        try:
            await peer.call_back(function)
        except Exception as error:
            return {
                "type": getattr(error, "type_name", type(error).__name__),
                "message": str(error),
                "remote": error.remote,
                "detail": getattr(error, "detail", None) or getattr(error, "properties", {}).get("detail"),
            }

    async def with_stub(self, peer, other):
        """A stub of somebody else's, through the one in the middle."""
        with await other.make_counter(3) as counter:
            first = await peer.increment_it(counter, 1)
            return [first, await counter.increment(1), await peer.read_it(counter)]

    async def with_object(self, peer, other):
        """A stub of an object; it may be kept."""
        await peer.keep_as_it_is(other)
        return await peer.ask_kept("add", 2, 3)

    async def ask_kept(self, method, *arguments):
        return await self.kept[method](*arguments)

    async def with_own_stub(self, peer):
        """A stub of this very object."""
        own = getattr(self.ctx.exports, type(self).__name__).get_by_name(self.ctx.id.name)
        return await peer.ask(own, "greeting_is")

    def greeting_is(self):
        return self.greeting

    async def echoed(self, peer):
        result = await peer.echo([Counter(self, 1), lambda: "called", 7])
        counter, function, plain = result
        with counter, function:
            return [await counter.increment(1), await function(), plain]

    async def in_section(self, peer):
        async def section():
            return await peer.call_back(lambda: "called in the section")

        return await self.ctx.block_concurrency_while(section)

    async def leave_a_function(self, peer):
        await peer.keep(lambda number: number + 1)

    async def leave_a_counter(self, peer):
        await peer.keep(Counter(self, 1))

    async def leave_a_counter_undupped(self, peer):
        await peer.keep_as_it_is(Counter(self, 1))

    async def hold_counter(self, peer):
        self.held = await peer.make_counter(1)
        return await self.held.increment(1)

    async def increment_held(self):
        return await self.held.increment(1)

    async def release_counter(self):
        self.held.close()

    async def disposals_of(self, peer, act):
        """How many of the peer's targets had been disposed of, before and after."""
        counts = [await peer.disposed()]
        match act:
            case "once":
                with await peer.make_counter(1) as counter:
                    await counter.increment(1)
            case "dup":
                counter = await peer.make_counter(1)
                other = counter.dup()
                counter.close()
                counter.close()
                await asyncio.sleep(0.05)
                counts.append(await peer.disposed())
                await other.increment(1)
                other.close()
            case "promise":
                with peer.counters() as promise:
                    await promise.first.increment(1)
            case "passed on":
                with await peer.make_counter(1) as counter:
                    await peer.increment_it(counter, 1)
                    await peer.increment_it(counter, 1)
        await asyncio.sleep(0.05)
        return [*counts, await peer.disposed()]

    async def own_disposals(self, peer, calls):
        """How many of this object's targets were disposed of, after so many calls that took one along."""
        before = self.disposals
        for _ in range(calls):
            await peer.increment_it(Counter(self, 1), 1)
        await asyncio.sleep(0.05)
        return self.disposals - before

    async def after_dispose(self, peer):
        counter = await peer.make_counter(1)
        counter.close()
        counter.close()
        function = await peer.tools.add
        function.close()
        promise = peer.make_counter(1)
        promise.close()
        return [
            await failure(lambda: counter.increment(1)),
            await failure(lambda: counter.value),
            await failure(lambda: function(1, 2)),
            await failure(lambda: peer.increment_it(counter, 1)),
            await failure(promise),
        ]

    async def refused(self, peer):
        promise = peer.add(1, 2)
        results = [
            await failure(lambda: peer.echo(Strange())),
            await failure(lambda: peer.echo({"a": [promise]})),
            await failure(lambda: peer.echo(peer.greeting)),
            await failure(peer.strange()),
        ]
        await promise
        return results

    async def failed_call(self, peer):
        try:
            await peer.fail_with({"tag": "a", "count": 3})
        except Exception as error:
            return {
                "type": getattr(error, "type_name", type(error).__name__),
                "remote": getattr(error, "remote", False),
                "reset": getattr(error, "durable_object_reset", False),
                "tag": getattr(error, "tag", None) or getattr(error, "properties", {}).get("tag"),
            }

    async def wrapped(self):
        """A stub of something of one's own."""
        counter = Counter(self, 1)
        stub = RpcStub(counter)
        other = stub.dup()
        first = await stub.increment(1)
        stub.close()
        second = await other.increment(1)
        before = self.disposals
        other.close()
        await asyncio.sleep(0.05)
        return [first, second, self.disposals - before]

    # ── storage, exports ────────────────────────────────────────────────────────────────────────────────────

    async def entry(self, method, *arguments):
        return await self.ctx.exports.Entry(props={"a": 1})[method](*arguments)

    async def cache_in_entry(self):
        await self.entry("cache", lambda: 1)
        return await self.entry("use_cached")

    def store(self, what):
        exports = self.ctx.exports
        own = getattr(exports, type(self).__name__)
        things = {
            "entry": lambda: exports.Entry,
            "called": lambda: exports.Entry(props={"a": 1}),
            "stub": lambda: own.get_by_name("stored"),
            "function": lambda: lambda: 1,
        }
        self.ctx.storage.kv.put("stub", {"it": things[what]()})

    async def use_stored(self, method, *arguments):
        return await self.ctx.storage.kv.get("stub")["it"][method](*arguments)


class Entry(WorkerEntrypoint):
    cached = None
    disposals = 0

    def show(self):
        return self.ctx.props

    def make_counter(self, start):
        return Counter(self, start)

    async def call_back(self, function, *arguments):
        return await function(*arguments)

    def cache(self, stub):
        Entry.cached = stub.dup()

    async def use_cached(self):
        try:
            return await Entry.cached()
        except Exception as error:
            return str(error)

    async def fetch(self, request: Request):
        return Response("fetched")
