"""Alarms of a whole platform: classes that go and come back, new code, parents that forgot their facets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perdure import AlarmInfo, DurableObject, FacetOptions
from perdure.isolates import Isolates
from perdure.storage import DueAlarm
from perdure.testing import World


class Sleeper(DurableObject):
    async def sleep(self, span_ms: int) -> None:
        await self.ctx.storage.set_alarm((await self.now()) + span_ms)

    async def now(self) -> int:
        return self.ctx.storage._calls.now_ms()

    async def alarm(self, info: AlarmInfo) -> None:
        self.ctx.storage.kv.put("woken by", "the old code")

    def woken_by(self) -> Any:
        return self.ctx.storage.kv.get("woken by")


class Unrelated(DurableObject):
    def hello(self) -> str:
        return "hello"


def pending(world: World) -> list[DueAlarm]:
    store = world.platform._store
    assert store is not None
    return store.alarms(limit=100)


def test_alarms_of_a_class_that_is_gone_wait_until_it_is_back(
    tmp_path: Path, perdure_isolates: Isolates, caplog: pytest.LogCaptureFixture
) -> None:
    with World([Sleeper], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.get(Sleeper, "a").sleep(60_000))

    with World([Unrelated], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.advance("20m"))
        assert caplog.text.count("no such class is on this platform") == 1
        assert [alarm.key.namespace for alarm in pending(world)] == ["Sleeper"]

        world.add(Sleeper)
        world.run(world.advance(1))

        assert world.run(world.get(Sleeper, "a").woken_by()) == "the old code"
        assert pending(world) == []


def test_an_alarm_runs_the_code_that_is_there_when_it_fires(tmp_path: Path, perdure_isolates: Isolates) -> None:
    class Renewed(Sleeper):
        async def alarm(self, info: AlarmInfo) -> None:
            self.ctx.storage.kv.put("woken by", "the new code")

    Renewed.__name__ = "Sleeper"
    with World([Sleeper], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.get(Sleeper, "a").sleep(60_000))

    with World([Renewed], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.advance("2m"))

        assert world.run(world.get(Renewed, "a").woken_by()) == "the new code"


def test_a_facets_alarm_outlives_code_that_cannot_start_it(
    tmp_path: Path, perdure_isolates: Isolates, caplog: pytest.LogCaptureFixture
) -> None:
    class Parent(DurableObject):
        def start_facet(self, name: str) -> FacetOptions:
            return FacetOptions(cls=Sleeper)

        async def ask(self, method: str, *arguments: Any) -> Any:
            return await getattr(self.ctx.facets.get("child"), method)(*arguments)

    class Forgetful(DurableObject):
        pass

    Forgetful.__name__ = "Parent"
    with World([Parent], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.get(Parent, "p").ask("sleep", 60_000))
    with World([Forgetful], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.advance("10m"))
        assert "start_facet" in caplog.text
        assert len(pending(world)) == 1

    with World([Parent], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.advance("2m"))

        assert world.run(world.get(Parent, "p").ask("woken_by")) == "the old code"
        assert pending(world) == []


def test_deleting_an_object_takes_its_alarms(tmp_path: Path, perdure_isolates: Isolates) -> None:
    class Parent(DurableObject):
        def start_facet(self, name: str) -> FacetOptions:
            return FacetOptions(cls=Sleeper)

        async def fill(self) -> None:
            await self.ctx.facets.get("child").sleep(60_000)
            await self.ctx.facets.get("other").sleep(60_000)

        def drop(self) -> None:
            self.ctx.facets.delete("child")

    with World([Parent], data=tmp_path / "data", isolates=perdure_isolates) as world:
        world.run(world.get(Parent, "p").fill())
        assert len(pending(world)) == 2

        world.run(world.get(Parent, "p").drop())

        assert [alarm.number for alarm in pending(world)] == [2]
