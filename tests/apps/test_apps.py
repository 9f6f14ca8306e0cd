"""Every app of this folder, used as its session says."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from tests.apps.house import App

from perdure.isolates import Isolates

HERE = Path(__file__).parent
SESSIONS = sorted(HERE.glob("*/*/session.py"))


def loaded(path: Path) -> ModuleType:
    """A session, as the module that it is."""
    spec = importlib.util.spec_from_file_location(f"session_{path.parent.parent.name}_{path.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", SESSIONS, ids=lambda path: f"{path.parent.parent.name}-{path.parent.name}")
def test_the_app_does_what_its_session_asks(path: Path, perdure_isolates: Isolates) -> None:
    module = loaded(path)
    app = App(path.parent, getattr(module, "KIND", "object"), perdure_isolates)

    async def visited() -> None:
        async with app.visitor() as visit:
            await module.session(visit, app)

    with app.world:
        app.world.run(visited())
