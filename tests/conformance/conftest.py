"""The subject of each behaviour case, in every flavour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conformance.flavours import FLAVOURS, GUESTS, TIME, Subject, Supervised, Topic, world_of
from tests.conformance.flavours import topic as topic_named
from tests.conformance.judge import Judge
from tests.conformance.loaders import Host

from perdure.isolates import Isolates
from perdure.testing import World


def pytest_configure(config: pytest.Config) -> None:
    """Hold a run of the whole suite to the table of its cases."""
    config.pluginmanager.register(Judge(Path(__file__).resolve().parent), "conformance-judge")


@pytest.fixture
def topic(request: pytest.FixtureRequest) -> Topic:
    """What the test module chose with `pytestmark = pytest.mark.subject(name)`."""
    marker = request.node.get_closest_marker("subject")
    return topic_named(None if marker is None else marker.args[0])


@pytest.fixture
def world(perdure_isolates: Isolates, topic: Topic) -> Iterator[World]:
    with world_of(topic, isolates=perdure_isolates) as world:
        TIME.clock = world.clock
        yield world


@pytest.fixture(params=FLAVOURS)
def subject(request: pytest.FixtureRequest, world: World, topic: Topic) -> Subject:
    """A root object in every flavour."""
    return Subject(world, request.param, topic)


@pytest.fixture(params=GUESTS)
def guest(request: pytest.FixtureRequest, world: World, topic: Topic) -> Subject:
    """A root object in a sandbox."""
    return Subject(world, request.param, topic)


@pytest.fixture(params=GUESTS)
def supervised(request: pytest.FixtureRequest, world: World, topic: Topic) -> Supervised:
    """A guest that is a facet of trusted code."""
    return Supervised(world, request.param, topic)


@pytest.fixture(params=GUESTS)
def language(request: pytest.FixtureRequest) -> str:
    """Of a dynamic worker."""
    return str(request.param)


@pytest.fixture
def host(world: World) -> Any:
    """A supervisor with no code to load yet."""
    Host.code, Host.script, Host.asked = None, None, 0
    return world.get(Host, "h")
