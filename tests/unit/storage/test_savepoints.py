"""Transactions inside a unit: a stack, and whether what is written must be confirmed."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.errors import UsageError
from perdure.limits import TRANSACTION_DEPTH_MAX
from perdure.storage._savepoints import Savepoints


def test_only_the_innermost_may_end() -> None:
    savepoints = Savepoints()
    savepoints.begin(is_sync=False)
    savepoints.begin(is_sync=True)

    with pytest.raises(UsageError, match="Cannot roll back an outer transaction while a nested transaction"):
        savepoints.innermost(1)
    assert savepoints.innermost(2).name == "_cf_sync_savepoint_2"
    savepoints.release()
    assert savepoints.innermost(1).name == "_cf_savepoint_1"


@pytest.mark.parametrize("number", [0, -1, 2])
def test_one_that_has_ended_cannot_end_again(number: int) -> None:
    savepoints = Savepoints()
    savepoints.begin(is_sync=True)

    with pytest.raises(UsageError, match="has ended already"):
        savepoints.innermost(number)


def test_they_are_not_nested_without_bound() -> None:
    savepoints = Savepoints()
    for _ in range(TRANSACTION_DEPTH_MAX):
        savepoints.begin(is_sync=True)

    with pytest.raises(UsageError, match="nested too deeply"):
        savepoints.begin(is_sync=False)
    assert savepoints.depth == TRANSACTION_DEPTH_MAX


class Machine(RuleBasedStateMachine):
    """Beside a model: for each open transaction, whether something in it was confirmed."""

    def __init__(self) -> None:
        super().__init__()
        self.savepoints = Savepoints()
        self.written = [False]
        self.kinds: list[bool] = []

    @precondition(lambda self: len(self.kinds) < TRANSACTION_DEPTH_MAX)
    @rule(is_sync=st.booleans())
    def begin(self, is_sync: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        assert self.savepoints.begin(is_sync=is_sync).number == len(self.kinds) + 1
        self.kinds.append(is_sync)
        self.written.append(False)

    @rule()
    def write(self) -> None:
        self.savepoints.is_confirmed = True
        self.written[-1] = True

    @precondition(lambda self: self.kinds)
    @rule(is_well=st.booleans())
    def end(self, is_well: bool) -> None:  # noqa: FBT001  # hypothesis passes it by name
        self.kinds.pop()
        was_written = self.written.pop()
        if is_well:
            self.savepoints.release()
            self.written[-1] |= was_written
        else:
            self.savepoints.roll_back()

    @rule()
    def end_unit(self) -> None:
        self.savepoints.clear()
        self.kinds, self.written = [], [False]

    @invariant()
    def it_says_what_the_model_says(self) -> None:
        assert self.savepoints.depth == len(self.kinds)
        assert self.savepoints.is_explicit == (False in self.kinds)
        assert (self.savepoints.left_open is not None) == (self.kinds[-1:] == [True])
        assert self.savepoints.is_confirmed == any(self.written)


TestSavepoints = Machine.TestCase
TestSavepoints.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
