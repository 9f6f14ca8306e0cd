"""What `interpreter.py` must do, in plain dicts: no disk, no gates, no turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

Operation = Sequence[Any]


class FailedError(Exception):
    """The operation failed as asked: what was done before it stays."""


class AbortedError(Exception):
    """The object reset itself: what was done before in this turn is gone."""


@dataclass
class Node:
    """One object or facet: what it stores, what it remembers, what is below it."""

    entries: dict[str, Any] = field(default_factory=dict)
    rows: dict[int, str] = field(default_factory=dict)
    facets: dict[str, Node] = field(default_factory=dict)
    turns: int = 0
    alarm_in_s: float | None = None

    def stored(self) -> object:
        """Everything that outlives it."""
        below = {name: facet.stored() for name, facet in sorted(self.facets.items())}
        return [self.sorted_entries(), [list(row) for row in sorted(self.rows.items())], below]

    def wait(self, seconds: float) -> None:
        """Time passes, here and below: alarms that are due ring."""
        if self.alarm_in_s is not None:
            self.alarm_in_s -= seconds
            if self.alarm_in_s <= 0:
                self.alarm_in_s = None
                self.entries["rang"] = self.entries.get("rang", 0) + 1
        for facet in self.facets.values():
            facet.wait(seconds)

    def sorted_entries(self) -> list[list[Any]]:
        """In the order of the keys' UTF-8 bytes."""
        return [[key, self.entries[key]] for key in sorted(self.entries, key=str.encode)]

    def forget_memory(self) -> None:
        """It was evicted, or reset, and so was everything below it."""
        self.turns = 0
        for facet in self.facets.values():
            facet.forget_memory()

    def count_a_turn(self) -> None:
        """It was asked what it holds, and so was everything below it."""
        self.turns += 1
        for facet in self.facets.values():
            facet.count_a_turn()

    def at(self, path: Sequence[str]) -> Node:
        """The facet at `path`, which is made on the way if it was not there."""
        node = self
        for name in path:
            node = node.facets.setdefault(name, Node())
        return node

    def states_on_the_way(self, path: Sequence[str], operations: Sequence[Operation]) -> Iterator[Node]:
        """What a crash may leave of one turn at `path`: each facet that was made on the way, then all of it."""
        for depth in range(1, len(path) + 1):
            self.at(path[:depth])
            yield deepcopy(self)
        self.at(path).run(operations)
        yield deepcopy(self)

    def run(self, operations: Sequence[Operation]) -> list[Any]:
        """One turn. Raises FailedError or AbortedError, as asked."""
        self.turns += 1
        before = deepcopy(self)
        try:
            return [self.turns, [self.do(*operation) for operation in operations]]
        except AbortedError:
            self.__dict__.update(before.__dict__)
            self.forget_memory()
            raise

    def do(self, verb: str, *operands: Any) -> Any:  # whatever was stored
        """One operation."""
        match verb, operands:
            case "put", (key, value):
                self.entries[key] = value
            case "get", (key,):
                return self.entries.get(key)
            case "delete", (key,):
                return self.entries.pop(key, None) is not None
            case "batch", (entries, unwanted):
                self.entries.update(dict(entries))
                for key in unwanted:
                    self.entries.pop(key, None)
            case "entries", ():
                return self.sorted_entries()
            case "insert", (number, text):
                self.rows[number] = text
            case "remove", (number,):
                self.rows.pop(number, None)
            case "rows", ():
                return [list(row) for row in sorted(self.rows.items())]
            case "transaction", (operations, fails):
                return self._transaction(operations, fails=fails)
            case "open", (operations, fails, _):
                return self._transaction(operations, fails=fails)
            case "forget", ():
                self.entries, self.rows, self.facets, self.alarm_in_s = {}, {}, {}, None
            case "alarm", (seconds,):
                self.alarm_in_s = seconds
            case "no_alarm", ():
                self.alarm_in_s = None
            case _:
                return self._manage(verb, *operands)
        return None

    def _transaction(self, operations: Sequence[Operation], *, fails: bool) -> list[Any]:
        before = deepcopy((self.entries, self.rows, self.alarm_in_s))
        results = [self.do(*operation) for operation in operations]
        if fails:
            self.entries, self.rows, self.alarm_in_s = before
        return results

    def _manage(self, verb: str, *operands: Any) -> Any:  # whatever was stored
        match verb, operands:
            case "facets", ():
                return sorted(self.facets)
            case "delete_facet", (name,):
                self.facets.pop(name, None)
            case "abort_facet", (name,):
                if name in self.facets:
                    self.facets[name].forget_memory()
            case "clone", (source, target):
                self._clone(source, target)
            case "fail", ():
                raise FailedError
            case "abort", ():
                raise AbortedError
            case _:
                raise AssertionError(f"no such operation: {verb} {operands}")
        return None

    def _clone(self, source: str, target: str) -> None:
        former = self.facets.get(target) if source == target else self.facets.pop(target, None)
        if former is not None:
            former.forget_memory()
        if source in self.facets and source != target:
            copy = self.facets[target] = deepcopy(self.facets[source])
            copy.forget_memory()
