"""Critical sections as a tree: who runs, who waits, who is held."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from perdure.api import Section, Sections
from perdure.errors import OverloadedError, UsageError
from perdure.limits import BLOCK_CONCURRENCY_DEPTH_MAX, SECTIONS_WAITING_MAX


def opened(sections: Sections, inside: Section | None = None) -> Section:
    section = sections.request(inside)
    assert sections.open_next() is section
    return section


def test_21_sections_asked_for_together_run_one_after_the_other() -> None:
    sections = Sections()
    first, second = sections.request(None), sections.request(None)

    assert sections.open_next() is first
    assert sections.next_or_none() is None
    sections.end(first)
    assert sections.open_next() is second


def test_a_nested_section_goes_before_those_that_wait_outside() -> None:
    sections = Sections()
    outer, other = sections.request(None), sections.request(None)
    sections.open_next()
    inner = sections.request(outer)

    assert sections.open_next() is inner
    sections.end(inner)
    assert sections.next_or_none() is None
    sections.end(outer)
    assert sections.next_or_none() is other


def test_what_belongs_elsewhere_is_held() -> None:
    sections = Sections()
    outer = opened(sections)
    inner = opened(sections, outer)

    assert [sections.may_run(section) for section in (None, outer, inner)] == [False, False, True]
    sections.end(inner)
    assert [sections.may_run(section) for section in (None, outer, inner)] == [False, True, True]
    sections.end(outer)
    assert [sections.may_run(section) for section in (None, outer, inner)] == [True, True, True]


def test_what_waits_inside_a_section_that_ends_waits_around_it() -> None:
    sections = Sections()
    outer = opened(sections)
    late, later = sections.request(outer), sections.request(None)

    sections.end(outer)

    assert sections.open_next() is late
    sections.end(late)
    assert sections.open_next() is later


def test_a_section_that_ends_around_an_open_one_ends_with_it() -> None:
    sections = Sections()
    outer = opened(sections)
    inner = opened(sections, outer)

    sections.end(outer)
    assert sections.innermost is inner
    sections.end(inner)

    assert sections.innermost is sections.root


def test_23_sections_are_nested_so_deep_and_no_deeper() -> None:
    sections = Sections()
    section: Section | None = None
    for _ in range(BLOCK_CONCURRENCY_DEPTH_MAX):
        section = opened(sections, section)

    with pytest.raises(UsageError, match="nested too deeply"):
        sections.request(section)


def test_not_without_bound_may_wait() -> None:
    sections = Sections()
    waiting = [sections.request(None) for _ in range(SECTIONS_WAITING_MAX)]

    with pytest.raises(OverloadedError, match="critical sections of this object wait already"):
        sections.request(None)
    sections.withdraw(waiting[5])
    sections.request(None)


def test_sections_of_another_object_mean_nothing_but_lead_back() -> None:
    mine, others = Sections(), Sections()
    own = opened(mine)
    foreign = others.request(own)

    assert others.living(own) is others.root
    assert mine.living(foreign) is own


class Machine(RuleBasedStateMachine):
    """Beside a model: paths of numbers, one open at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.sections = Sections()
        self.open: list[Section] = []
        self.all: list[Section] = []
        self.waiting: list[Section] = []

    @precondition(lambda self: len(self.open) < 6)
    @rule(data=st.data())
    def request(self, data: st.DataObject) -> None:
        has_run = [section for section in self.all if section not in self.waiting]
        inside = data.draw(st.sampled_from([None, *has_run]))
        section = self.sections.request(inside)
        self.all.append(section)
        self.waiting.append(section)

    @rule()
    def open_next(self) -> None:
        around = self.open[-1] if self.open else self.sections.root
        expected = [section for section in self.waiting if self.sections.living(section.parent) is around]
        found = self.sections.next_or_none()
        assert (found is None) == (not expected)
        if found is not None:
            assert found in expected
            assert self.sections.open_next() is found
            self.waiting.remove(found)
            self.open.append(found)

    @precondition(lambda self: self.open)
    @rule()
    def end(self) -> None:
        self.sections.end(self.open.pop())

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        section = data.draw(st.sampled_from(self.waiting))
        self.waiting.remove(section)
        self.all.remove(section)
        self.sections.withdraw(section)

    @invariant()
    def one_branch_is_open(self) -> None:
        innermost = self.open[-1] if self.open else self.sections.root
        assert self.sections.innermost is innermost
        running = [section for section in self.all if section not in self.waiting and self.sections.may_run(section)]
        assert all(section is innermost or section.is_ended for section in running)


TestSections = Machine.TestCase
TestSections.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
