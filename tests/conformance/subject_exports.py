"""What the behaviour cases ask of ids, stubs and exports, as caller and as callee."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001

import asyncio

from perdure import DurableObject, FacetOptions, Response, WorkerEntrypoint

WITHOUT_NAMESPACE = ("Plain",)


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.memory = 0
        self.kept = {}
        self.kv = ctx.storage.kv
        self.own = getattr(ctx.exports, type(self).__name__)

    def fetch(self, request):
        return Response(f"{self.ctx.id.name} {request.url}")

    # As callee

    def count(self):
        self.memory += 1
        return self.memory - 1

    def identity(self):
        return {"id": str(self.ctx.id), "name": self.ctx.id.name, "jurisdiction": self.ctx.id.jurisdiction}

    def put(self, key, value):
        self.kv.put(key, value)

    def read(self, key):
        return self.kv.get(key)

    def stop(self, reason):
        self.kv.put("n", 888)
        self.ctx.abort(reason)

    def fail(self, properties):
        error = ValueError("it failed")
        for name, value in properties.items():
            setattr(error, name, value)
        raise error

    async def nap(self, seconds):
        await asyncio.sleep(seconds)
        return "rested"

    async def tick(self, seconds):
        async def run():
            while True:
                await asyncio.sleep(seconds)
                self.kv.put("ticks", self.kv.get("ticks", 0) + 1)

        self.ticking = asyncio.create_task(run())

    def pin(self, seconds):
        self.ctx.wait_until(asyncio.sleep(seconds))

    # Ids

    def ids(self, names):
        return [str(self.own.id_from_name(name)) for name in names]

    def parsed(self, text):
        identity = self.own.id_from_string(text)
        again = self.own.id_from_string(str(identity))
        return {"text": str(identity), "name": identity.name, "equal": identity.equals(again)}

    def same(self, name):
        named = self.own.id_from_name(name)
        other = self.own.id_from_string(str(named))
        return [named.name, other.name, named.equals(other), named.equals(self.own.id_from_name(name + "x"))]

    def unique(self, options):
        identity = self.own.new_unique_id(**options)
        return {"text": str(identity), "name": identity.name, "jurisdiction": identity.jurisdiction}

    def id_within(self, jurisdiction, name):
        return str(self.own.jurisdiction(jurisdiction).id_from_name(name))

    def parsed_within(self, jurisdiction, text):
        return self.own.jurisdiction(jurisdiction).id_from_string(text).jurisdiction

    async def ask_within(self, jurisdiction, text):
        space = self.own.jurisdiction(jurisdiction)
        return await space.get(self.own.id_from_string(text)).identity()

    # Stubs

    async def ask(self, name, method, *arguments):
        return await getattr(self.own.get_by_name(name), method)(*arguments)

    async def ask_by_id(self, text, method, *arguments):
        return await getattr(self.own.get(self.own.id_from_string(text)), method)(*arguments)

    async def ask_by_every_way(self, name):
        space = self.own
        stubs = [
            space.get_by_name(name),
            space.get(space.id_from_name(name)),
            space.get_by_name(name, location_hint="weur"),
            space.get(space.id_from_name(name), location_hint="enam", routing_mode="primary-only"),
        ]
        return [await stub.count() for stub in stubs]

    def with_routing_mode(self, mode):
        self.own.get_by_name("a", routing_mode=mode)

    async def fetch_of(self, name, url):
        return await (await self.own.get_by_name(name).fetch(url)).text()

    def keep(self, label, name):
        self.kept[label] = self.own.get_by_name(name)

    async def use(self, label, method, *arguments):
        return await getattr(self.kept[label], method)(*arguments)

    async def failure_of(self, label, method, *arguments):
        try:
            await self.use(label, method, *arguments)
        except Exception as error:
            return {
                "message": str(error),
                "type": getattr(error, "type_name", type(error).__name__),
                "reset": getattr(error, "durable_object_reset", False),
                "remote": getattr(error, "remote", False),
                "retryable": getattr(error, "retryable", False),
                "tag": getattr(error, "tag", None),
            }
        return None

    def stub_properties(self, name):
        stub = self.own.get_by_name(name)
        before = sorted(vars(stub))
        stub.mine = lambda: "local"
        return [before, str(stub.id), stub.name, stub.mine(), sorted(vars(stub))]

    async def all_at_once(self, name, count):
        stub = self.own.get_by_name(name)
        return await asyncio.gather(*[stub.count() for _ in range(count)])

    async def write_and_ask(self, name):
        self.kv.put("before", 1)
        return await self.own.get_by_name(name).count()

    async def store_stub(self, what):
        self.kv.put("stub", self.thing(what))

    def thing(self, what):
        exports = self.ctx.exports
        return {"namespace": self.own, "stub": self.own.get_by_name("a"), "entry": exports.Entry}[what]

    # Exports

    async def entry(self, options, method, *arguments):
        entry = self.ctx.exports.Entry
        stub = entry if options is None else entry(**options)
        return await getattr(stub, method)(*arguments)

    async def fetch_entry(self, url):
        return await (await self.ctx.exports.Entry(props={"a": 1}).fetch(url)).text()

    def kinds(self):
        exports = self.ctx.exports
        return [hasattr(type(getattr(exports, name)), "get_by_name") for name in ("Subject", "Plain")]

    def missing(self):
        return self.ctx.exports.Missing

    async def in_facet(self, props, method, *arguments):
        facet = self.ctx.facets.get(f"plain {props}", lambda: FacetOptions(cls=self.ctx.exports.Plain(props=props)))
        return await getattr(facet, method)(*arguments)


class Plain(DurableObject):
    def show(self):
        return self.ctx.props

    async def entry(self, props):
        return await self.ctx.exports.Entry(props=props).show()

    async def ask(self, name, method):
        return await getattr(self.ctx.exports.Subject.get_by_name(name), method)()


class Entry(WorkerEntrypoint):
    async def fetch(self, request):
        return Response(f"{request.method} {request.url} {self.ctx.props['a']}")

    def show(self):
        return self.ctx.props

    async def ask(self, name, method, *arguments):
        return await getattr(self.ctx.exports.Subject.get_by_name(name), method)(*arguments)

    async def twice(self, props):
        return [self.ctx.props, await self.ctx.exports.Entry(props=props).show()]
