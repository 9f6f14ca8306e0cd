"""Ids, stubs and the life of an object (spec 1.1 to 1.10; cases 1 to 18)."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from tests.conformance.flavours import Subject, Supervisor, TrustedSubject, failure, is_reset, type_name

from perdure import DurableObject
from perdure.errors import ObjectIdError
from perdure.testing import World

# ── ids and names: of the platform's own objects only ────────────────────────────────────────────────────────


async def test_case_01_ids_from_names_are_the_reference_systems(world: World) -> None:
    namespace = await world.namespace(type("mykey", (DurableObject,), {}))

    ids = [str(namespace.id_from_name(name)) for name in ("name", "http://foo/", "http://foo/bar")]

    assert ids == [
        "3652ef6221834806dc8df802d1d216e27b7d07e0a6b7adf6cfdaeec90f06459a",
        "59002eb8cf872e541722977a258a12d6a93bbe8192b502e1c0cb250aa91af234",
        "02b496f65dd35cbac90e3e72dc5a398ee93926ea4a3821e26677082d2e6f9b79",
    ]


async def test_case_02_an_id_survives_being_printed(world: World) -> None:
    namespace = await world.namespace(TrustedSubject)
    named, unique = namespace.id_from_name("a"), namespace.new_unique_id()

    again = namespace.id_from_string(str(named))

    assert again == named
    assert str(again) == str(named)
    assert again.name is None
    assert namespace.id_from_string(str(unique)) == unique
    assert unique != namespace.new_unique_id()


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: text + "0", lambda text: "z" + text[1:]])
async def test_case_03_what_is_no_id_is_refused(world: World, change: object) -> None:
    namespace = await world.namespace(TrustedSubject)
    assert callable(change)

    with pytest.raises(ObjectIdError, match="64 hex digits"):
        namespace.id_from_string(change(str(namespace.id_from_name("a"))))


async def test_case_03_an_id_of_another_namespace_is_refused(world: World) -> None:
    namespace, other = await world.namespace(TrustedSubject), await world.namespace(Supervisor)

    with pytest.raises(ObjectIdError, match="not valid for this namespace"):
        namespace.id_from_string(str(other.id_from_name("a")))


async def test_case_04_an_object_knows_its_name_unless_it_is_long(world: World) -> None:
    namespace = await world.namespace(TrustedSubject)

    async def names(name: str) -> list[object]:
        stub = namespace.get_by_name(name)
        return [(await stub.identity())["name"], await stub.count(), await namespace.get_by_name(name).count()]

    assert await names("a" * 1024) == ["a" * 1024, 0, 1]
    assert await names("a" * 1025) == [None, 0, 1]
    assert (await namespace.get(namespace.new_unique_id()).identity())["name"] is None


async def test_case_15_exports_and_namespace_reach_the_same_instance(world: World) -> None:
    class Twin(DurableObject):
        async def count_other(self) -> object:
            return await self.ctx.exports.Subject.get_by_name("it").count()

    world.add(Twin)
    own = (await world.namespace(TrustedSubject)).get_by_name("it")

    assert [await own.count(), await world.get(Twin, "a").countOther(), await own.count()] == [0, 1, 2]


# ── in every flavour ─────────────────────────────────────────────────────────────────────────────────────────


async def test_case_05_racing_first_calls_meet_one_instance(subject: Subject) -> None:
    results = await asyncio.gather(*[subject.call("count") for _ in range(3)])

    assert results == [0, 1, 2]
    assert await subject.call("constructed") == 1


async def test_case_06_a_broken_object_stays_broken_for_its_stub(subject: Subject) -> None:
    await subject.call("count")

    first = await failure(subject.call("stop", "test abort reason"))
    second = await failure(subject.call("count"))

    assert str(first) == str(second) == "test abort reason"
    assert [is_reset(first), is_reset(second)] == [True, True]
    subject.renew()
    assert await subject.call("count") == 0


async def test_case_07_abort_drops_what_the_turn_wrote(subject: Subject) -> None:
    await subject.call("put", "n", 1)

    error = await failure(subject.call("stop", "test broken"))

    subject.renew()
    assert str(error) == "test broken"
    assert await subject.call("read", "n") == 1


async def test_case_08_nothing_runs_after_an_abort(subject: Subject) -> None:
    await failure(subject.call("stopWithWorkQueued"))
    await subject.world.advance("1m")

    subject.renew()
    assert await subject.call("read", "late") is None


async def test_case_08_calls_under_way_fail_with_the_reason(subject: Subject) -> None:
    await subject.call("count")
    napping = subject.begin("nap", 100)
    await subject.world.settle()

    await failure(subject.call("stop", "enough"))

    assert str(await failure(napping)) == "enough"


async def test_case_09_a_failing_handler_resets_nothing(subject: Subject) -> None:
    await subject.call("count")

    error = await failure(subject.call("boom"))

    assert (type_name(error), str(error)) == ("ValueError", "boom")
    assert not is_reset(error)
    assert await subject.call("count") == 1
    assert await subject.call("read", "before boom") == 1


async def test_case_10_ten_idle_seconds_evict(subject: Subject) -> None:
    await subject.call("put", "n", 5)
    await subject.call("count")

    await subject.world.advance(9)
    assert await subject.call("count") == 1
    await subject.world.advance(12)

    assert await subject.call("count") == 0
    assert await subject.call("read", "n") == 5
    assert await subject.call("constructed") == 2


async def test_case_12_work_in_the_background_keeps_an_object_awake(subject: Subject) -> None:
    await subject.call("count")
    await subject.call("pin", 15)

    await subject.world.advance(14)
    assert await subject.call("count") == 1
    await subject.call("pin", 15)
    await subject.world.advance(15)
    await subject.world.advance(12)

    assert await subject.call("count") == 0


async def test_failing_background_work_is_logged_and_harmless(
    subject: Subject, caplog: pytest.LogCaptureFixture
) -> None:
    await subject.call("failInBackground")

    await subject.world.advance(2)

    assert await subject.call("count") == 0
    assert await subject.call("constructed") == 1
    assert "nobody waits for this" in caplog.text


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_14_data_survives_the_process(subject: Subject, how: str) -> None:
    await subject.call("put", "n", [1, {"a": "b"}])
    await subject.call("count")

    await getattr(subject, how)()

    assert await subject.call("read", "n") == [1, {"a": "b"}]
    assert await subject.call("count") == 0


async def test_case_14_a_stopped_platform_leaves_plain_sqlite_files(subject: Subject) -> None:
    await subject.call("sql", "CREATE TABLE t AS SELECT 7 AS n")

    await subject.world.platform.stop()

    files = sorted(path for path in subject.world.data.rglob("objects/**/*") if path.is_file())
    assert len(files) == 1
    assert {path.suffix for path in files} == {".sqlite"}
    with sqlite3.connect(files[0]) as database:
        assert database.execute("SELECT n FROM t").fetchall() == [(7,)]
    database.close()


async def test_case_18_a_class_without_the_base_answers_http_only(guest: Subject) -> None:
    plain = {
        "python": "from perdure import Response\nclass Plain:\n"
        "    def __init__(self, ctx, env): pass\n    def fetch(self, request): return Response('hi')\n"
        "    def count(self): return 1\n",
        "javascript": "export class Plain { fetch() { return new Response('hi'); } count() { return 1; } }",
    }[guest.flavour]

    class Parent(DurableObject):
        async def ask(self, how: str) -> object:
            from tests.conformance.flavours import code_of

            worker = self.env.LOADER.get("plain", lambda: code_of(guest.flavour, plain))
            facet = self.ctx.facets.get("f", lambda: worker.get_durable_object_class("Plain"))
            return await (await facet.fetch("http://x/")).text() if how == "fetch" else await facet.count()

    parent = guest.world.get(Parent, "p")

    assert await parent.ask("fetch") == "hi"
    error = await failure(parent.ask("call"))
    assert "extends DurableObject" in str(error)
    assert await parent.ask("fetch") == "hi"


async def test_a_failing_constructor_fails_its_callers_and_is_tried_again(subject: Subject) -> None:
    await subject.call("failFor", 60_000)
    await subject.evict()

    errors = await asyncio.gather(failure(subject.call("count")), failure(subject.call("count")))

    assert all("the constructor failed" in str(error) for error in errors)
    await subject.world.advance("61s")
    subject.renew()
    assert await subject.call("count") == 0
    assert await subject.call("constructed") == 2


async def test_time_is_the_worlds(subject: Subject) -> None:
    before = await subject.call("now")

    await subject.world.advance("1h")

    assert await subject.call("now") - before == 3_600_000


async def test_a_fetch_is_answered(subject: Subject) -> None:
    assert [(await subject.fetch("http://a.test/x?y=1")).body for _ in range(2)] == [
        b"GET http://a.test/x?y=1 1",
        b"GET http://a.test/x?y=1 2",
    ]
