"""What the cases of storage ask of an object: the asynchronous face, transactions, confirmation, the end of it all."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001, PLW0108, SIM105

import asyncio
import time

from perdure import DurableObject, FacetOptions


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.storage = ctx.storage
        self.memory = 0
        self.events = []

    async def on_start(self):
        if time.time() * 1000 < self.storage.kv.get("fail_until", 0):
            await asyncio.sleep(0.5)
            raise ValueError("the start failed")

    def fail_for(self, milliseconds):
        self.storage.kv.put("fail_until", time.time() * 1000 + milliseconds)

    # Plain steps

    def count(self):
        self.memory += 1
        return self.memory - 1

    def note(self, label):
        self.events.append(label)
        return self.events

    def read(self, key):
        return self.storage.kv.get(key)

    def sql(self, query, *bindings):
        return [list(row) for row in self.storage.sql.exec(query, *bindings).raw()]

    def columns(self, query, *bindings):
        return list(self.storage.sql.exec(query, *bindings).column_names)

    # The asynchronous face

    async def get(self, key):
        return await self.storage.get(key)

    async def get_entries(self, keys):
        return [list(entry) for entry in (await self.storage.get(keys)).items()]

    async def put(self, key, value):
        await self.storage.put(key, value)

    async def put_all(self, entries):
        await self.storage.put(entries)

    async def put_nothing(self):
        await self.storage.put("k")

    async def put_entries_and_a_value(self):
        await self.storage.put({"a": 1}, 2)

    async def put_one_bad(self):
        try:
            await self.storage.put({"a": 1, "b": print})
        except TypeError as error:
            return str(error)

    async def forget(self, key):
        return await self.storage.delete(key)

    async def list(self, options):
        names = {"startAfter": "start_after"}
        options = {names.get(name, name): value for name, value in options.items()}
        return [list(entry) for entry in (await self.storage.list(**options)).items()]

    async def write_over_awaits(self):
        await self.storage.put("a", 1)
        await self.storage.get("a")
        await self.storage.put("b", 2)
        self.ctx.abort("between")

    async def unconfirmed(self, what):
        if what in {"put", "mixed", "then sql"}:
            self.storage.put("u", 1, allow_unconfirmed=True)
        if what == "many":
            self.storage.put({"u": 1, "v": 2}, allow_unconfirmed=True)
        if what == "delete":
            self.storage.delete("u", allow_unconfirmed=True)
        if what == "mixed":
            self.storage.put("c", 1)
        if what == "then sql":
            self.storage.sql.exec("INSERT INTO t VALUES (1)")
        if what == "rolled back":
            self.storage.put("u", 1, allow_unconfirmed=True)
            try:
                with self.storage.transaction_sync():
                    self.storage.put("c", 1)
                    raise ValueError("undo it")
            except ValueError:
                pass
        return "answered"

    async def unconfirmed_then_sync(self):
        self.storage.put("u", 1, allow_unconfirmed=True)
        await self.storage.sync()
        return "synced"

    async def sync(self):
        await self.storage.sync()
        return "synced"

    async def sync_before_more(self):
        self.storage.put("u", 1, allow_unconfirmed=True)
        synced = self.storage.sync()
        self.events.append("syncing")
        await synced
        self.events.append("synced")
        return "synced"

    # Transactions of one turn

    def sync_transaction(self, key, value, fails):
        def inside():
            self.storage.kv.put(key, value)
            if fails:
                raise ValueError("undo it")
            return "foo"

        try:
            return self.storage.transaction_sync(inside)
        except ValueError as error:
            return str(error)

    def nested_sync_transactions(self):
        def outer():
            self.storage.kv.put("outer", 1)
            try:
                self.storage.transaction_sync(inner)
            except ValueError:
                pass

        def inner():
            self.storage.kv.put("inner", 1)
            self.storage.kv.put("outer", 2)
            raise ValueError("undo it")

        self.storage.transaction_sync(outer)

    def sync_transaction_with_bad_sql(self):
        def inside():
            self.storage.sql.exec("CREATE TABLE made (x)")
            self.storage.sql.exec("SELECT * FROM no_such_table")

        try:
            self.storage.transaction_sync(inside)
        except Exception as error:
            return str(error)

    def async_in_a_sync_transaction(self):
        async def inside():
            pass

        self.storage.transaction_sync(inside)

    def sync_transaction_after_a_critical_error(self, query):
        def inside():
            try:
                self.storage.sql.exec(query)
            except Exception:
                pass

        try:
            self.storage.transaction_sync(inside)
        except Exception as error:
            self.events.append(str(error))
            return str(error)

    def catch_sql(self, query):
        try:
            self.storage.sql.exec(query)
        except Exception as error:
            return str(error)

    def after_a_critical_error(self, query):
        """What each later operation throws."""
        texts = []
        for operation in (
            lambda: self.storage.sql.exec(query),
            lambda: self.storage.kv.get("a"),
            lambda: self.storage.kv.put("a", 1),
            lambda: self.storage.sql.exec("SELECT 1"),
            lambda: self.storage.put("a", 1),
            lambda: self.storage.delete_all(),
        ):
            try:
                operation()
                texts.append("nothing")
            except Exception as error:
                texts.append(str(error))
        self.kept_texts = texts
        return texts

    # The end of it all

    async def put_and_delete_all(self):
        self.storage.kv.put("late", 1)
        await self.storage.delete_all()
        return [self.storage.kv.get("late"), self.storage.kv.get("early")]

    async def delete_all(self):
        await self.storage.delete_all()

    async def delete_all_and_abort(self):
        await self.storage.delete_all()
        self.ctx.abort("after all")

    def read_beyond_the_end(self):
        cursor = self.storage.sql.exec(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000) SELECT x FROM n"
        )
        next(cursor)
        self.storage.delete_all()
        said = []
        for _ in range(2):
            try:
                said.append(list(cursor))
            except Exception as error:
                said.append(str(error))
        return said

    def delete_all_in_a_sync_transaction(self):
        self.storage.transaction_sync(lambda: self.storage.delete_all())

    # Alarms

    def alarm(self, info):
        self.storage.kv.put("rang", 1)

    async def alarm_and_delete_all(self, keeps):
        await self.storage.set_alarm(3_000_000_000_000)
        await self.storage.delete_all(delete_alarm=not keeps)
        return await self.storage.get_alarm() is not None

    async def alarm_in_a_transaction(self, how):
        async def inside(txn):
            await txn.set_alarm(3_000_000_000_000)
            await asyncio.sleep(1)
            if how == "rollback":
                txn.rollback()

        await self.storage.transaction(inside)
        return await self.storage.get_alarm() is not None

    def alarm_in_a_sync_transaction(self):
        def inside():
            self.storage.set_alarm(3_000_000_000_000)
            raise ValueError("undo it")

        try:
            self.storage.transaction_sync(inside)
        except ValueError:
            pass

    async def has_alarm(self):
        return await self.storage.get_alarm() is not None

    async def catch_in(self, kind, query):
        """A critical error that is caught, in each kind of transaction."""

        def inside(*_):
            try:
                self.storage.sql.exec(query)
            except Exception:
                pass

        async def inside_async(_):
            inside()

        if kind == "sync":
            self.storage.transaction_sync(inside)
        elif kind == "async":
            await self.storage.transaction(inside_async)
        else:
            inside()
        return "caught"

    # Transactions that last

    async def transact(self, key, value, how, seconds=0):
        async def inside(txn):
            await txn.put(key, value)
            if seconds:
                await asyncio.sleep(seconds)
            self.storage.kv.put(key + " too", value)
            if how == "throw":
                raise ValueError("undo it")
            if how == "rollback":
                txn.rollback()
                txn.rollback()
            return "foo"

        try:
            return await self.storage.transaction(inside)
        except ValueError as error:
            return str(error)

    async def implicit_then_transaction(self):
        self.storage.kv.put("implicit", 1)

        async def inside(txn):
            self.storage.kv.put("explicit", 1)
            txn.rollback()

        await self.storage.transaction(inside)

    async def nested_transactions(self, seconds, inner_fails, outer_fails):
        async def outer(txn):
            await txn.put("outer", 1)
            try:
                await self.storage.transaction(inner)
            except ValueError:
                pass
            if outer_fails:
                txn.rollback()

        async def inner(txn):
            await txn.put("inner", 1)
            if seconds:
                await asyncio.sleep(seconds)
            if inner_fails:
                raise ValueError("undo it")

        await self.storage.transaction(outer)

    async def transaction_around_a_sync_one(self):
        async def inside(txn):
            await txn.put("outer", 1)
            self.sync_transaction("inner", 1, True)
            await asyncio.sleep(1)
            self.sync_transaction("other", 1, False)

        await self.storage.transaction(inside)

    async def use_after(self, how):
        kept = []

        async def inside(txn):
            kept.append(txn)
            if how == "rolled back":
                txn.rollback()
                await txn.put("k", 1)

        await self.storage.transaction(inside)
        await kept[0].get("k")

    async def roll_back_the_outer_one(self):
        texts = []

        async def outer(txn):
            async def inner(_):
                await asyncio.sleep(1)
                try:
                    txn.rollback()
                except Exception as error:
                    texts.append(str(error))

            await self.storage.transaction(inner)

        await self.storage.transaction(outer)
        return texts

    async def delete_all_in_a_transaction(self, through):
        async def inside(txn):
            await (txn if through == "txn" else self.storage).delete_all()

        await self.storage.transaction(inside)

    async def two_transactions(self):
        async def one(label):
            async def inside(txn):
                self.events.append(f"begin {label}")
                before = await txn.get("n") or 0
                await asyncio.sleep(1)
                await txn.put("n", before + 1)
                self.events.append(f"end {label}")

            await self.storage.transaction(inside)

        await asyncio.gather(one("a"), one("b"))
        return self.events

    async def outside_of_a_transaction(self):
        """What was started before it and goes on while it is open."""

        async def outside():
            await asyncio.sleep(2)
            self.events.append("outside")
            self.storage.kv.put("outside", 1)

        async def inside(txn):
            await txn.put("k", 1)
            await asyncio.sleep(5)
            self.events.append("inside")
            txn.rollback()

        self.ctx.wait_until(outside())
        await self.storage.transaction(inside)
        self.events.append("after")

    async def transaction_that_counts(self, seconds):
        async def inside(txn):
            await txn.put("n", 1)
            await asyncio.sleep(seconds)
            await txn.put("n", 2)

        await self.storage.transaction(inside)
        return "done"

    # Critical sections

    async def nested_sections(self, depth):
        async def inside():
            if depth > 1:
                return await self.nested_sections(depth - 1)
            return "at the bottom"

        return await self.ctx.block_concurrency_while(inside)

    async def too_deep(self, depth):
        async def inside():
            if depth > 1:
                return await self.too_deep(depth - 1)
            try:
                await self.ctx.block_concurrency_while(inside)
            except Exception as error:
                return str(error)

        return await self.ctx.block_concurrency_while(inside)

    async def two_sections(self):
        async def one(label):
            async def inside():
                self.events.append(f"begin {label}")
                await asyncio.sleep(1)
                self.events.append(f"end {label}")

            await self.ctx.block_concurrency_while(inside)
            self.events.append(f"after {label}")

        await asyncio.gather(one("a"), one("b"))
        return self.events

    async def two_nested_sections(self):
        async def one(label):
            async def inside():
                self.events.append(f"begin {label}")
                await asyncio.sleep(1)
                self.events.append(f"end {label}")

            await self.ctx.block_concurrency_while(inside)

        async def around():
            self.events.append("begin outer")
            await asyncio.gather(one("a"), one("b"))
            self.events.append("end outer")

        await self.ctx.block_concurrency_while(around)
        return self.events

    async def nap(self, seconds):
        await asyncio.sleep(seconds)
        self.events.append("napped")
        return self.events

    async def section(self, seconds):
        async def inside():
            self.events.append("begin section")
            await asyncio.sleep(seconds)
            self.events.append("end section")

        await self.ctx.block_concurrency_while(inside)
        self.events.append("after section")
        return self.events

    async def failing_inner_section(self):
        async def inner():
            raise ValueError("the inner section failed")

        async def outer():
            try:
                await self.ctx.block_concurrency_while(inner)
            except ValueError:
                self.storage.kv.put("survived", 1)

        await self.ctx.block_concurrency_while(outer)

    # Facets

    async def put_in_facet(self, name, key, value):
        await self.facet(name).put(key, value)

    async def read_in_facet(self, name, key):
        return await self.facet(name).read(key)

    def facet(self, name):
        return self.ctx.facets.get(name, lambda: FacetOptions(cls=self.ctx.exports.Subject))

    def facet_names(self):
        return self.ctx.facets.list()

    async def transaction_over_a_facet_call(self, name):
        async def inside(txn):
            await txn.put("k", 1)
            answer = await self.facet(name).count()
            await txn.put("answer", answer)

        await self.storage.transaction(inside)
        return await self.storage.get("answer")

    async def section_that_starts_a_facet(self, name):
        return await self.ctx.block_concurrency_while(lambda: self.facet(name).count())
