"""What a guest's turn says waits for what it asked to be done to facets."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from perdure.errors import FacetError, ObjectResetError
from perdure.objects._gate_drivers import OutputDriver
from perdure.objects._sandboxed import ObjectHooks
from perdure.testing import VirtualClock
from perdure.workers import Operation

PAYLOADS: dict[str, dict[str, object]] = {
    "facet.abort": {"f": "a", "reason": "no"},
    "facet.clone": {"f": "a", "to": "b"},
    "facet.delete": {"f": "a"},
}


class Slots:
    """Facets of which `done` tells what was done to them; `fails`: it cannot be done."""

    def __init__(self, *, fails: bool) -> None:
        self.done: list[str] = []
        self._fails = fails

    def abort(self, name: str, reason: str) -> None:
        self._do("facet.abort")

    async def clone_in_turn(self, source: str, target: str) -> None:
        self._do("facet.clone")

    async def delete_in_turn(self, name: str) -> None:
        self._do("facet.delete")

    def _do(self, what: str) -> None:
        if self._fails:
            raise FacetError("no")
        self.done.append(what)


def hooks_over(slots: Slots) -> ObjectHooks:
    actor = SimpleNamespace(
        output=OutputDriver(VirtualClock()), parent=None, in_transaction=False, label="it", identity="it"
    )
    actor.top = SimpleNamespace(identity="it")
    actor.break_ = actor.output.break_
    code = SimpleNamespace(fetcher=None)
    hooks = ObjectHooks(
        cast("Any", actor), cast("Any", code), cast("Any", slots), cast("Any", None), forget_code=lambda: None
    )
    hooks.session = cast("Any", object())
    return hooks


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("kind", PAYLOADS)
def test_an_answer_waits_until_it_is_done(kind: str, fails: bool) -> None:  # noqa: FBT001  # a parameter of the test
    slots = Slots(fails=fails)
    hooks = hooks_over(slots)
    operation = Operation(1, kind, PAYLOADS[kind])

    mark = hooks.announced(operation, 0)
    was_clear = hooks.is_clear(mark)
    if fails:
        with pytest.raises(FacetError):
            asyncio.run(cast("Any", hooks.perform(operation, 0)))
    else:
        asyncio.run(cast("Any", hooks.perform(operation, 0)))

    assert not was_clear
    if fails and kind == "facet.delete":  # Whoever was told that it is deleted must not hear of it.
        with pytest.raises(ObjectResetError, match="facet `a` could not be deleted: no"):
            asyncio.run(cast("Any", hooks.confirmed(mark)))
    else:
        assert hooks.is_clear(mark)
    assert slots.done == ([] if fails else [kind])


def test_an_answer_does_not_wait_for_a_call() -> None:
    hooks = hooks_over(Slots(fails=False))

    assert hooks.is_clear(hooks.announced(Operation(1, "facet.call", {"f": "a", "m": "x", "a": []}), 0))
