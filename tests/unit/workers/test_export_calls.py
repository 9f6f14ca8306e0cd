"""What a guest may ask of its worker's exports, and what it is told when it forges something."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.workers.fakes import OneSession

from perdure.api import Copies, NamespaceCalls, ObjectId, Sent, Target
from perdure.errors import ObjectIdError, UsageError
from perdure.testing import run_sim
from perdure.web import Request, Response
from perdure.wire import from_expression
from perdure.workers import Binding, ExportCalls, Operation, Pins


class Echo:
    """A target that tells what reached it."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def fetch(self, request: Request) -> Response:
        return Response(f"{self.name} {request.url}")

    async def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> object:
        return [self.name, ".".join(path), *Sent.of(arguments).values()]

    async def get(self, path: Sequence[str]) -> object:
        return [self.name, *path]


class Ids:
    """`NamespaceCalls` whose ids are `id of <name>`."""

    def __init__(self) -> None:
        self.reached: list[ObjectId] = []

    def id_from_name(self, name: str, jurisdiction: str | None) -> ObjectId:
        return ObjectId(f"id of {name}", name=name, jurisdiction=jurisdiction)

    def id_from_text(self, text: str) -> ObjectId:
        if not text.startswith("id of "):
            raise ObjectIdError("not valid for this namespace")
        return ObjectId(text)

    def unique_id(self, jurisdiction: str | None) -> ObjectId:
        return ObjectId("id of nobody", jurisdiction=jurisdiction)

    def target(self, identity: ObjectId) -> Target:
        self.reached.append(identity)
        return Echo(identity.text)


class OneWorker:
    """A worker with one namespace, and entry points of any name."""

    def __init__(self) -> None:
        self.ids = Ids()
        self.namespaces: dict[str, NamespaceCalls] = {"App": self.ids}
        self.bindings: dict[str, Binding] = {}

    def entrypoint(self, name: str | None, props: object) -> Target:
        return Echo(f"{name} {props}")


def perform(calls: ExportCalls, kind: str, **payload: Any) -> Any:
    async def scenario() -> object:
        sent = Sent(values=[from_expression(tree) for tree in payload["a"]]) if "a" in payload else None
        return await calls.perform(Operation(1, kind, payload, sent), OneSession())

    return run_sim(scenario)


@pytest.fixture
def worker() -> OneWorker:
    return OneWorker()


@pytest.fixture
def calls(worker: OneWorker) -> ExportCalls:
    return ExportCalls(worker, Pins())


STUB = {"x": "App", "i": "id of a", "n": 1}


def test_a_stub_reaches_its_object(calls: ExportCalls, worker: OneWorker) -> None:
    assert perform(calls, "stub.call", **STUB, name="a", m="add", a=[1, [[2]]]) == [["id of a", "add", 1, [[2]]]]
    answer = perform(calls, "stub.fetch", **STUB, r={"m": "GET", "u": "http://x/y", "h": []})
    assert answer["b"] == "id of a http://x/y"
    assert [identity.name for identity in worker.ids.reached] == ["a"]


def test_a_number_means_what_it_reached_first(calls: ExportCalls, worker: OneWorker) -> None:
    perform(calls, "stub.call", **STUB, m="one", a=[])
    perform(calls, "stub.call", **{**STUB, "n": 2}, m="two", a=[])

    assert len(worker.ids.reached) == 2


def test_an_entry_point_gets_its_props(calls: ExportCalls) -> None:
    assert perform(calls, "export.call", x="Entry", p={"a": [[1]]}, m="show", a=[]) == [["Entry {'a': [1]}", "show"]]


@pytest.mark.parametrize(
    ("kind", "payload", "message"),
    [
        ("stub.call", {**STUB, "x": "Another", "m": "a", "a": []}, "no namespace `Another`; it has: `App`"),
        ("stub.call", {**STUB, "x": 5, "m": "a", "a": []}, "`x` of an operation is no text"),
        ("stub.call", {**STUB, "n": True, "m": "a", "a": []}, "a stub has no number"),
        ("stub.call", {**STUB, "n": "1", "m": "a", "a": []}, "a stub has no number"),
        ("stub.call", {**STUB, "i": "forged", "m": "a", "a": []}, "not valid for this namespace"),
        ("stub.call", {**STUB, "name": "b", "m": "a", "a": []}, "is not the id of the name that came with it"),
        ("stub.call", {**STUB, "m": None, "a": []}, "`m` of an operation is no text"),
        ("stub.call", {**STUB, "m": "a"}, "a list of arguments"),
        ("stub.call", {**STUB, "path": "ab", "a": []}, "a path is a list of names"),
        ("stub.call", {**STUB, "path": ["a", 1], "a": []}, "a path is a list of names"),
        ("stub.get", {**STUB, "path": ["a"] * 65}, "too deep"),
        ("export.call", {"p": {}, "m": "a", "a": []}, "`x` of an operation is no text"),
        ("export.steal", {"x": "Entry"}, "which no guest may"),
        ("anything", {}, "which no guest may"),
    ],
)
def test_what_is_forged_is_refused(calls: ExportCalls, kind: str, payload: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        perform(calls, kind, **payload)


def test_a_name_that_is_too_long_to_be_kept_is_not_looked_at(calls: ExportCalls, worker: OneWorker) -> None:
    perform(calls, "stub.call", **STUB, name="x" * 100_000, m="a", a=[])

    assert [identity.name for identity in worker.ids.reached] == [None]


@pytest.mark.parametrize(
    ("wanted", "answer"),
    [
        ({"n": "a", "j": None}, {"i": "id of a", "j": None}),
        ({"n": "a", "j": "eu"}, {"i": "id of a", "j": "eu"}),
        ({"t": "id of b"}, {"i": "id of b", "j": None}),
        ({"j": "us"}, {"i": "id of nobody", "j": "us"}),
        ({}, {"i": "id of nobody", "j": None}),
    ],
)
def test_ids_are_made_by_the_host(calls: ExportCalls, wanted: dict[str, object], answer: dict[str, object]) -> None:
    assert json.loads(calls.object_id("App", json.dumps(wanted))) == answer


@pytest.mark.parametrize(
    ("export", "payload"),
    [
        ("Another", "{}"),
        ("App", "[]"),
        ("App", "no json"),
        ("App", ""),
        ("App", '{"n": 5}'),
        ("App", '{"t": []}'),
        ("App", '{"t": "forged"}'),
        ("App", '{"n": "a", "j": "moon"}'),
        ("App", '{"n": "a", "j": [1]}'),
        ("App", json.dumps({str(number): 0 for number in range(100)})),
    ],
)
def test_malformed_wishes_for_ids_are_refused(calls: ExportCalls, export: str, payload: str) -> None:
    with pytest.raises(UsageError):
        calls.object_id(export, payload)
