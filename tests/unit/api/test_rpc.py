"""Which methods a stub may call (spec 6.1)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api import Copies, DurableObject, RpcMethodError, Sent, Stub, WorkerEntrypoint, rpc_method, value_at
from perdure.api._rpc import RESERVED, snake_case
from perdure.testing import run_sim


class Mixin:
    def mixed_in(self) -> str:
        return "mixed in"


class App(Mixin, DurableObject):
    constant = 5

    class Model:
        """A class in a class."""

    def __init__(self) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]  # nothing asks for them
        self.own = lambda: "own"

    def add(self, a: int, b: int) -> int:
        return a + b

    def set_code(self) -> str:
        return "code"

    def get_url(self) -> str:
        return "url"

    def get(self) -> str:
        return "get"

    @staticmethod
    def still() -> str:
        return "static"

    @property
    def size(self) -> int:
        return 5

    def _private(self) -> str:
        return "private"

    async def fetch(self, request: object) -> object:
        return request

    def on_start(self) -> None: ...

    part = functools.partialmethod(add, 1)


def test_public_methods_of_the_class_and_its_parents_can_be_called() -> None:
    for name, result in [("set_code", "code"), ("get", "get"), ("still", "static"), ("mixed_in", "mixed in")]:
        assert rpc_method(App(), name, base=DurableObject)() == result


@pytest.mark.parametrize(("name", "result"), [("setCode", "code"), ("getURL", "url"), ("getUrl", "url")])
def test_a_javascript_name_finds_the_python_method(name: str, result: str) -> None:
    assert rpc_method(App(), name, base=DurableObject)() == result


@pytest.mark.parametrize(
    "name",
    [
        "missing", "_private", "__init__", "__class__", "__dict__", "own", "ctx", "env", "constant", "Model",
        "is_entrypoint", "", "add.__func__", "__reduce__",
    ],
)  # fmt: skip
def test_everything_else_reads_as_missing(name: str) -> None:
    with pytest.raises(RpcMethodError) as caught:
        rpc_method(App(), name, base=DurableObject)

    assert f'The RPC receiver does not implement the method "{name}"' in str(caught.value)
    assert isinstance(caught.value, TypeError)
    assert "_private" not in str(caught.value).partition(";")[2]


@pytest.mark.parametrize("name", [*sorted(RESERVED), "onStart", "webSocketMessage", "startFacet"])
def test_reserved_names_are_refused_even_where_they_exist(name: str) -> None:
    with pytest.raises(RpcMethodError, match=f"'{name}' is a reserved method and cannot be called over RPC"):
        rpc_method(App(), name, base=DurableObject)


def test_a_class_without_the_base_has_no_rpc() -> None:
    with pytest.raises(RpcMethodError, match=r"does not support RPC: .*it extends DurableObject"):
        rpc_method(Mixin(), "mixed_in", base=DurableObject)
    with pytest.raises(RpcMethodError, match="WorkerEntrypoint"):
        rpc_method(App(), "add", base=WorkerEntrypoint)


@pytest.mark.parametrize(
    ("name", "python"),
    [("setCode", "set_code"), ("getURL", "get_url"), ("setHTTPCode", "set_http_code"), ("a1B2", "a1_b2"), ("x", "x")],
)
def test_names_in_snake_case(name: str, python: str) -> None:
    assert snake_case(name) == python


@given(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True))
def test_a_name_without_capitals_stays(name: str) -> None:
    assert snake_case(name) == name


@given(st.text())
def test_no_name_finds_anything_but_a_public_method(name: str) -> None:
    public = {"add", "set_code", "get_url", "get", "still", "mixed_in", "part", "size"}
    try:
        value_at(App(), [name], base=DurableObject)
    except RpcMethodError:
        return
    assert snake_case(name) in public


class Echo:
    """A target that notes what reaches it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    async def fetch(self, request: object) -> Any:
        self.sent.append(("fetch", request))

    async def call(self, path: Sequence[str], arguments: Sequence[object] | Copies) -> object:
        self.sent.append((*path, *Sent.of(arguments).values()))
        return 7

    async def get(self, path: Sequence[str]) -> object:
        self.sent.append(tuple(path))
        return 8


def test_a_stub_sends_its_calls_to_its_target() -> None:
    echo = Echo()
    stub = Stub(echo)

    async def scenario() -> list[object]:
        return [await stub.some_method(1, [2]), await stub.a.b, await stub["fetch"].c(3)]

    assert run_sim(scenario) == [7, 8, 7]
    assert echo.sent == [("some_method", 1, [2]), ("a", "b"), ("fetch", "c", 3)]


def test_a_stub_has_no_private_methods() -> None:
    with pytest.raises(AttributeError, match="private"):
        Stub(None)._secret  # type: ignore[arg-type]  # noqa: B018  # the access is what is tested
