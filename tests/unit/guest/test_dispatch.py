"""The guest's export, in this interpreter: what the sandbox runs, without the sandbox."""

from __future__ import annotations

import json
import linecache
import sys
from collections.abc import Callable, Iterator, Mapping

import pytest
from tests.unit.isolates.fake_host import Driver, FakeHost, error_of, only

from perdure.guest._dispatch import Guest
from perdure.limits import GUEST_PENDING_OPERATIONS_MAX
from perdure.wire import HostOp

Here = Callable[[Mapping[str, str | tuple[str, str]]], Driver]


@pytest.fixture
def here() -> Iterator[Here]:
    """Makes guests in this interpreter, and puts its import system back."""
    modules, finders = dict(sys.modules), list(sys.meta_path)

    def make(sources: Mapping[str, str | tuple[str, str]]) -> Driver:
        host = FakeHost(sources)
        guest = Guest(host.host_call)
        sys.meta_path.insert(0, guest._importer)
        return Driver(guest.call, host)

    yield make
    linecache.clearcache()
    sys.meta_path[:] = finders
    for name in set(sys.modules) - set(modules):
        del sys.modules[name]
    sys.modules.update(modules)


APP = """
from perdure.api import DurableObject
from perdure.web import Response
class App(DurableObject):
    def store(self):
        kv = self.ctx.storage.kv
        kv.put("a", {"b": [1, 2]})
        return [kv.get("a"), kv.get("missing", 7), kv.delete("a"), kv.delete("a")]
    def keys(self):
        return [key for key, value in self.ctx.storage.kv.list(prefix="k", limit=3)]
    def rows(self):
        cursor = self.ctx.storage.sql.exec("SELECT ?, ?, ?", b"x", float("inf"), True)
        return [list(cursor.raw()), cursor.rows_read, self.ctx.storage.sql.database_size]
    async def many(self):
        import asyncio
        facet = self.ctx.facets.get("f", lambda: App)
        await asyncio.gather(*(facet.go() for _ in range(2000)))
    def _private(self): pass
    async def guarded(self):
        async def work(): return 5
        return await self.ctx.block_concurrency_while(work)
    def names(self): return self.ctx.facets.list()
"""


def started(here: Here) -> Driver:
    guest = here({"worker.py": APP})
    assert guest.load()["ok"]["exports"] == {"App": "object"}
    guest.start()
    return guest


def test_kv_round_trip(here: Here) -> None:
    assert only(started(here).call("store")) == [[{"b": [[1, 2]]}, 7, True, False]]


def test_kv_list_asks_for_a_range(here: Here) -> None:
    guest = started(here)
    pages = ['[["k1",1],["k2",[[2]]]]', '[["k3",1]]', "[]"]
    guest.host.answers[HostOp.KV_LIST] = lambda key, payload: pages.pop(0)

    assert only(guest.call("keys"))[0][:2] == ["k1", "k2"]
    assert (HostOp.KV_LIST, "", '{"prefix":"k","limit":3}') in guest.host.calls


def test_sql_cells_cross_both_ways(here: Here) -> None:
    guest = started(here)
    guest.host.answers[HostOp.SQL_EXEC] = lambda key, payload: (
        '{"n":["a","b","c"],"r":[[["b","AAE="],["-inf"],1]],"c":5,"i":[3,0]}'
    )
    guest.host.answers[HostOp.SQL_NEXT] = lambda key, payload: (
        '{"r":[[null,["i","9007199254740993"],2.5]],"c":0,"i":[4,0]}'
    )
    guest.host.answers[HostOp.DATABASE_SIZE] = lambda key, payload: "4096"

    rows = only(guest.call("rows"))

    assert guest.host.calls[-3] == (HostOp.SQL_EXEC, "SELECT ?, ?, ?", '[["b","eA=="],["inf"],1]')
    first, second = [[["bytes", "AAE="], ["-inf"], 1]], [[None, ["bigint", "9007199254740993"], 2.5]]
    assert rows == [[[[first, second]], 4, 4096]]


def test_private_methods_cannot_be_called(here: Here) -> None:
    assert "does not implement" in str(error_of(started(here).call("_private"))["message"])


def test_operations_under_way_are_limited(here: Here) -> None:
    guest = started(here)

    report = guest.call("many")

    assert len(report["o"]) == GUEST_PENDING_OPERATIONS_MAX
    assert error_of(report)["type"] == "OverloadedError"


def test_critical_section_is_reported(here: Here) -> None:
    guest = started(here)

    assert guest.call("guarded") == {"s": [["want", 2]], "n": 1, "p": 1}
    assert guest.resume() == {"d": [[1, 1, 5]], "s": [["begin", 2], ["end", 2]]}


def test_facets_are_listed_by_the_host(here: Here) -> None:
    guest = started(here)
    guest.host.answers[HostOp.FACET_LIST] = lambda key, payload: '["a","b"]'

    assert only(guest.call("names")) == [["a", "b"]]


def test_unknown_settled_operation_is_ignored(here: Here) -> None:
    assert started(here).resume([99, 1, None]) == {}


def test_snippet_gives_the_value_of_its_last_expression(here: Here) -> None:
    guest = here({"worker.py": ""})
    guest.load()

    assert guest.evaluate("x = a + 1\nx * 2", a=3) == 8
    assert guest.evaluate("x = 1") is None
    assert guest.evaluate("") is None


def test_module_that_fails_to_import_can_be_imported_again(here: Here) -> None:
    guest = here(
        {"worker.py": "try:\n    import broken\nexcept ZeroDivisionError:\n    seen = 1\n", "broken.py": "1 / 0"}
    )

    assert "ok" in guest.load()
    assert "broken" not in sys.modules


def test_main_module_that_is_missing_is_said_so(here: Here) -> None:
    error = here({"other.py": ""}).load("worker.py")["error"]

    assert error["message"].startswith("the main module `worker.py` does not exist")


def test_facet_class_must_be_exported(here: Here) -> None:
    guest = here(
        {
            "worker.py": APP
            + "def make():\n    class Local(DurableObject): pass\n    return Local\n"
            + "class Other(DurableObject):\n"
            + "    async def go(self): await self.ctx.facets.get('f', lambda: make()).run()\n"
        }
    )
    guest.load()
    guest.start("Other")
    guest.call("go")

    assert "class `Local` is not in the main module" in str(error_of(guest.event("facet", cb=1))["message"])


def test_report_is_ascii(here: Here) -> None:
    guest = here({"worker.py": ""})
    guest.load()

    assert guest.evaluate("'\\ud800 ü'") == "\ud800 ü"
    assert json.dumps("ü").isascii()
