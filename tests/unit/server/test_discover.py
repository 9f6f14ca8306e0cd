"""What is found in a module, and what is said when there is nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.server.fakes import FakePlatform

from perdure.api import DurableObject, WorkerEntrypoint
from perdure.errors import ConfigurationError
from perdure.server._discover import Found, Wanted, discover, find


class Counter(DurableObject):
    pass


class Room(DurableObject):
    pass


class Default(WorkerEntrypoint):
    pass


async def fetch(_request: object, _env: object, _ctx: object) -> None: ...


class App:
    """Looks like Starlette's: callable, with routes that may mount other apps."""

    def __init__(self, *mounted: object) -> None:
        self.routes = [SimpleNamespace(app=app) for app in mounted]

    async def __call__(self, scope: object, receive: object, send: object) -> None: ...


def found_in(**namespace: object) -> Found:
    return find(namespace, FakePlatform)


def platform_of(found: Found) -> FakePlatform:
    assert isinstance(found.platform, FakePlatform)
    return found.platform


def test_a_platform_is_its_own_app() -> None:
    platform = FakePlatform([Counter])

    found = found_in(anything=platform, Counter=Counter)

    assert found.app is platform
    assert found.platform is platform
    assert found.description == "Platform `anything` with `Counter`"


def test_an_app_that_mounts_a_platform_comes_first() -> None:
    platform, api = FakePlatform([Counter]), None
    api = App(App(), App(platform))

    found = found_in(platform=platform, api=api)

    assert found.app is api
    assert found.platform is platform
    assert found.description == "App app `api` with `Counter`"


def test_an_app_without_routes_goes_with_the_only_platform() -> None:
    platform = FakePlatform()

    assert found_in(platform=platform, app=fetch).platform is platform


def test_an_app_without_a_platform_is_told_to_mount_one() -> None:
    with pytest.raises(ConfigurationError, match=r'`app` mounts 0 platforms, it needs one: `app.mount\("/", Platform'):
        found_in(app=App())


def test_two_names_of_one_platform_are_one() -> None:
    platform = FakePlatform()

    assert found_in(a=platform, b=platform).platform is platform


def test_several_platforms_ask_for_a_name() -> None:
    with pytest.raises(ConfigurationError, match="several platforms, `a`, `b`: say which, as in `PATH:a`"):
        found_in(a=FakePlatform(), b=FakePlatform())


@pytest.mark.parametrize(
    ("entry", "expected"), [({"Default": Default}, Default), ({"fetch": fetch}, fetch), ({"on_fetch": fetch}, fetch)]
)
def test_classes_with_an_entry_point_make_a_platform(entry: dict[str, object], expected: object) -> None:
    platform = platform_of(found_in(Counter=Counter, Room=Room, Alias=Room, _Hidden=type("H", (Room,), {}), **entry))

    assert platform.classes == [Counter, Room]
    assert platform.fetch is expected


def test_classes_without_an_entry_point_are_served_with_a_hint() -> None:
    found = found_in(DurableObject=DurableObject, Counter=Counter)

    assert platform_of(found).classes == [Counter]
    assert "define `class Default(WorkerEntrypoint)`" in found.description


def test_nothing_to_serve_lists_what_is_there() -> None:
    with pytest.raises(ConfigurationError, match=r"nothing to serve in it: .* its names are `helper`, `limit`"):
        found_in(limit=3, helper=len, _secret=1)
    with pytest.raises(ConfigurationError, match="it defines no names"):
        found_in()


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SOURCE = """
from perdure.api import DurableObject
from tests.unit.server.fakes import FakePlatform
class Counter(DurableObject): ...
class Room(DurableObject): ...
first = FakePlatform([Counter], text="1")
second = FakePlatform([Room], text="2")
limit = 3
"""


def test_a_name_behind_the_path_chooses(tmp_path: Path) -> None:
    path = write(tmp_path, "choosing_app.py", SOURCE)

    assert platform_of(discover(Wanted([f"{path}:second"]), platform_type=FakePlatform)[0]).text == "2"
    chosen: Any = discover(Wanted([f"{path}:Room"]), platform_type=FakePlatform)[0].platform
    assert [kind.__name__ for kind in chosen.classes] == ["Room"]


@pytest.mark.parametrize(("name", "complaint"), [("third", "there is no `third`"), ("limit", "is a `int`, neither")])
def test_a_name_that_cannot_be_served_is_told_so(tmp_path: Path, name: str, complaint: str) -> None:
    path = write(tmp_path, "naming_app.py", SOURCE)

    with pytest.raises(ConfigurationError, match=complaint):
        discover(Wanted([f"{path}:{name}"]), platform_type=FakePlatform)


def test_the_data_lies_beside_the_app(tmp_path: Path) -> None:
    path = write(tmp_path, "data_app.py", SOURCE)

    found, _ = discover(Wanted([f"{path}:first"]), platform_type=FakePlatform)

    assert found.platform.data == tmp_path / ".perdure"
