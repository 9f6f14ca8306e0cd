"""The tables of capabilities: nothing leaks, nothing is given back twice, however messages cross."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from perdure.errors import OverloadedError, UsageError, ValueNotCloneableError
from perdure.limits import RPC_CAPABILITIES_MAX
from perdure.wire import Borrowed, BorrowedTable, LentTable, ReferenceMetError, from_expression, to_expression


class Thing:
    """What is lent; `disposed` counts how often its owner forgot it."""

    def __init__(self) -> None:
        self.disposed = 0


class TwoSides(RuleBasedStateMachine):
    """A lender and a borrower whose messages arrive later, each way in order."""

    handles = Bundle("handles")

    def __init__(self) -> None:
        super().__init__()
        self.lent: LentTable[Thing] = LentTable()
        self.borrowed = BorrowedTable()
        self.things = [Thing() for _ in range(3)]
        self.there: list[int] = []
        self.back: list[tuple[int, int]] = []
        self.open: list[Borrowed] = []
        self.numbers: dict[int, Thing] = {}

    @rule(which=st.integers(0, 2))
    def send(self, which: int) -> None:
        number, _ = self.lent.lend(self.things[which])
        assert self.numbers.setdefault(number, self.things[which]) is self.things[which], "a number was used twice"
        self.there.append(number)

    @rule(target=handles)
    def arrive(self) -> Borrowed | None:
        if not self.there:
            return None
        borrowed = self.borrowed.receive(self.there.pop(0), "target")
        self.open.append(borrowed)
        return borrowed

    @rule(handle=consumes(handles))
    def close(self, handle: Borrowed | None) -> None:
        if handle is not None:
            self.open.remove(handle)
            self.borrowed.drop(handle)

    @rule(handle=handles)
    def call(self, handle: Borrowed | None) -> None:
        if handle is not None:
            assert self.lent.find(handle.number) is self.numbers[handle.number]

    @rule()
    def give_back(self) -> None:
        self.back += self.borrowed.take_returned()

    @rule()
    def arrive_back(self) -> None:
        if self.back:
            gone = self.lent.give_back(*self.back.pop(0))
            if gone is not None:
                gone.disposed += 1

    @invariant()
    def what_is_held_is_there(self) -> None:
        for handle in self.open:
            self.lent.find(handle.number)
        assert len(self.borrowed) <= len(self.lent)

    def teardown(self) -> None:
        while self.there:
            self.open.append(self.borrowed.receive(self.there.pop(0), "target"))
        for handle in self.open:
            self.borrowed.drop(handle)
        for number, count in [*self.back, *self.borrowed.take_returned()]:
            gone = self.lent.give_back(number, count)
            if gone is not None:
                gone.disposed += 1
        assert len(self.lent) == len(self.borrowed) == 0
        assert sum(thing.disposed for thing in self.things) == len(self.numbers)


TestTwoSides = TwoSides.TestCase


def test_the_same_thing_keeps_its_number_while_it_is_lent() -> None:
    table: LentTable[Thing] = LentTable()
    thing = Thing()

    assert table.lend(thing) == (1, True)
    assert table.lend(thing) == (1, False)
    assert table.lend(Thing()) == (2, True)
    assert table.give_back(1, 1) is None
    assert table.give_back(1, 1) is thing
    assert table.lend(thing) == (3, True)


@pytest.mark.parametrize(("number", "count"), [(1, 3), (1, 0), (1, -1), (2, 1), (0, 1), (-1, 1)])
def test_what_was_not_lent_does_not_come_back(number: int, count: int) -> None:
    table: LentTable[Thing] = LentTable()
    thing = Thing()
    table.lend(thing)
    table.lend(thing)

    with pytest.raises(ValueError, match="were not lent"):
        table.give_back(number, count)
    assert table.find(1) is thing


@pytest.mark.parametrize("number", [0, -1, 2, "1", None, [1], 1.0, True, 2**60])
def test_a_number_that_was_not_given_finds_nothing(number: object) -> None:
    table: LentTable[Thing] = LentTable()
    table.lend(Thing())
    borrowed = BorrowedTable()

    with pytest.raises(UsageError, match="there is no capability"):
        table.find(number)
    with pytest.raises(UsageError, match="there is no capability"):
        borrowed.again(number)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (0, "target"),
        (-1, "target"),
        (2**53, "target"),
        ("1", "target"),
        (True, "target"),
        (1, "loader"),
        (1, None),
        (1, []),
    ],
)  # fmt: skip
def test_what_is_no_capability_is_not_received(number: object, kind: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        BorrowedTable().receive(number, kind)


def test_each_side_holds_so_many_and_no_more() -> None:
    lent: LentTable[Thing] = LentTable()
    borrowed = BorrowedTable()
    things = [Thing() for _ in range(RPC_CAPABILITIES_MAX)]
    for number, thing in enumerate(things, 1):
        lent.lend(thing)
        borrowed.receive(number, "function")

    with pytest.raises(OverloadedError, match=r"10000 functions.*dispose of stubs"):
        lent.lend(Thing())
    with pytest.raises(OverloadedError, match=r"10000 functions.*dispose of stubs"):
        borrowed.receive(RPC_CAPABILITIES_MAX + 1, "function")
    assert lent.lend(things[0]) == (1, False)
    assert borrowed.receive(1, "function").given == 2


# ── the codec ───────────────────────────────────────────────────────────────────────────────────────────────


class Notebook:
    """Introduces instances of Thing, and resolves them again."""

    def __init__(self) -> None:
        self.things: list[Thing] = []

    def introduce(self, value: object) -> list[object] | None:
        if not isinstance(value, Thing):
            return None
        self.things.append(value)
        return ["export", len(self.things), "target"]

    def mark(self) -> int:
        return len(self.things)

    def rewind(self, mark: int) -> None:
        del self.things[mark:]

    def resolve(self, expression: list[object]) -> object:
        number = expression[1]
        assert isinstance(number, int)
        return self.things[number - 1]


def test_what_is_passed_by_reference_stands_anywhere_in_a_value() -> None:
    book, first, second = Notebook(), Thing(), Thing()
    value = {"a": [first, {"b": (second, 1)}], "m": {1: first}, "e": ValueError("no")}
    value["e"].thing = second  # type: ignore[attr-defined]

    tree = to_expression(value, book)
    back = from_expression(tree, book)

    assert back["a"][0] is back["m"][1] is first  # type: ignore[index]
    assert back["a"][1]["b"][0] is second  # type: ignore[index]
    assert back["e"].properties["thing"] is second  # type: ignore[index]
    assert len(book.things) == 2, "each stands once in the message, so the peer gets one reference"


def test_a_property_that_is_left_behind_takes_nothing_along() -> None:
    book = Notebook()
    error = ValueError("no")
    error.parts = [Thing(), object()]  # type: ignore[attr-defined]

    assert to_expression(error, book) == ["error", "ValueError", "no"]
    assert book.things == []


def test_without_anybody_who_knows_references_they_are_refused() -> None:
    with pytest.raises(ValueNotCloneableError, match="does not support serialization"):
        to_expression([Thing()])
    for tag in (["export", 1, "target"], ["import", 1], ["channel", "stub", {}]):
        with pytest.raises(ReferenceMetError):
            from_expression([[1, tag]])


@pytest.mark.parametrize("tree", [["export"], ["export", "x"], ["import", None], ["export", [1]]])
def test_a_malformed_reference_is_no_value(tree: object) -> None:
    class Strict(Notebook):
        def resolve(self, expression: list[object]) -> object:
            if not isinstance(expression[1], int):
                raise TypeError("no number")
            return super().resolve(expression)

    with pytest.raises(ValueNotCloneableError, match="malformed"):
        from_expression([[tree]], Strict())
