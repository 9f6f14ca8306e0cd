"""The pytest plugin: the fixture `perdure`, a World for one test, and async tests that run in it.

    async def test_it_counts(perdure):
        assert await perdure.get(Counter, "a").add(1) == 1

An async test that asks for a World runs on that world's loop, with no other plugin; under pytest-asyncio or anyio it
may run on theirs.
Effects: tasks, threads.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from perdure.isolates import Isolates
from perdure.testing._world import World


@pytest.fixture(scope="session")
def perdure_isolates() -> Iterator[Isolates]:
    """The isolates of all worlds of this run: their engine is made once."""
    isolates = Isolates()
    yield isolates
    isolates.close()


@pytest.fixture
def perdure(perdure_isolates: Isolates) -> Iterator[World]:
    """A World of its own for each test."""
    with World(isolates=perdure_isolates) as world:
        yield world


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an async test in the first World among its fixtures."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    world = next((value for value in pyfuncitem.funcargs.values() if isinstance(value, World)), None)
    if world is None:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    world.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True
