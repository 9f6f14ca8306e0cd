"""Expressions in which one value stands in several places: `["graph", tree, [tree, …]]`, with `["ref", n]` inside.

A few references can stand for a value that is astronomically large once it is printed, compared or copied without
them. So what they stand for is counted, without being made. Effects: none.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Any, Final

from perdure.limits import VALUE_COPIES_MAX, VALUE_SHARED_DEPTH_MAX

TEXT_LIKE_A_VALUE: Final = 64  # so many characters are converted in the time of one value


def check_copies(root: object, entries: list[object]) -> None:
    """Raises ValueError when the references stand for more than `VALUE_COPIES_MAX` values, or too deep ones.

    Walks as a printer would: a reference to what the walk is inside of ends there.
    """
    inside: set[int] = set()
    seen: set[int] = set()
    left = VALUE_COPIES_MAX
    waiting: list[tuple[object, int, bool]] = [(root, 0, False)]
    while waiting:
        node, depth, is_copy = waiting.pop()
        if depth < 0:
            inside.discard(node)  # the mark below
            continue
        if depth > VALUE_SHARED_DEPTH_MAX:
            raise ValueError(
                f"it is nested deeper than {VALUE_SHARED_DEPTH_MAX} levels, and some of its parts are shared"
            )
        if is_copy:
            left -= 1 + (len(node) // TEXT_LIKE_A_VALUE if isinstance(node, str) else 0)
            if left < 0:
                raise ValueError(
                    f"its shared parts make more than {VALUE_COPIES_MAX} values when each place gets a copy: share less"
                )
        if not isinstance(node, dict | list):
            continue
        if not is_reference(node):
            waiting.extend((child, depth + 1, is_copy) for child in _children(node))
            continue
        number = reference(node, len(entries))
        if is_reference(entries[number]):
            raise ValueError("it refers to a reference")
        if number not in inside:
            inside.add(number)
            waiting.append((number, -1, False))
            waiting.append((entries[number], depth, is_copy or number in seen))
            seen.add(number)


def is_reference(node: object) -> bool:
    """Whether a tree is `["ref", n]`."""
    return isinstance(node, list) and bool(node) and node[0] == "ref"


def reference(node: Any, count: int) -> int:  # noqa: ANN401  # JSON
    """The number of a reference. Raises ValueError, IndexError or TypeError when there is no such entry."""
    number = node[1]
    if type(number) is not int or not 0 <= number < count:
        raise ValueError("it refers to what is not there")
    return number


def holds_references(trees: Iterable[object]) -> bool:
    """Whether a reference stands anywhere in these trees."""
    waiting = list(trees)
    while waiting:
        node = waiting.pop()
        if is_reference(node):
            return True
        if isinstance(node, dict | list):
            waiting.extend(_children(node))
    return False


def _children(node: Any) -> Any:  # noqa: ANN401  # JSON
    """The expressions right inside one. Raises LookupError, TypeError or AttributeError when it is malformed."""
    if isinstance(node, dict):
        return node.values()
    if len(node) == 1 and isinstance(node[0], list):
        return node[0]
    match node[:1]:
        case ["map"]:
            return chain.from_iterable(node[1])
        case ["sparse"]:
            return [item for _, item in node[2]]
        case ["set"]:
            return node[1]
        case ["error"]:
            return node[4].values() if len(node) > 4 else ()  # its properties
        case _:
            return node[1:]
