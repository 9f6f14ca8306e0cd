"""Objects do what a plain model does, through evictions, resets, crashes, restarts, and a journal that keeps silent.

A few runs of the state machine belong to `./run tests`; `./run crash` makes many.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from tests.model.model import AbortedError, FailedError, Node, Operation

from perdure import DurableObject, FacetOptions, WorkerCode
from perdure.errors import PerdureError
from perdure.isolates import Isolates
from perdure.testing import World

Event = tuple[list[str], list[Operation]]
"""A turn, and the facet that is asked for it."""
HERE = Path(__file__).parent
SOURCES = {"python": (HERE / "interpreter.py").read_text(), "javascript": (HERE / "interpreter.js").read_text()}
NAMES = ("x", "y")
PATHS: list[list[str]] = [[], [], ["a"], ["b"], ["a", "c"]]


def _trusted_interpreter() -> type[DurableObject]:
    spec = importlib.util.spec_from_file_location("perdure_interpreter", HERE / "interpreter.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kind: type[DurableObject] = module.Interpreter
    return kind


TrustedInterpreter = _trusted_interpreter()


class Keeper(DurableObject):
    """Runs the interpreter of one language as a facet; called `<language>.<name>`."""

    async def run(self, path: list[str], operations: list[Operation]) -> object:
        result: object = await self.ctx.facets.get("it").run(path, operations)
        return result

    def start_facet(self, _name: str) -> FacetOptions:
        language, _ = str(self.ctx.id.name).split(".")
        make = WorkerCode.python if language == "python" else WorkerCode.javascript
        worker = self.env.LOADER.get(language, lambda: make(SOURCES[language]))
        return FacetOptions(cls=worker.get_durable_object_class("Interpreter"))


keys = st.sampled_from(["k", "kk", "é", "😀", "\0", "k\0"])
values = st.one_of(st.integers(-3, 3), st.text(max_size=3), st.sampled_from(["x" * 900]))
numbers = st.integers(1, 4)
names = st.sampled_from(["a", "b", "c"])
paths = st.sampled_from(PATHS)
simple: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("put"), keys, values),
    st.tuples(st.just("get"), keys),
    st.tuples(st.just("delete"), keys),
    st.tuples(st.just("batch"), st.lists(st.tuples(keys, values), max_size=3), st.lists(keys, max_size=2, unique=True)),
    st.tuples(st.just("entries")),
    st.tuples(st.just("insert"), numbers, st.text(max_size=3)),
    st.tuples(st.just("remove"), numbers),
    st.tuples(st.just("rows")),
    st.tuples(st.just("alarm"), st.sampled_from([5, 55, 65, 3600])),
    st.tuples(st.just("no_alarm")),
)
operations = st.recursive(
    simple, lambda inner: st.tuples(st.just("transaction"), st.lists(inner, max_size=3), st.booleans()), max_leaves=5
)
turns = st.lists(operations, max_size=4)
long_turns: st.SearchStrategy[list[Operation]] = st.lists(
    st.one_of(operations, st.tuples(st.just("open"), st.lists(operations, max_size=3), st.booleans(), st.just(0))),
    max_size=4,
)
"""Turns that end and go on, in transactions that stay open meanwhile."""
events = st.lists(st.tuples(paths, turns), min_size=1, max_size=4)
management: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(st.just("facets")),
    st.tuples(st.just("delete_facet"), names),
    st.tuples(st.just("abort_facet"), names),
    st.tuples(st.just("clone"), names, names),
    st.tuples(st.just("forget")),
)


class Objects(RuleBasedStateMachine):
    """Two objects, each with its tree of facets, and their models."""

    isolates: ClassVar[Isolates]
    flavour: ClassVar[str] = "trusted"

    def __init__(self) -> None:
        super().__init__()
        self.world = World([TrustedInterpreter, Keeper], isolates=self.isolates)
        self.models = {name: Node() for name in NAMES}
        self.serials = itertools.count()

    def teardown(self) -> None:
        try:
            self.compare_everything()
        finally:
            self.world.close()

    async def ask(self, name: str, path: list[str], turn: list[Operation]) -> Any:  # what was stored
        if self.flavour == "trusted":
            return await self.world.get(TrustedInterpreter, name).run(path, turn)
        return await self.world.get(Keeper, f"{self.flavour}.{name}").run(path, turn)

    @property
    def kind(self) -> type[DurableObject]:
        return TrustedInterpreter if self.flavour == "trusted" else Keeper

    # ── turns ───────────────────────────────────────────────────────────────────────────────────────────────

    @rule(name=st.sampled_from(NAMES), path=paths, turn=long_turns)
    def turn(self, name: str, path: list[str], turn: list[Operation]) -> None:
        expected = self.models[name].at(path).run(turn)

        assert self.world.run(self.ask(name, path, turn)) == expected

    @rule(name=st.sampled_from(NAMES), path=paths, before=long_turns, turn=management)
    def manage(self, name: str, path: list[str], before: list[Operation], turn: Operation) -> None:
        expected = self.models[name].at(path).run([*before, turn])

        assert self.world.run(self.ask(name, path, [*before, turn])) == expected

    @rule(name=st.sampled_from(NAMES), path=paths, turn=long_turns)
    def turn_that_fails(self, name: str, path: list[str], turn: list[Operation]) -> None:
        with pytest.raises(FailedError):
            self.models[name].at(path).run([*turn, ["fail"]])

        with pytest.raises(Exception, match="failed as asked"):
            self.world.run(self.ask(name, path, [*turn, ["fail"]]))

    @rule(name=st.sampled_from(NAMES), path=paths, turn=turns)
    def turn_that_aborts(self, name: str, path: list[str], turn: list[Operation]) -> None:
        with pytest.raises(AbortedError):
            self.models[name].at(path).run([*turn, ["abort"]])

        with pytest.raises(PerdureError, match="aborted as asked"):
            self.world.run(self.ask(name, path, [*turn, ["abort"]]))

    # ── gates ───────────────────────────────────────────────────────────────────────────────────────────────

    @rule(name=st.sampled_from(NAMES), events=events)
    def events_while_the_journal_keeps_silent(self, name: str, events: list[Event]) -> None:
        events = self._writing(events)
        expected = [self.models[name].at(path).run(turn) for path, turn in events]

        assert self.world.run(self._while_held(name, events)) == expected

    def _writing(self, events: list[Event]) -> list[Event]:
        """The same, and each surely writes: what is put unchanged is durable already."""
        return [(path, [["put", "serial", next(self.serials)], *turn]) for path, turn in events]

    async def _while_held(self, name: str, events: list[Event]) -> list[Any]:
        with self.world.journal_held():
            tasks = [asyncio.ensure_future(self.ask(name, path, turn)) for path, turn in events]
            await self.world.settle()
            assert not any(task.done() for task in tasks), "a reply left before its writes were durable"
        return list(await asyncio.gather(*tasks))

    @rule(name=st.sampled_from(NAMES), events=events)
    def crash_while_the_journal_keeps_silent(self, name: str, events: list[Event]) -> None:
        events = self._writing(events)
        model = self.models[name]
        possible = [deepcopy(model), *(state for event in events for state in model.states_on_the_way(*event))]

        self.world.run(self._crash_while_held(name, events))

        found = self.world.run(self.stored(name, []))
        left = [state for state in possible if state.stored() == found]
        assert left, f"what a crash left is no state between two turns: {found}"
        self.models[name] = left[0]
        self._everything_forgets()
        self.models[name].count_a_turn()

    async def _crash_while_held(self, name: str, events: list[Event]) -> None:
        with self.world.journal_held():
            tasks = []
            for path, turn in events:
                tasks.append(asyncio.ensure_future(self.ask(name, path, turn)))
                await self.world.settle()
            await self.world.crash()
        for task in tasks:
            with pytest.raises(PerdureError):
                await task

    @rule(name=st.sampled_from(NAMES), path=paths, before=long_turns, inside=turns)
    def crash_in_a_transaction(
        self, name: str, path: list[str], before: list[Operation], inside: list[Operation]
    ) -> None:
        self.models[name].at(path).run(before)

        self.world.run(self._crash_in(name, path, [*before, ["open", inside, False, 3600]]))

        self._everything_forgets()
        self.compare_everything()

    async def _crash_in(self, name: str, path: list[str], turn: list[Operation]) -> None:
        task = asyncio.ensure_future(self.ask(name, path, turn))
        # Timers of no time take some. All crashes of one history together take less than the soonest alarm.
        await self.world.advance(0.1)
        assert not task.done(), "it did not stay open"
        await self.world.crash()
        with pytest.raises(PerdureError):
            await task

    # ── ends ────────────────────────────────────────────────────────────────────────────────────────────────

    @rule()
    def crash(self) -> None:
        self.world.run(self.world.crash())
        self._everything_forgets()

    @rule()
    def restart(self) -> None:
        self.world.run(self.world.restart())
        self._everything_forgets()

    @rule()
    def quiet_time(self) -> None:
        self.world.run(self.world.advance(60))
        for model in self.models.values():
            model.wait(60)
        self._everything_forgets()

    def _everything_forgets(self) -> None:
        for model in self.models.values():
            model.forget_memory()

    @rule()
    def compare_everything(self) -> None:
        for name, model in self.models.items():
            assert self.world.run(self.stored(name, [])) == model.stored()
            model.count_a_turn()

    async def stored(self, name: str, path: list[str]) -> object:
        """What an object and its facets hold. It takes a turn of each."""
        _, (entries, rows, facets) = await self.ask(name, path, [["entries"], ["rows"], ["facets"]])
        return [entries, rows, {facet: await self.stored(name, [*path, facet]) for facet in facets}]


def check(flavour: str, isolates: Isolates, *, examples: int, is_quick: bool) -> None:
    """Run the machine. In a quick run it is always the same; `--hypothesis-seed` decides a long one."""
    machine = type("Machine", (Objects,), {"isolates": isolates, "flavour": flavour})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            derandomize=is_quick,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.crash
@pytest.mark.parametrize(("flavour", "examples"), [("trusted", 30), ("python", 3), ("javascript", 5)])
def test_objects_do_what_their_model_does(perdure_isolates: Isolates, flavour: str, examples: int, rounds: int) -> None:
    check(flavour, perdure_isolates, examples=examples * rounds, is_quick=rounds == 1)
