"""An object that does what it is told, operation by operation: runs as trusted code and, word for word, as a guest."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN002, ANN201, ANN202, ANN204
# It is what people write, and what models write for them.

import asyncio
import inspect
from contextlib import suppress
from datetime import timedelta

from perdure import DurableObject, FacetOptions


class UndoError(Exception):
    pass


class Interpreter(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.turns = 0
        ctx.storage.sql.exec("create table if not exists item(n integer primary key, text)")

    async def run(self, path, operations):
        """Pass it on to the facet at `path`, or do it here: one turn, unless an operation has to wait."""
        if path:
            return await self.facet(path[0]).run(path[1:], operations)
        self.turns += 1
        turns, results = self.turns, []
        for operation in operations:
            result = self.do(*operation)
            results.append(await result if inspect.isawaitable(result) else result)
        return [turns, results]

    def start_facet(self, name):
        return FacetOptions(cls=self.ctx.exports.Interpreter)

    def facet(self, name):
        return self.ctx.facets.get(name)

    def alarm(self):
        self.ctx.storage.kv.put("rang", self.ctx.storage.kv.get("rang", 0) + 1)

    def do(self, verb, *arguments):
        return getattr(self, "do_" + verb)(*arguments)

    def do_put(self, key, value):
        self.ctx.storage.kv.put(key, value)

    def do_get(self, key):
        return self.ctx.storage.kv.get(key)

    def do_delete(self, key):
        return self.ctx.storage.kv.delete(key)

    def do_batch(self, entries, unwanted):
        self.ctx.storage.put(dict(entries))
        self.ctx.storage.delete(unwanted)

    def do_entries(self):
        return [[key, value] for key, value in self.ctx.storage.kv.list()]

    def do_insert(self, number, text):
        self.ctx.storage.sql.exec("insert or replace into item values (?, ?)", number, text)

    def do_remove(self, number):
        self.ctx.storage.sql.exec("delete from item where n = ?", number)

    def do_rows(self):
        return [list(row) for row in self.ctx.storage.sql.exec("select n, text from item order by n").raw()]

    def do_alarm(self, seconds):
        self.ctx.storage.set_alarm(timedelta(seconds=seconds))

    def do_no_alarm(self):
        self.ctx.storage.delete_alarm()

    def do_transaction(self, operations, fails):
        results = []

        def work():
            results.extend([self.do(*operation) for operation in operations])
            if fails:
                raise UndoError

        with suppress(UndoError):
            self.ctx.storage.transaction_sync(work)
        return results

    async def do_open(self, operations, fails, nap_s):
        results = []
        with suppress(UndoError):
            async with self.ctx.storage.transaction():
                for operation in operations:
                    results.append(self.do(*operation))
                    await asyncio.sleep(0)
                await asyncio.sleep(nap_s)
                if fails:
                    raise UndoError
        return results

    def do_forget(self):
        self.ctx.storage.delete_all()
        self.ctx.storage.sql.exec("create table if not exists item(n integer primary key, text)")

    def do_facets(self):
        return self.ctx.facets.list()

    def do_delete_facet(self, name):
        self.ctx.facets.delete(name)

    def do_abort_facet(self, name):
        self.ctx.facets.abort(name, "aborted as asked")

    async def do_clone(self, source, target):
        await self.ctx.facets.clone(source, target)

    def do_fail(self):
        raise ValueError("failed as asked")

    def do_abort(self):
        self.ctx.abort("aborted as asked")
