"""Sections: the critical sections of one object, as a tree of which one branch is open.

One runs at a time. Others that were asked for in the same place wait behind it, in order; one that was asked for inside
it is nested, and goes first. What was started in a section belongs to it: it runs while that section is the innermost
one that is open, and is held while another is. What outlives its section belongs to the section around it.
Shared by trusted code and guests. Effects: none.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

from perdure.errors import OverloadedError, UsageError
from perdure.limits import BLOCK_CONCURRENCY_DEPTH_MAX, SECTIONS_WAITING_MAX


class Section:
    """One section of `tree`: it waits, is open, or has ended. The tree's root stands for no section at all.

    `outer` is where it was asked for: in a section of another object, when that object called this one.
    """

    __slots__ = ("depth", "is_ended", "number", "outer", "parent", "tree", "waiting")

    def __init__(self, tree: Sections, parent: Section | None, number: int, *, outer: Section | None = None) -> None:
        self.tree = tree
        self.parent = parent
        self.outer = outer
        self.number = number
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.is_ended = False
        self.waiting: list[Section] = []


class Sections:
    """See the module. `innermost` is the open section that has no open one inside, or the root."""

    __slots__ = ("_count", "_waiting", "innermost", "root")

    def __init__(self) -> None:
        self._count = 0
        self._waiting = 0
        self.root = Section(self, None, 0)
        self.innermost = self.root

    def request(self, inside: Section | None) -> Section:
        """A section that waits for its turn. `inside`: where it was asked for. Raises UsageError, OverloadedError."""
        parent = self.living(inside)
        if parent.depth >= BLOCK_CONCURRENCY_DEPTH_MAX:
            raise UsageError(
                f"blockConcurrencyWhile() calls are nested too deeply: the limit is {BLOCK_CONCURRENCY_DEPTH_MAX}"
            )
        if self._waiting >= SECTIONS_WAITING_MAX:
            raise OverloadedError(
                f"{SECTIONS_WAITING_MAX} critical sections of this object wait already: await some of them first"
            )
        self._count += 1
        self._waiting += 1
        section = Section(self, parent, self._count, outer=inside)
        parent.waiting.append(section)
        return section

    def next_or_none(self) -> Section | None:
        """The section whose turn it is."""
        return self.innermost.waiting[0] if self.innermost.waiting else None

    def open_next(self) -> Section:
        """Open the section whose turn it is."""
        self.innermost = self.innermost.waiting.pop(0)
        self._waiting -= 1
        return self.innermost

    def withdraw(self, section: Section) -> None:
        """A section that waits is not wanted any more."""
        assert section.parent is not None, "the root is no section that could wait"
        section.parent.waiting.remove(section)
        self._waiting -= 1
        section.is_ended = True

    def end(self, section: Section) -> None:
        """An open section is over. What still waits inside it waits around it now.

        One that still has an open section inside ends with that.
        """
        assert section.parent is not None, "the root does not end"
        section.is_ended = True
        for waiting in section.waiting:
            waiting.parent = section.parent
        section.parent.waiting[:0] = section.waiting
        section.waiting = []
        while self.innermost.is_ended and self.innermost.parent is not None:
            self.innermost = self.innermost.parent

    def living(self, section: Section | None) -> Section:
        """Where something belongs that was started in `section`: the nearest section around that has not ended."""
        while section is not None and section.tree is not self:  # Code of another object runs in the same task.
            section = section.outer
        if section is None:
            return self.root
        while section.is_ended and section.parent is not None:
            section = section.parent
        return section

    def may_run(self, section: Section | None) -> bool:
        """Whether what was started in `section` may go on now."""
        return self.living(section) is self.innermost


CURRENT_SECTION: Final[ContextVar[Section | None]] = ContextVar("perdure_section", default=None)
"""The section in which Python code runs, of whichever object; tasks and timers take it along."""
