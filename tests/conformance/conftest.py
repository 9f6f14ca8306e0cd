"""The subject of each behaviour case, in every flavour."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance.flavours import FLAVOURS, GUESTS, TIME, Subject, Supervisor, classes

from perdure.isolates import Isolates
from perdure.testing import World


@pytest.fixture
def world(perdure_isolates: Isolates) -> Iterator[World]:
    with World([*classes, Supervisor], isolates=perdure_isolates) as world:
        TIME.clock = world.clock
        yield world


@pytest.fixture(params=FLAVOURS)
def subject(request: pytest.FixtureRequest, world: World) -> Subject:
    return Subject(world, request.param)


@pytest.fixture(params=GUESTS)
def guest(request: pytest.FixtureRequest, world: World) -> Subject:
    return Subject(world, request.param)
