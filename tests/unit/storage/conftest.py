"""What this folder shares: async tests run on a fresh event loop each, databases are new and closed at the end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.storage._database import Database
from perdure.storage._template import new_database


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """A new database's file."""
    path = tmp_path / "object.sqlite"
    path.write_bytes(new_database())
    return path


@pytest.fixture
def database(database_path: Path) -> Iterator[Database]:
    opened = Database.open(database_path, number=0)
    yield opened
    opened.close()
