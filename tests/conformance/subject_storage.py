"""What the cases of storage ask of an object: the asynchronous face, transactions, confirmation, the end of it all."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204, BLE001, PLW0108, SIM105

from perdure import DurableObject


class Subject(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.storage = ctx.storage
        self.memory = 0
        self.events = []
        self.cursor = None

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
        rows = cursor.raw()
        next(rows)
        self.storage.delete_all()
        list(rows)

    def delete_all_in_a_sync_transaction(self):
        self.storage.transaction_sync(lambda: self.storage.delete_all())
