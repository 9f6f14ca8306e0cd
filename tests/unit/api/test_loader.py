"""`env.LOADER`: what it hands on to the host."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from perdure.api import Limits, Loader, LoadWorker, Target, WorkerCode
from perdure.errors import WorkerCodeError


class RecordingWorker:
    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def entrypoint(self, name: str | None, props: object, limits: object = None) -> Target:
        self.asked.append(("entrypoint", name, props))
        return None  # type: ignore[return-value]  # nobody uses it

    def durable_object_class(self, name: str, props: object, limits: object = None) -> Any:
        self.asked.append(("class", name, props))

    async def check(self, classes: Sequence[str]) -> None:
        self.asked.append(("check", *classes))

    async def evaluate(self, source: str, names: Mapping[str, object]) -> object:
        self.asked.append(("evaluate", source, dict(names)))
        return 42


class RecordingCalls:
    def __init__(self) -> None:
        self.worker = RecordingWorker()
        self.loaded: list[Any] = []

    def get(self, worker_id: str | None, load: LoadWorker) -> RecordingWorker:
        self.loaded.append(worker_id)
        return self.worker

    def load(self, code: object) -> RecordingWorker:
        self.loaded.append(code)
        return self.worker


def test_default_is_the_name_of_no_name() -> None:
    calls = RecordingCalls()
    stub = Loader(calls).get("a", lambda: WorkerCode.python(""))

    stub.get_entrypoint()
    stub.get_entrypoint("default")
    stub.get_entrypoint("Other", props={"a": 1})

    assert calls.worker.asked == [
        ("entrypoint", None, None),
        ("entrypoint", None, None),
        ("entrypoint", "Other", {"a": 1}),
    ]


def test_evaluate_runs_lines_in_a_worker_of_their_own() -> None:
    calls = RecordingCalls()

    result = asyncio.run(Loader(calls).evaluate("1 + x", {"x": 2}, limits=Limits(cpu_ms=5)))

    assert result == 42
    assert calls.worker.asked == [("evaluate", "1 + x", {"x": 2})]
    assert (calls.loaded[0].main_module, calls.loaded[0].limits.cpu_ms) == ("worker.py", 5)


def test_evaluate_knows_two_languages() -> None:
    calls = RecordingCalls()

    asyncio.run(Loader(calls).evaluate("1", language="javascript"))

    assert calls.loaded[0].main_module == "worker.js"
    with pytest.raises(WorkerCodeError, match="'python' or 'javascript', not `ruby`"):
        asyncio.run(Loader(calls).evaluate("1", language="ruby"))


def test_worker_code_of_one_module() -> None:
    assert WorkerCode.python("x").modules == {"worker.py": "x"}
    assert WorkerCode.javascript("x", env={"A": 1}).env == {"A": 1}
    assert WorkerCode.python("x").limits == Limits()
