"""What the cases of calls ask of an object, as caller and as callee: `peer` is a stub of another object."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN204, BLE001

from perdure import DurableObject, RpcStub, RpcTarget, WorkerEntrypoint


class Subject(DurableObject):
    class Counter(RpcTarget):
        def __init__(self, value, log):
            self.value = value
            self.log = log

        def increment(self, by=1):
            self.value += by
            return self.value

        @property
        def total(self):
            return self.value

        def on_dispose(self):
            self.log.append("disposed")

    class Money:
        pass

    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.log = []
        self.secret = "own"
        self.kept = {}

    # As callee

    @property
    def settings(self):
        return {"deep": {"number": 7, "add": lambda first, second: first + second}}

    def counter(self, value):
        return self.Counter(value, self.log)

    def logged(self):
        return self.log

    async def callBack(self, callback, *values):  # noqa: N802  # each language by the name that the other has
        return await callback(*values)

    async def useTwice(self, counter):  # noqa: N802
        return [await counter.increment(1), await counter.increment(1)]

    def keep(self, name, stub):
        self.kept[name] = stub.dup()

    async def useKept(self, name):  # noqa: N802
        return await self.kept[name].increment(1)

    def drop(self, name):
        self.kept[name].close()

    def echo(self, value):
        return value

    def fail(self):
        raise ValueError("it failed")

    def stop(self):
        self.ctx.abort("stopped")

    def get(self, value):
        return f"get {value}"

    def put(self, key, value):
        return f"put {key} {value}"

    def delete(self, key):
        return f"delete {key}"

    # As caller

    async def attempt(self, peer, path, *values):
        """The error of a call, or what it gave."""
        found = peer
        for name in path:
            found = getattr(found, name)
        try:
            return await found(*values)
        except Exception as error:
            return [str(error), getattr(error, "remote", False), getattr(error, "durable_object_reset", False)]

    async def pipelined(self, peer):
        counter = peer.counter(1)
        calls = [counter.increment(2), counter.increment(3), counter.total]
        values = [await call for call in calls]
        return [*values, await peer.settings.deep.number, await peer.settings.deep.add(1, 2)]

    async def baseFails(self, peer):  # noqa: N802
        base = peer.fail()
        seen = []
        for call in (base.x.y(), base.z, base):
            try:
                await call
            except Exception as error:
                seen.append(str(error))
        return seen

    async def inOrder(self, peer):  # noqa: N802
        counter = peer.counter(0)
        calls = [counter.increment(1) for _ in range(6)]
        return [await call for call in calls]

    async def withCallback(self, peer):  # noqa: N802
        return await peer.callBack(lambda first, second: [first, second, self.secret], 1, "b")

    async def methodAsFunction(self, peer):  # noqa: N802
        counter = await peer.counter(1)
        increment = await counter.increment
        return [await increment(4), await counter.total]

    async def lend(self, peer, times):
        counter = self.Counter(0, self.log)
        return [await peer.useTwice(counter) for _ in range(times)]

    async def lendStub(self, peer):  # noqa: N802
        self.kept["own"] = stub = RpcStub(self.Counter(0, self.log))
        return [await peer.useTwice(stub), await peer.useTwice(stub), await stub.total]

    async def lendToKeep(self, peer):  # noqa: N802
        await peer.keep("a", self.Counter(10, self.log))

    async def usedAfterDisposal(self, peer):  # noqa: N802
        counter = await peer.counter(1)
        second = counter.dup()
        counter.close()
        counter.close()
        seen = [await second.increment(1)]
        second.close()
        for stub in (counter, second):
            try:
                await stub.increment(1)
            except Exception as error:
                seen.append(str(error))
        return seen

    async def through(self, middle, peer):
        """A capability that crosses two borders, and comes back."""
        mine = self.Counter(100, self.log)
        theirs = await peer.counter(1)
        back = await middle.echo({"mine": mine, "theirs": theirs, "peer": peer})
        return [
            await back["mine"].increment(1),
            await back["theirs"].increment(1),
            await theirs.increment(1),
            await back["peer"].counter(5).total,
        ]

    async def refused(self, peer, what):
        value = {"instance": self.Money, "promise": lambda: peer.counter(1), "property": lambda: peer.counter}[what]()
        try:
            await peer.echo([value])
        except Exception as error:
            if what == "promise":
                await value
            return str(error)
        return None

    def tooDeep(self, peer):  # noqa: N802
        found = peer
        for _ in range(64):
            found = found.x
        try:
            found.x  # noqa: B018
        except TypeError as error:
            return str(error)
        return None

    # What can be stored

    def store(self, what):
        exports = self.ctx.exports
        value = {"called": lambda: exports.Entry(props={"n": 1}), "bare": lambda: exports.Entry}[what]()
        self.ctx.storage.kv.put("stub", {"entry": value})

    async def stored(self):
        return await self.ctx.storage.kv.get("stub")["entry"].show()

    async def acrossRequests(self):  # noqa: N802
        entry = self.ctx.exports.Entry(props={})
        seen = [await entry.hold(lambda: "held")]
        try:
            await entry.useHeld()
        except Exception as error:
            seen.append(str(error))
        return seen


HELD = []


class Entry(WorkerEntrypoint):
    def show(self):
        return self.ctx.props

    async def hold(self, callback):
        HELD.append(callback.dup())
        return await HELD[-1]()

    async def useHeld(self):  # noqa: N802
        return await HELD[-1]()
