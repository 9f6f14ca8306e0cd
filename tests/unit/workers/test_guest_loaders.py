"""What a guest may ask of the loaders in its env, and what it is told when it forges something."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.unit.workers.fakes import OneSession

from perdure.api import DurableObjectClass, LoadWorker, NamespaceCalls, Target
from perdure.errors import OverloadedError, PerdureError, UsageError, WorkerCodeError
from perdure.limits import GUEST_LOADED_CODE_BYTES_MAX, GUEST_STUBS_MAX
from perdure.testing import run_sim
from perdure.wire import from_expression
from perdure.workers import Binding, BoundLoader, GuestLoaders, LoaderScope, Operation

GET = {"n": 1, "b": "LOADER", "id": "app", "cb": 7}


class Worker:
    """A loaded worker that asks for its code whenever it is told to."""

    def __init__(self, load: LoadWorker) -> None:
        self.load = load
        self.checked: list[Sequence[str]] = []

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target:
        raise NotImplementedError

    def durable_object_class(self, name: str, props: object, limits: object = None) -> DurableObjectClass:
        return DurableObjectClass((self, name), props=props)

    async def check(self, classes: Sequence[str]) -> None:
        self.checked.append(classes)
        code = self.load()
        if inspect.isawaitable(code):
            await code

    async def evaluate(self, source: str, names: Mapping[str, object]) -> object:
        return [source, dict(names)]


class Loader:
    def __init__(self) -> None:
        self.asked: list[tuple[str | None, LoaderScope | None]] = []
        self.workers: list[Worker] = []

    def get(self, worker_id: str | None, load: LoadWorker, *, scope: LoaderScope | None = None) -> Worker:
        self.asked.append((worker_id, scope))
        self.workers.append(Worker(load))
        return self.workers[-1]


class Owner:
    """A worker whose env has one loader."""

    def __init__(self, loader: Loader) -> None:
        self.namespaces: dict[str, NamespaceCalls] = {}
        self.bindings: dict[str, Binding] = {"LOADER": BoundLoader(loader)}

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target:
        raise NotImplementedError


class Stage:
    def __init__(self) -> None:
        self.loader = Loader()
        self.events: list[Mapping[str, object]] = []
        self.answer: object = {"mainModule": "a.js", "modules": {"a.js": ""}}
        self.loaders = GuestLoaders(
            Owner(self.loader), scope=LoaderScope("it", "log"), ask=self.ask, read=from_expression
        )

    async def ask(self, event: Mapping[str, object]) -> object:
        self.events.append(event)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def perform(self, kind: str, **payload: object) -> Any:
        async def scenario() -> object:
            return await self.loaders.perform(Operation(3, kind, payload), OneSession())

        return run_sim(scenario)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_code_is_asked_for_in_the_guest_by_the_operation_that_wants_it(stage: Stage) -> None:
    stage.perform("loader.check", w=GET, c=["App"])

    assert stage.loader.asked == [("app", LoaderScope("it/LOADER", "log"))]
    assert stage.events == [{"k": "load", "cb": 7, "o": 3}]


def test_a_number_stays_what_it_first_was_until_it_is_released(stage: Stage) -> None:
    stage.perform("loader.check", w=GET, c=["App"])
    stage.perform("loader.check", w={**GET, "id": "other"}, c=["App"])
    assert len(stage.loader.asked) == 1

    assert stage.loaders.release([1, 2]) == [2]
    stage.perform("loader.check", w={**GET, "id": "other"}, c=["App"])

    assert [worker_id for worker_id, _ in stage.loader.asked] == ["app", "other"]


def test_a_callback_that_fails_is_heard_by_whoever_uses_the_worker(stage: Stage) -> None:
    stage.answer = WorkerCodeError("no code")

    with pytest.raises(WorkerCodeError, match="no code"):
        stage.perform("loader.check", w=GET, c=[])


def test_code_that_is_given_is_loaded_without_an_id(stage: Stage) -> None:
    assert stage.loaders.give_code("5", json.dumps({"mainModule": "a.js", "modules": {"a.js": "1"}})) == ""

    stage.perform("loader.check", w={"n": 5, "b": "LOADER"}, c=[])

    assert stage.loader.asked[0][0] is None
    assert stage.loaders.release([5]) == []


def test_what_a_snippet_gives_is_sent(stage: Stage) -> None:
    assert stage.perform("loader.evaluate", w=GET, s="1", v={"a": 2}) == [["1", {"a": 2}]]


def test_a_class_of_a_loaded_worker_is_a_handle(stage: Stage) -> None:
    handle = stage.loaders.object_class(GET, "App", {"a": 1}, operation_id=3)

    assert handle.props == {"a": 1}
    assert handle.definition == (stage.loader.workers[0], "App")


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("loader.check", {"c": []}),
        ("loader.check", {"c": [], "w": 1}),
        ("loader.check", {"c": [], "w": {**GET, "n": "1"}}),
        ("loader.check", {"c": [], "w": {**GET, "n": True}}),
        ("loader.check", {"c": [], "w": {**GET, "b": "NOPE"}}),
        ("loader.check", {"c": [], "w": {**GET, "b": None}}),
        ("loader.check", {"c": [], "w": {**GET, "id": 1}}),
        ("loader.check", {"c": [], "w": {**GET, "id": "x" * 2_000}}),
        ("loader.check", {"c": [], "w": {**GET, "cb": None}}),
        ("loader.check", {"w": GET, "c": "App"}),
        ("loader.check", {"w": GET, "c": [1]}),
        ("loader.check", {"w": GET, "c": ["x"] * 1_000}),
        ("loader.evaluate", {"w": GET, "s": None, "v": {}}),
        ("loader.evaluate", {"w": GET, "s": "", "v": 1}),
        ("worker.call", {"w": GET, "e": 1, "p": {}, "m": "x", "a": []}),
        ("loader.other", {"w": GET}),
    ],
)
def test_what_a_guest_forges_is_refused(stage: Stage, kind: str, payload: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        stage.perform(kind, **payload)


@pytest.mark.parametrize("number", ["", "-1", "a", "1" * 16, "1.5"])
def test_code_needs_a_number(stage: Stage, number: str) -> None:
    with pytest.raises(UsageError):
        stage.loaders.give_code(number, "{}")


@pytest.mark.parametrize("payload", ["1", "{}", '{"mainModule":"a.js","modules":{"a.js":1}}'])
def test_code_is_checked_when_it_is_given(stage: Stage, payload: str) -> None:
    with pytest.raises(WorkerCodeError):
        stage.loaders.give_code("1", payload)


def test_the_code_that_one_guest_holds_has_a_bound(stage: Stage) -> None:
    third = json.dumps({"mainModule": "a.js", "modules": {"a.js": "x" * (GUEST_LOADED_CODE_BYTES_MAX // 3)}})
    for number in ("1", "2"):
        stage.loaders.give_code(number, third)

    with pytest.raises(OverloadedError, match="keep no stubs"):
        stage.loaders.give_code("3", third)

    stage.loaders.release([1])
    stage.loaders.give_code("3", third)


def test_the_workers_that_one_guest_holds_have_a_bound(stage: Stage) -> None:
    for number in range(GUEST_STUBS_MAX):
        stage.loaders.object_class({**GET, "n": number}, "App", {}, operation_id=0)

    with pytest.raises(OverloadedError):
        stage.loaders.object_class({**GET, "n": GUEST_STUBS_MAX}, "App", {}, operation_id=0)

    stage.loaders.clear()
    stage.loaders.object_class({**GET, "n": GUEST_STUBS_MAX}, "App", {}, operation_id=0)


def test_errors_are_of_ours(stage: Stage) -> None:
    with pytest.raises(PerdureError):
        stage.loaders.give_code("1", "not json")
