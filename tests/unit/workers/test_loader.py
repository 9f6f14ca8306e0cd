"""The loader's cache: one load for all who ask, nothing kept that failed, nobody gets another's worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.workers.fakes import FakeIsolates, FakeRunner, Script, done, steps

from perdure.api import LoadWorker, WorkerCode
from perdure.errors import GuestCrashedError, GuestError, WorkerCodeError, WorkerLoadError
from perdure.limits import BACKGROUND_WORK_S, FORGOTTEN_S, ISOLATE_IDLE_S
from perdure.testing import VirtualClock, run_sim
from perdure.wire import GuestOp
from perdure.workers import DynamicClass, LoaderCache, LoaderScope, WorkerRuntime, _loader


def echo(op: int, payload: dict[str, Any]) -> Any:
    if op == GuestOp.EVENT:
        return done(payload["e"], [[payload["m"], payload["x"]]] if payload["k"] == "call" else payload.get("s"))
    return None


class Cache(LoaderCache):
    """A cache over scripted isolates; `scope` is who asks."""

    def __init__(self, script: Script = echo) -> None:
        self.clock = VirtualClock(asyncio.get_running_loop())
        self.runner = FakeRunner()
        self.isolates = FakeIsolates(script, self.runner)
        self.scope = "mine"
        runtime = WorkerRuntime(isolates=self.isolates, runner=self.runner, clock=self.clock)
        super().__init__(runtime, scope=lambda: LoaderScope(self.scope, "log"))


class Loads:
    """A load callback that counts; it fails as often as it is told."""

    def __init__(self, *, failures: int = 0, code: Callable[[], object] = lambda: WorkerCode.python("")) -> None:
        self.count = 0
        self._failures = failures
        self._code = code

    async def __call__(self) -> Any:
        self.count += 1
        await asyncio.sleep(1)
        if self.count <= self._failures:
            raise RuntimeError("the shop is closed")
        return self._code()


def test_one_load_however_many_ask() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()

        entries = [cache.get("a", load) for _ in range(3)]
        targets = [entry.entrypoint(None, None) for entry in entries for _ in range(3)]
        results = await asyncio.gather(*(target.call(["hello"], []) for target in targets))

        assert results == [["hello", "default"]] * 9
        assert load.count == 1
        assert len(cache.isolates.made) == 1

    run_sim(scenario)


def test_nothing_is_loaded_before_it_is_used() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()

        entry = cache.get("a", load)
        entry.entrypoint(None, None)
        entry.durable_object_class("App", None)

        await steps()
        assert load.count == 0

    run_sim(scenario)


def test_82_a_failed_load_passes_unchanged_and_is_not_kept() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads(failures=1)
        target = cache.get("a", load).entrypoint(None, None)

        failures = await asyncio.gather(*(target.call(["x"], []) for _ in range(3)), return_exceptions=True)
        assert [repr(failure) for failure in failures] == ["RuntimeError('the shop is closed')"] * 3
        assert load.count == 1

        assert await target.call(["x"], []) == ["x", "default"]
        assert await cache.get("a", load).entrypoint(None, None).call(["x"], []) == ["x", "default"]

    run_sim(scenario)


def test_malformed_code_is_told_to_every_request() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads(code=lambda: {"main_module": "a.py", "modules": {}})
        target = cache.get("a", load).entrypoint(None, None)

        for asked in (1, 2):
            with pytest.raises(WorkerCodeError, match="must contain at least one module"):
                await target.call(["x"], [])
            assert load.count == asked

    run_sim(scenario)


def test_code_that_does_not_start_is_asked_for_again() -> None:
    sources = iter(["bad", "good"])

    def script(op: int, payload: dict[str, Any]) -> Any:
        if op == GuestOp.LOAD and next(sources) == "bad":
            return {"error": {"type": "SyntaxError", "message": "bad"}}
        return echo(op, payload)

    async def scenario() -> None:
        cache, load = Cache(script), Loads()
        target = cache.get("a", load).entrypoint(None, None)

        with pytest.raises(WorkerLoadError):
            await target.call(["x"], [])

        assert await target.call(["x"], []) == ["x", "default"]
        assert load.count == 2

    run_sim(scenario)


def test_scopes_never_meet() -> None:
    async def scenario() -> None:
        cache = Cache()
        mine = cache.get("a", Loads())

        cache.scope = "theirs"
        theirs = cache.get("a", Loads())
        cache.scope = "mine"

        assert mine is not theirs
        assert cache.get("a", Loads()) is mine
        for entry in (mine, theirs):
            await entry.entrypoint(None, None).call(["x"], [])
        assert len(cache.isolates.made) == 2

    run_sim(scenario)


def test_no_id_is_a_worker_of_ones_own() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()

        entries = [cache.get(None, load), cache.get(None, load), cache.load(WorkerCode.python(""))]
        for entry in entries:
            await entry.entrypoint(None, None).call(["x"], [])

        assert len(cache.isolates.made) == 3
        assert load.count == 2

    run_sim(scenario)


def test_the_entry_asked_for_longest_ago_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loader, "_ENTRIES_MAX", 2)

    async def scenario() -> None:
        cache = Cache()
        first, second = cache.get("first", Loads()), cache.get("second", Loads())
        assert cache.get("first", Loads()) is first

        cache.get("third", Loads())

        assert cache.get("first", Loads()) is first
        assert cache.get("second", Loads()) is not second

    run_sim(scenario)


def test_an_idle_isolate_goes_and_comes_back_without_asking_for_code() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()
        target = cache.get("a", load).entrypoint(None, None)
        await target.call(["x"], [])

        await asyncio.sleep(ISOLATE_IDLE_S - 1)
        assert cache.isolates.alive == 1
        await asyncio.sleep(3)
        assert cache.isolates.alive == 0

        assert await target.call(["x"], []) == ["x", "default"]
        assert (len(cache.isolates.made), load.count) == (2, 1)

    run_sim(scenario)


def test_code_that_nobody_asks_for_is_forgotten() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()
        entry = cache.get("a", load)
        await entry.code()
        await asyncio.sleep(ISOLATE_IDLE_S - 2)
        assert cache.get("a", load) is entry

        await asyncio.sleep(ISOLATE_IDLE_S - 2)
        assert cache.get("a", load) is entry
        await asyncio.sleep(ISOLATE_IDLE_S + 2)

        assert cache.get("a", load) is not entry

    run_sim(scenario)


def test_idle_isolates_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_loader, "LOADER_MEMORY_BYTES_MAX", 0)

    async def scenario() -> None:
        cache = Cache()
        targets = [cache.get(name, Loads()).entrypoint(None, None) for name in "abc"]

        together = await asyncio.gather(*(target.call(["x"], []) for target in targets))
        assert together == [["x", "default"]] * 3
        assert cache.isolates.alive == 3
        await targets[0].call(["x"], [])
        await cache.get("d", Loads()).entrypoint(None, None).call(["x"], [])

        assert cache.isolates.alive == 1

    run_sim(scenario)


def test_an_isolate_that_works_is_not_idle() -> None:
    async def scenario() -> None:
        cache = Cache()
        target = cache.get("a", Loads()).entrypoint(None, None)
        await target.call(["x"], [])
        cache.runner.hold = asyncio.Event()

        event = asyncio.ensure_future(target.call(["slow"], []))
        await asyncio.sleep(5 * ISOLATE_IDLE_S)
        cache.runner.hold.set()

        assert await event == ["slow", "default"]
        assert cache.isolates.alive == 1

    run_sim(scenario)


def ticking(op: int, payload: dict[str, Any]) -> Any:
    """A guest with an endless interval."""
    return {"t": 500, **(echo(op, payload) or {})} if op in {GuestOp.EVENT, GuestOp.RESUME} else None


def working(op: int, payload: dict[str, Any]) -> Any:
    """A guest that has work given to `wait_until`, besides an interval."""
    return {"p": 1, **ticking(op, payload)} if op in {GuestOp.EVENT, GuestOp.RESUME} else None


@pytest.mark.parametrize(("script", "allowed_s"), [(ticking, FORGOTTEN_S), (working, BACKGROUND_WORK_S)])
def test_what_only_keeps_itself_busy_goes_when_nobody_calls(script: Any, allowed_s: float) -> None:
    async def scenario() -> None:
        cache = Cache(script)
        target = cache.get("a", Loads()).entrypoint(None, None)
        await target.call(["x"], [])

        await asyncio.sleep(allowed_s - 5)
        await target.call(["x"], [])
        await asyncio.sleep(allowed_s - 5)
        assert cache.isolates.alive == 1
        await asyncio.sleep(10)

        assert cache.isolates.alive == 0
        assert await target.call(["x"], []) == ["x", "default"]
        cache.close()

    run_sim(scenario)


def test_an_interval_that_burns_is_forgotten_within_its_turn() -> None:
    async def scenario() -> None:
        cache = Cache(ticking)
        await cache.get("a", Loads()).entrypoint(None, None).call(["x"], [])
        cache.runner.hold = asyncio.Event()

        await asyncio.sleep(FORGOTTEN_S + 5)
        cache.runner.hold.set()
        await steps()

        assert cache.isolates.alive == 0

    run_sim(scenario)


@pytest.mark.parametrize("script", [ticking, working])
def test_what_keeps_itself_busy_makes_room_at_once(monkeypatch: pytest.MonkeyPatch, script: Any) -> None:
    monkeypatch.setattr(_loader, "LOADER_MEMORY_BYTES_MAX", 1000)

    async def scenario() -> None:
        cache = Cache(script)
        await cache.get("a", Loads()).entrypoint(None, None).call(["x"], [])
        await asyncio.sleep(1)

        assert await cache.get("b", Loads()).entrypoint(None, None).call(["x"], []) == ["x", "default"]

        assert [isolate.is_alive for isolate in cache.isolates.made] == [False, True]
        cache.close()

    run_sim(scenario)


def test_a_guest_that_crashed_is_replaced() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        return "nonsense" if payload.get("m") == "crash" else echo(op, payload)

    async def scenario() -> None:
        cache, load = Cache(script), Loads()
        target = cache.get("a", load).entrypoint(None, None)

        with pytest.raises(GuestCrashedError):
            await target.call(["crash"], [])

        assert await target.call(["x"], []) == ["x", "default"]
        assert (cache.isolates.alive, load.count) == (1, 1)

    run_sim(scenario)


def test_an_evaluation_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        cache = Cache()

        assert await cache.load(WorkerCode.python("")).evaluate("1 + 1", {}) == "1 + 1"

        assert cache.isolates.alive == 0

    run_sim(scenario)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Missing", "Worker has no such entrypoint: Missing; it exports `App`, `Plain`"),
        ("App", "entrypoint name App refers to a Durable Object class: use get_durable_object_class"),
    ],
)
def test_a_wrong_entry_point_fails_at_first_use_and_poisons_nothing(name: str, text: str) -> None:
    async def scenario() -> None:
        cache = Cache()
        entry = cache.get("a", Loads())

        with pytest.raises(WorkerCodeError, match=text):
            await entry.entrypoint(name, None).call(["x"], [])

        assert await entry.entrypoint(None, None).call(["x"], []) == ["x", "default"]

    run_sim(scenario)


def test_a_worker_without_a_default_says_so() -> None:
    async def scenario() -> None:
        cache = Cache(lambda op, payload: {"ok": {"exports": {"App": "object"}}})

        with pytest.raises(WorkerCodeError, match="Worker has no default entrypoint; it exports `App`"):
            await cache.get("a", Loads()).entrypoint(None, None).call(["x"], [])

    run_sim(scenario)


def test_a_class_handle_asks_for_code_when_it_is_used() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()
        handle = cache.get("a", load).durable_object_class("App", {"p": 1})
        assert isinstance(handle.definition, DynamicClass)

        code = await handle.definition.code()
        assert (code.language, handle.props, handle.definition.export) == ("python", {"p": 1}, "App")

        handle.definition.failed()
        await handle.definition.code()
        assert load.count == 2

    run_sim(scenario)


def test_bad_arguments_are_refused_at_once() -> None:
    async def scenario() -> None:
        cache = Cache()
        not_callable: Any = WorkerCode.python("")
        load: LoadWorker = Loads()
        number: Any = 5

        for act in (
            lambda: cache.get("a", not_callable),
            lambda: cache.get(number, load),
            lambda: cache.load({"main_module": "a.rb", "modules": {"a.rb": ""}}),
            lambda: cache.get("a", load).durable_object_class("", None),
        ):
            with pytest.raises(WorkerCodeError):
                act()

    run_sim(scenario)


def test_a_closed_cache_holds_nothing() -> None:
    async def scenario() -> None:
        cache = Cache()
        target = cache.get("a", Loads()).entrypoint(None, None)
        await target.call(["x"], [])

        cache.close()

        assert cache.isolates.alive == 0

    run_sim(scenario)


def test_a_caller_that_gives_up_does_not_stop_the_load() -> None:
    async def scenario() -> None:
        cache, load = Cache(), Loads()
        target = cache.get("a", load).entrypoint(None, None)
        given_up, patient = (asyncio.ensure_future(target.call(["x"], [])) for _ in range(2))
        await steps()

        given_up.cancel()

        assert await patient == ["x", "default"]
        assert load.count == 1

    run_sim(scenario)


def test_a_guests_error_reaches_its_caller() -> None:
    def script(op: int, payload: dict[str, Any]) -> Any:
        return {"d": [[payload["e"], 0, {"type": "KeyError", "message": "k"}]]} if op == GuestOp.EVENT else None

    async def scenario() -> None:
        with pytest.raises(GuestError, match="k"):
            await Cache(script).get("a", Loads()).entrypoint(None, None).call(["x"], [])

    run_sim(scenario)
