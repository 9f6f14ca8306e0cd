"""Doors re-export and do nothing else; what they re-export exists, and the users' doors say what they promise."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tests.source_tree import ROOT, Module, modules

LAZY_DOOR = "__init__.py"  # perdure/__init__.py, whose `__getattr__` imports a name when it is first used
# What a sandbox may load. The guest's half must never drag the host's along.
GUEST_ROOMS = {"perdure", "api", "clock", "errors", "guest", "limits", "web", "wire"}


def doors() -> list[Module]:
    return [module for module in modules() if module.is_door]


def re_exports(tree: ast.Module) -> Iterator[tuple[str, ast.alias]]:
    """Each `from home import name as name` of a door, with its home."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.asname is not None:
                    yield node.module or "", alias


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.place)
def test_a_door_only_re_exports(door: Module) -> None:
    if door.place == LAZY_DOOR:
        pytest.skip("the lazy door is tested below")
    docstring, *rest = door.tree.body

    logic = [node for node in rest if not isinstance(node, ast.ImportFrom)]
    renamed = [alias.name for _, alias in re_exports(door.tree) if alias.asname != alias.name]

    assert isinstance(docstring, ast.Expr)
    assert not logic, f"{door.place}:{logic[0].lineno}: a door holds re-exports only, move this into a file of the room"
    assert not renamed, f"{door.place} renames {renamed}: a thing has one name"


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.place)
def test_a_door_re_exports_what_exists(door: Module) -> None:
    if door.room == "guest":
        pytest.skip("runs inside the image only")
    missing = [
        f"{home}.{alias.name}"
        for home, alias in re_exports(door.tree)
        if not hasattr(importlib.import_module(home), alias.name)
    ]

    assert not missing


def test_the_lazy_door_gives_what_it_declares() -> None:
    import perdure

    (door,) = [module for module in doors() if module.place == LAZY_DOOR]
    declared = {alias.name for _, alias in re_exports(door.tree)}

    assert declared | {"__version__"} == set(perdure.__all__)
    assert [name for name in declared if getattr(perdure, name) is None] == []


def test_public_names_say_what_they_promise() -> None:
    import perdure

    silent = [name for name in perdure.__all__ if name != "__version__" and not inspect.getdoc(getattr(perdure, name))]

    assert silent == []


def test_importing_perdure_is_free() -> None:
    code = "import sys; before = set(sys.modules); import perdure; print(*sorted(set(sys.modules) - before))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert [name for name in loaded if name.startswith("perdure.")] == []


def test_the_guest_api_loads_no_host_code() -> None:
    code = "import sys, perdure.api, perdure.web, perdure.wire; print(*sorted(sys.modules))"

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "src"
    ).stdout.split()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("perdure.")}

    assert rooms <= GUEST_ROOMS
    assert not {"apsw", "wasmtime", "uvicorn", "sqlite3", "uvloop"} & set(loaded)
