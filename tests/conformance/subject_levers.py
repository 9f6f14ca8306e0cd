"""What the cases of stubs, clones, ids and levers ask of an object: trusted code and, word for word, a guest."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001, T201
import asyncio

from perdure import DurableObject, FacetOptions


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.memory = 0
        self.kept = {}

    def start(self):
        return FacetOptions(cls=self.ctx.exports.Subject)

    def facet(self, name):
        return self.ctx.facets.get(name, self.start)

    async def relay(self, path, method, *arguments):
        if path:
            return await self.facet(path[0]).relay(path[1:], method, *arguments)
        result = getattr(self, method)(*arguments)
        return await result if hasattr(result, "__await__") else result

    # As a facet

    def count(self):
        self.memory += 1
        return self.memory

    def put(self, key, value):
        self.ctx.storage.kv.put(key, value)

    def read(self, key):
        return self.ctx.storage.kv.get(key)

    def names(self):
        return self.ctx.facets.list()

    def identity(self):
        return {"id": str(self.ctx.id), "name": self.ctx.id.name}

    def take(self, value):
        return value

    # Stubs

    def keep(self, key, name):
        self.kept[key] = self.facet(name)

    async def use_kept(self, key):
        return await self.kept[key].count()

    async def use_and_drop(self, name, times):
        for _ in range(times):
            last = await self.facet(name).count()
        return last

    def abort_facet(self, name, reason):
        self.ctx.facets.abort(name, reason)

    def delete_facet(self, name):
        self.ctx.facets.delete(name)

    async def send_stub(self):
        await self.facet("a").take(self.facet("b"))

    async def send_stub_within(self):
        await self.facet("a").take({"deep": [self.facet("b")]})

    def store_stub(self):
        self.ctx.storage.kv.put("stub", self.facet("b"))

    async def stub_as_props(self):
        kind = self.ctx.exports.Subject(props={"stub": self.facet("b")})
        await self.ctx.facets.get("c", lambda: FacetOptions(cls=kind)).count()

    def return_stub(self):
        return self.facet("b")

    # Ids

    async def inheriting(self, name):
        options = FacetOptions(cls=self.ctx.exports.Subject, inherit_id=True)
        return await self.ctx.facets.get(name, lambda: options).identity()

    async def both_ids(self, name):
        options = {"class": self.ctx.exports.Subject, "id": "x", "inherit_id": True}
        return await self.ctx.facets.get(name, lambda: options).identity()

    # Levers

    def under(self, name, limits=None, budget=None):
        options = {"class": self.ctx.exports.Subject, "limits": limits, "budget": budget}
        return self.ctx.facets.get(name, lambda: options)

    async def relay_under(self, name, limits, budget, method, *arguments):
        return await getattr(self.under(name, limits, budget), method)(*arguments)

    async def usage(self, name=None):
        usage = await self.ctx.facets.usage(name)
        return {
            "pages": usage.pages, "databaseBytes": usage.database_bytes, "facets": usage.facets,
            "requests": usage.requests, "cpuMs": usage.cpu_ms, "rowsRead": usage.rows_read,
            "rowsWritten": usage.rows_written, "memoryBytes": usage.memory_bytes, "lastUsed": usage.last_used,
        }  # fmt: skip

    def raise_budget(self, name, budget):
        self.ctx.facets.set_budget(name, budget)

    def fill(self, size):
        try:
            self.ctx.storage.kv.put("large", "x" * size)
        except Exception as error:
            self.ctx.storage.kv.put("told", type(error).__name__)
            raise

    async def clear(self):
        await self.ctx.storage.delete_all()

    def scribble(self, count):
        for number in range(count):
            self.ctx.storage.kv.put(f"row {number}", number)

    def forget(self, name):
        self.ctx.facets.delete(name)

    def burn(self, rounds):
        total = 0
        for number in range(rounds):
            total += number % 7
        return total

    def fail(self, text):
        print("about to fail")
        raise ValueError(text)

    def some_names(self, start_after, limit):
        return self.ctx.facets.list(start_after=start_after, limit=limit)

    async def listen(self):
        return self.ctx.facets.events()

    # Clones

    async def clone(self, source, target):
        await self.ctx.facets.clone(source, target)

    def clone_unawaited(self, source, target):
        self.ctx.facets.clone(source, target)

    async def put_and_clone(self, source, target):
        await self.facet(source).put("n", "just now")
        self.ctx.facets.clone(source, target)
        return await self.facet(target).read("n")

    # While the root object is in a turn, or in a transaction

    def spin(self, rows):
        """Be in a turn for long, inside the database."""
        query = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT ?) SELECT max(x) AS m FROM n"
        return self.ctx.storage.sql.exec(query, rows).one()["m"]

    def write_and_spin(self, rows, stops):
        self.ctx.storage.kv.put("half", 1)
        self.spin(rows)
        if stops:
            self.ctx.abort("stopped in the middle")
        self.ctx.storage.kv.put("half", 2)

    async def wipe(self, rows=0):
        await self.ctx.storage.delete_all()
        if rows:
            self.spin(rows)

    async def drop(self, name, seconds):
        self.ctx.facets.delete(name)
        await asyncio.sleep(seconds)

    async def later(self, seconds, path, method, *arguments):
        await asyncio.sleep(seconds)
        return await self.relay(path, method, *arguments)

    async def transact(self, seconds):
        async def inside(txn):
            await txn.put("n", 1)
            await asyncio.sleep(seconds)
            await txn.put("n", 2)

        await self.ctx.storage.transaction(inside)

    async def transact_over(self, path, method, *arguments):
        texts = []

        async def inside(txn):
            await txn.put("n", 1)
            try:
                texts.append(str(await self.relay(path, method, *arguments)))
            except Exception as error:
                texts.append(str(error))

        await self.ctx.storage.transaction(inside)
        return texts[0]
