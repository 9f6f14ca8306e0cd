"""What the behaviour cases ask of an object: runs as trusted code and, word for word, as a guest."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204
# It is what people write, and what models write for them.

import asyncio
import time

from perdure import DurableObject, FacetOptions, Response


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.memory = 0
        self.events = []
        self.starts = 0
        self.kept = None
        self.kv = ctx.storage.kv
        if time.time() * 1000 < self.kv.get("fail_until", 0):
            raise ValueError("the constructor failed")
        self.kv.put("constructed", self.kv.get("constructed", 0) + 1)

    # Life

    def fetch(self, request):
        self.kv.put("fetched", self.kv.get("fetched", 0) + 1)
        return Response(f"{request.method} {request.url} {self.kv.get('fetched')}")

    def count(self):
        self.memory += 1
        return self.memory - 1

    def constructed(self):
        return self.kv.get("constructed")

    def put(self, key, value):
        self.kv.put(key, value)

    def read(self, key):
        return self.kv.get(key)

    def fail_for(self, milliseconds):
        self.kv.put("fail_until", time.time() * 1000 + milliseconds)

    def boom(self):
        self.kv.put("before boom", 1)
        raise ValueError("boom")

    def stop(self, reason):
        self.kv.put("n", 888)
        self.ctx.abort(reason)

    def stop_with_work_queued(self):
        async def later():
            await asyncio.sleep(0)
            self.kv.put("late", 1)

        self.ctx.wait_until(later())
        self.ctx.abort("stopped")

    def identity(self):
        return {"id": str(self.ctx.id), "name": self.ctx.id.name, "props": self.ctx.props}

    def now(self):
        return int(time.time() * 1000)

    # Gates

    async def nap(self, seconds):
        await asyncio.sleep(seconds)
        return self.memory

    def pin(self, seconds):
        self.ctx.wait_until(asyncio.sleep(seconds))

    def fail_in_background(self):
        async def fails():
            await asyncio.sleep(1)
            raise ValueError("nobody waits for this")

        self.ctx.wait_until(fails())

    def note(self, label):
        self.events.append(label)
        return self.events

    async def section(self, label, seconds):
        async def inside():
            self.events.append(f"begin {label}")
            await asyncio.sleep(seconds)
            self.events.append(f"end {label}")
            return label

        return await self.ctx.block_concurrency_while(inside)

    async def failing_section(self):
        async def inside():
            await asyncio.sleep(1)
            raise ValueError("the section failed")

        try:
            await self.ctx.block_concurrency_while(inside)
        except ValueError:
            self.kv.put("survived", 1)

    async def write_around_a_nap(self, seconds):
        self.kv.put("first", 1)
        await asyncio.sleep(seconds)
        self.kv.put("second", 1)

    # KV

    def keys(self, options):
        names = {"startAfter": "start_after"}
        return [key for key, _ in self.kv.list(**{names.get(name, name): value for name, value in options.items()})]

    def forget(self, key):
        return self.kv.delete(key)

    def stale_listing(self):
        first = self.kv.list()
        next(first)
        list(self.kv.list())
        next(first)

    def write_while_listing(self):
        seen = []
        for key, _ in self.kv.list():
            seen.append(key)
            self.kv.delete(key)
        return seen

    # SQL

    def sql(self, query, *bindings):
        cursor = self.ctx.storage.sql.exec(query, *bindings)
        return {"names": list(cursor.column_names), "rows": [list(row) for row in cursor.raw()]}

    def rows(self, query):
        return self.ctx.storage.sql.exec(query).to_array()

    def one(self, query):
        return self.ctx.storage.sql.exec(query).one()

    def read_and_written(self, query, count):
        cursor = self.ctx.storage.sql.exec(query)
        rows = cursor.raw()
        for _ in range(count):
            next(rows)
        return [cursor.rows_read, cursor.rows_written]

    def two_cursors(self):
        query = "SELECT column1 AS n FROM (VALUES (1), (2))"
        first, second = self.ctx.storage.sql.exec(query), self.ctx.storage.sql.exec(query)
        return [next(first.raw())[0], next(second.raw())[0], next(first.raw())[0], next(second.raw())[0]]

    def blob(self):
        row = self.ctx.storage.sql.exec("SELECT ? AS a, zeroblob(2) AS b, ? AS c", b"\x01\xff", None).one()
        return [list(row["a"]), list(row["b"]), row["c"]]

    def database_size(self):
        return self.ctx.storage.sql.database_size

    # Facets

    def start(self):
        self.starts += 1
        return FacetOptions(cls=self.ctx.exports.Subject)

    def facet(self, name):
        return self.ctx.facets.get(name, self.start)

    async def relay(self, path, method, *arguments):
        facet = self.facet(path[0])
        if len(path) > 1:
            return await facet.relay(path[1:], method, *arguments)
        return await getattr(facet, method)(*arguments)

    async def relay_fetch(self, name, url):
        return await (await self.facet(name).fetch(url)).text()

    def started(self):
        return self.starts

    async def with_failing_start(self, name):
        def start():
            raise ValueError("this start callback failed")

        return await self.ctx.facets.get(name, start).count()

    async def with_slow_start(self, name, seconds):
        async def start():
            await asyncio.sleep(seconds)
            return self.start()

        return await self.ctx.facets.get(name, start).count()

    async def with_identity(self, name, identity):
        return await self.ctx.facets.get(
            name, lambda: FacetOptions(cls=self.ctx.exports.Subject, id=identity)
        ).identity()

    async def with_props(self, name, props):
        kind = self.ctx.exports.Subject(props=props)
        return await self.ctx.facets.get(name, lambda: FacetOptions(cls=kind)).identity()

    async def with_another_class(self, name):
        return await self.ctx.facets.get(name, lambda: FacetOptions(cls=self.ctx.exports.Another)).read("n")

    def keep_stub(self, name):
        self.kept = self.facet(name)

    async def use_kept_stub(self):
        return await self.kept.count()

    def abort_facet(self, name, reason):
        self.ctx.facets.abort(name, reason)

    def delete_facet(self, name):
        self.ctx.facets.delete(name)

    def facet_names(self):
        return self.ctx.facets.list()

    def name_a_facet(self, name):
        self.ctx.facets.get(name, self.start)


class Another(DurableObject):
    def read(self, key):
        return f"another class reads {self.ctx.storage.kv.get(key)}"
