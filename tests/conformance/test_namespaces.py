"""Ids, stubs and exports, with every flavour as caller and as callee (spec 1.1 to 1.4; cases 1 to 4, 6, 15 to 18)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conformance.flavours import Subject, Supervised, code_of, failure, is_reset, type_name

from perdure import DurableObject, NamespaceOptions, Worker
from perdure.errors import ObjectIdError

pytestmark = pytest.mark.subject("exports")

VECTORS = {
    "name": "3652ef6221834806dc8df802d1d216e27b7d07e0a6b7adf6cfdaeec90f06459a",
    "http://foo/": "59002eb8cf872e541722977a258a12d6a93bbe8192b502e1c0cb250aa91af234",
    "http://foo/bar": "02b496f65dd35cbac90e3e72dc5a398ee93926ea4a3821e26677082d2e6f9b79",
}
TYPE_ERRORS = {"TypeError", "ObjectIdError"}


# ── ids ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_01_ids_from_names_are_the_reference_systems(subject: Subject) -> None:
    vectors = subject.apart("Vectors", NamespaceOptions(key="mykey"))

    assert await vectors.call("ids", list(VECTORS)) == list(VECTORS.values())
    assert (await vectors.call("identity"))["id"] == str((await vectors.namespace()).id_from_name("it"))


async def test_case_02_an_id_survives_being_printed(subject: Subject) -> None:
    (text,) = await subject.call("ids", ["a"])

    assert await subject.call("parsed", text) == {"text": text, "name": None, "equal": True}
    assert await subject.call("same", "a") == ["a", None, True, False]
    unique = (await subject.call("unique", {}))["text"]
    assert await subject.call("parsed", unique) == {"text": unique, "name": None, "equal": True}
    assert (await subject.call("parsed", text.upper()))["text"] == text


@pytest.mark.parametrize("change", ["shorter", "longer", "no hex", "empty"])
async def test_case_03_what_is_no_id_is_refused(subject: Subject, change: str) -> None:
    (text,) = await subject.call("ids", ["a"])
    malformed = {"shorter": text[:-1], "longer": text + "0", "no hex": "z" + text[1:], "empty": ""}[change]

    error = await failure(subject.call("parsed", malformed))

    assert "Invalid Durable Object ID" in str(error)
    assert "64 hex digits" in str(error)
    assert type_name(error) in TYPE_ERRORS
    with pytest.raises(ObjectIdError, match="64 hex digits"):
        (await subject.namespace()).id_from_string(malformed)


async def test_case_03_an_id_of_another_namespace_is_refused(subject: Subject) -> None:
    other = subject.apart("Elsewhere", NamespaceOptions())
    (text,) = await other.call("ids", ["a"])
    forged = text[:-1] + ("0" if text[-1] != "0" else "1")

    for foreign in (text, forged):
        for method in ("parsed", "askById"):
            error = await failure(subject.call(method, foreign, *(["count"] if method == "askById" else [])))
            assert "is not valid for this namespace" in str(error)
            assert type_name(error) in TYPE_ERRORS
    assert await other.call("askById", text, "count") == 0


async def test_case_04_an_object_knows_its_name_unless_it_is_long(subject: Subject) -> None:
    async def seen(name: str) -> list[Any]:
        who = await subject.call("ask", name, "identity")
        assert [who["id"]] == await subject.call("ids", [name])
        return [who["name"], await subject.call("ask", name, "count"), await subject.call("ask", name, "count")]

    assert await seen("a" * 1024) == ["a" * 1024, 0, 1]
    assert await seen("a" * 1025) == [None, 0, 1]
    assert await seen("ü" * 512) == ["ü" * 512, 0, 1]
    assert await seen("ü" * 513) == [None, 0, 1]
    assert await seen("\0😀") == ["\0😀", 0, 1]


async def test_a_name_reaches_an_object_that_was_first_called_by_its_id(subject: Subject) -> None:
    (text,) = await subject.call("ids", ["a"])

    assert (await subject.call("askById", text, "identity"))["name"] is None
    await subject.call("askById", text, "put", "n", 1)
    assert await subject.call("ask", "a", "read", "n") == 1
    assert await subject.call("fetchOf", "b", "http://x/y") == "b http://x/y"


async def test_case_e1_unique_ids_are_unique_and_have_no_name(subject: Subject) -> None:
    first, second = [await subject.call("unique", {}) for _ in range(2)]

    assert first["text"] != second["text"]
    assert first["name"] is None
    assert await subject.call("askById", first["text"], "identity") == {
        "id": first["text"],
        "name": None,
        "jurisdiction": None,
    }
    assert await subject.call("askById", first["text"], "count") == 0
    assert await subject.call("askById", second["text"], "count") == 0
    assert await subject.call("askById", first["text"], "count") == 1


async def test_case_e2_every_way_leads_to_the_same_instance(subject: Subject) -> None:
    assert await subject.call("askByEveryWay", "a") == [0, 1, 2, 3]
    assert await subject.other("a").call("count") == 4
    error = await failure(subject.call("withRoutingMode", "nearest"))
    assert "unknown routingMode" in str(error)


async def test_case_e3_a_stub_has_an_id_and_a_name_and_what_it_is_given(subject: Subject) -> None:
    (text,) = await subject.call("ids", ["a"])

    assert await subject.call("stubProperties", "a") == [["id", "name"], text, "a", "local", ["id", "mine", "name"]]


async def test_case_e4_jurisdictions(subject: Subject) -> None:
    (plain,) = await subject.call("ids", ["a"])
    european = await subject.call("idWithin", "eu", "a")

    assert await subject.call("idWithin", None, "a") == plain
    assert (await subject.call("unique", {"jurisdiction": None}))["jurisdiction"] is None
    assert european != plain
    assert (await subject.call("unique", {"jurisdiction": "us"}))["jurisdiction"] == "us"
    assert await subject.call("parsedWithin", "eu", european) == "eu"
    assert await subject.call("parsedWithin", None, european) == "eu"
    assert (await subject.call("askWithin", "eu", european))["jurisdiction"] == "eu"
    for method in ("parsedWithin", "askWithin"):
        error = await failure(subject.call(method, "us", european))
        assert "jurisdictional subnamespace" in str(error)
        assert "different jurisdiction" in str(error)
        assert type_name(error) in TYPE_ERRORS
    for refused in (subject.call("idWithin", "moon", "a"), subject.call("unique", {"jurisdiction": "moon"})):
        assert "there is no jurisdiction `moon`" in str(await failure(refused))


# ── stubs ───────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_06_a_callers_stub_stays_broken_and_a_new_one_is_fresh(subject: Subject) -> None:
    await subject.call("keep", "old", "a")
    await subject.call("keep", "unused", "a")
    assert await subject.call("use", "old", "count") == 0

    first = await subject.call("failureOf", "old", "stop", "test abort reason")
    second = await subject.call("failureOf", "old", "count")

    assert first["message"] == second["message"] == "test abort reason"
    assert [first["reset"], second["reset"]] == [True, True]
    assert await subject.call("use", "unused", "count") == 0
    assert await subject.call("ask", "a", "count") == 1
    assert (await subject.call("failureOf", "old", "count"))["message"] == "test abort reason"


async def test_case_07_the_caller_is_told_of_the_abort(subject: Subject) -> None:
    await subject.call("ask", "a", "put", "n", 1)
    await subject.call("keep", "it", "a")

    failed = await subject.call("failureOf", "it", "stop", "test broken")

    assert failed["message"] == "test broken"
    assert failed["reset"] is True
    assert await subject.call("ask", "a", "read", "n") == 1
    assert await subject.call("count") == 0


async def test_case_09_an_error_reaches_its_caller_whole(subject: Subject) -> None:
    await subject.call("keep", "it", "a")
    await subject.call("use", "it", "count")

    failed = await subject.call("failureOf", "it", "fail", {"tag": {"deep": [1, "two"]}})

    assert failed == {
        "message": "it failed",
        "type": "ValueError",
        "reset": False,
        "remote": True,
        "retryable": False,
        "tag": {"deep": [1, "two"]},
    }
    assert await subject.call("use", "it", "count") == 1
    outside: Any = await failure(subject.call("fail", {"tag": 5}))
    assert (str(outside), type_name(outside), outside.remote, is_reset(outside)) == (
        "it failed",
        "ValueError",
        True,
        False,
    )
    assert (outside.tag if subject.flavour == "trusted" else outside.properties["tag"]) == 5


async def test_calls_of_one_stub_arrive_in_their_order(subject: Subject) -> None:
    assert await subject.call("allAtOnce", "a", 20) == list(range(20))


async def test_case_30_no_call_to_another_object_leaves_before_what_was_written(subject: Subject) -> None:
    await subject.call("ask", "a", "count")

    with subject.world.journal_held():
        asking = subject.begin("writeAndAsk", "a")
        await subject.world.advance(5)
        assert not asking.done()
        assert await subject.other("a").call("count") == 1

    assert await asking == 2


@pytest.mark.parametrize("what", ["namespace", "entry"])
async def test_what_is_not_a_value_cannot_be_stored(subject: Subject, what: str) -> None:
    error = await failure(subject.call("storeStub", what))

    assert "serializ" in str(error) or "cannot be stored" in str(error)


# ── exports ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_case_15_exports_and_namespace_reach_the_same_instance(subject: Subject) -> None:
    other = subject.other("other")

    assert [await subject.call("count"), await other.call("ask", "it", "count"), await subject.call("count")] == [
        0,
        1,
        2,
    ]
    assert await subject.call("ask", "it", "count") == 3


async def test_case_16_entry_points_bare_and_with_props(subject: Subject) -> None:
    assert await subject.call("entry", None, "show") == {}
    assert await subject.call("entry", {}, "show") == {}
    assert await subject.call("entry", {"props": {"a": [1]}}, "show") == {"a": [1]}
    assert await subject.call("fetchEntry", "http://x/y") == "GET http://x/y 1"
    assert "does not implement" in str(await failure(subject.call("entry", None, "nothing")))
    assert await subject.call("kinds") == [True, False]
    assert "Missing" in str(await failure(subject.call("missing")))


async def test_case_16_a_class_without_a_namespace_runs_as_a_facet(subject: Subject) -> None:
    assert await subject.call("inFacet", {"b": 2}, "show") == {"b": 2}


async def test_case_17_exports_work_everywhere(subject: Subject) -> None:
    assert await subject.call("entry", {"props": {"a": 1}}, "twice", {"b": 2}) == [{"a": 1}, {"b": 2}]
    assert await subject.call("inFacet", None, "entry", {"c": 3}) == {"c": 3}
    assert await subject.call("inFacet", None, "ask", "it", "count") == 0
    assert await subject.call("entry", None, "ask", "it", "count") == 1


async def test_case_17_exports_of_a_dynamic_worker(supervised: Supervised) -> None:
    assert await supervised.call("entry", None, "show") == {}
    assert await supervised.call("entry", {"props": {"a": 1}}, "twice", {"b": 2}) == [{"a": 1}, {"b": 2}]
    assert await supervised.call("inFacet", {"c": 3}, "show") == {"c": 3}
    assert await supervised.call("kinds") == [False, False]


async def test_a_worker_reaches_nobody_elses_namespace(guest: Subject) -> None:
    source = {
        "python": "from perdure import DurableObject\nclass Spy(DurableObject):\n"
        "    async def spy(self, text): return await self.ctx.exports.Spy.get("
        "self.ctx.exports.Spy.id_from_string(text)).count()\n    def count(self): return 0\n",
        "javascript": 'import { DurableObject } from "cloudflare:workers";\nexport class Spy extends DurableObject {\n'
        "  async spy(text) {\n    const { Spy } = this.ctx.exports;\n"
        "    return await Spy.get(Spy.idFromString(text)).count();\n  }\n"
        "  count() { return 0; }\n}",
    }[guest.flavour]
    guest.world.add_worker(Worker("spy", code_of(guest.flavour, source), classes=["Spy"]))
    (text,) = await guest.call("ids", ["it"])

    error = await failure(guest.world.get("spy-Spy", "s").spy(text))

    assert "is not valid for this namespace" in str(error)


PLAIN = {
    "python": "from perdure import Response\nclass Plain:\n"
    "    def __init__(self, ctx, env): self.ctx = ctx\n"
    "    def fetch(self, request): return Response(f'hi {self.ctx.id.name}')\n    def count(self): return 1\n",
    "javascript": "export class Plain {\n  constructor(ctx) { this.ctx = ctx; }\n"
    "  fetch() { return new Response(`hi ${this.ctx.id.name}`); }\n  count() { return 1; }\n}",
}


async def test_case_18_a_class_without_the_base_answers_http_only(subject: Subject) -> None:
    if subject.flavour == "trusted":
        namespace: dict[str, Any] = {}
        exec(PLAIN["python"], namespace)  # the same source as the guest's
        kind: Any = namespace["Plain"]
        subject.world.add(kind)
    else:
        kind = "plain-Plain"
        subject.world.add_worker(Worker("plain", code_of(subject.flavour, PLAIN[subject.flavour]), classes=["Plain"]))
    plain = subject.world.get(kind, "p")

    assert await (await plain.fetch("http://x/")).text() == "hi p"
    error = await failure(plain.count())
    assert "does not support RPC" in str(error)
    assert "extends DurableObject" in str(error)
    assert await (await plain.fetch("http://x/")).text() == "hi p"


async def test_a_class_that_its_worker_does_not_export_is_named(guest: Subject) -> None:
    guest.world.add_worker(Worker("plain", code_of(guest.flavour, PLAIN[guest.flavour]), classes=["Missing"]))

    error = await failure(guest.world.get("plain-Missing", "m").count())

    assert "no such Durable Object class: `Missing`" in str(error)


async def test_a_facet_of_a_plain_class_answers_http_only(guest: Subject) -> None:
    class Parent(DurableObject):
        async def ask(self, how: str) -> object:
            worker = self.env.LOADER.get("plain", lambda: code_of(guest.flavour, PLAIN[guest.flavour]))
            facet = self.ctx.facets.get("f", lambda: worker.get_durable_object_class("Plain"))
            return await (await facet.fetch("http://x/")).text() if how == "fetch" else await facet.count()

    parent = guest.world.get(Parent, "p")

    assert await parent.ask("fetch") == "hi f"
    assert "extends DurableObject" in str(await failure(parent.ask("call")))
    assert await parent.ask("fetch") == "hi f"
