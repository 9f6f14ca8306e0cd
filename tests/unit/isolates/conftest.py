"""One engine for all tests of this folder; async tests run on a fresh event loop each."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Mapping

import pytest
from tests.unit.isolates.fake_host import CPU_MS, MEMORY_BYTES, Driver, drive

from perdure.isolates import Isolate, Isolates

Python = Callable[..., Driver]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="session")
def isolates() -> Iterator[Isolates]:
    made = Isolates()
    yield made
    made.close()


@pytest.fixture
def isolate(isolates: Isolates) -> Iterator[Isolate]:
    """A fresh Python isolate."""
    made = isolates.create("python", memory_bytes=MEMORY_BYTES)
    yield made
    made.close()


@pytest.fixture
def python(isolates: Isolates) -> Iterator[Python]:
    """Makes Python isolates with a fake host and the given modules; one string is `worker.py`, already loaded."""
    made: list[Isolate] = []

    def make(
        source: str | Mapping[str, str | tuple[str, str]] = "",
        *,
        cpu_ms: int = CPU_MS,
        memory_bytes: int = MEMORY_BYTES,
        main: str = "worker.py",
    ) -> Driver:
        isolate = isolates.create("python", memory_bytes=memory_bytes)
        made.append(isolate)
        driver = drive(isolate, {"worker.py": source} if isinstance(source, str) else source, cpu_ms=cpu_ms)
        loaded = driver.load(main)
        assert "ok" in loaded, loaded["error"].get("traceback", loaded["error"])
        return driver

    yield make
    for isolate in made:
        isolate.close()


JavaScript = Callable[..., Driver]


@pytest.fixture
def javascript(isolates: Isolates) -> Iterator[JavaScript]:
    """Makes JavaScript isolates as `python` makes Python ones; one string is `worker.js`."""
    made: list[Isolate] = []

    def make(
        source: str | Mapping[str, str | tuple[str, str]] = "",
        *,
        cpu_ms: int = CPU_MS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> Driver:
        isolate = isolates.create("javascript", memory_bytes=memory_bytes)
        made.append(isolate)
        driver = drive(isolate, {"worker.js": source} if isinstance(source, str) else source, cpu_ms=cpu_ms)
        loaded = driver.load("worker.js")
        assert "ok" in loaded, loaded["error"].get("traceback", loaded["error"])
        return driver

    yield make
    for isolate in made:
        isolate.close()
