"""How people name an object or a facet: `Class/name`, `Class/hexid`, `#hexid`, each with `:facet/path` behind it.

A name may hold `/` and `:` itself, and `#hexid` may be cut short, so what a text means depends on what there is: it is
read in every way that leads to something, and refused when that is not exactly one. Effects: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from perdure.api import JURISDICTIONS
from perdure.errors import UnknownObjectError, UsageError
from perdure.objects import IdFactory
from perdure.storage import ObjectKey

_HEX: Final = re.compile(r"[0-9a-fA-F]{4,64}")
_ID_DIGITS: Final = 64
_PLAIN: Final = re.compile(r"[\w.@ +=-][\w.@ +=/-]*")

Path = tuple[str, ...]
"""The names of facets from the root's child down."""

FacetNames = Mapping[int, Mapping[str, int]]
"""The facets of an object: by the number of their parent (0 is the root), by name, their numbers."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to read a reference: ids from `first` to `last` in `namespace`, None for any; then facets' names."""

    namespace: str | None
    first: bytes
    last: bytes
    facets: str


def candidates(text: str) -> list[Candidate]:
    """Every way to read `text`. Raises UsageError when there is none."""
    if text.startswith("#"):
        digits, _, facets = text[1:].partition(":")
        if not _HEX.fullmatch(digits):
            raise UsageError(f"`{text[:80]}` is no id: write `#` and 4 to {_ID_DIGITS} hex digits of it")
        return [_of_digits(None, digits, facets)]
    namespace, slash, rest = text.partition("/")
    if not slash or not namespace or not rest:
        raise UsageError(f"`{text[:80]}` names no object: write `Class/name`, `Class/hexid` or `#hexid`")
    return list(_in_namespace(namespace, rest))


@lru_cache(maxsize=64)
def _ids(namespace: str) -> IdFactory:
    return IdFactory(namespace)


def _in_namespace(namespace: str, rest: str) -> Iterator[Candidate]:
    ids = _ids(namespace)
    places = [place for place, character in enumerate(rest) if character == ":" and place]
    for place in [len(rest), *places]:
        name, facets = rest[:place], rest[place + 1 :]
        for jurisdiction in (None, *JURISDICTIONS):
            identity = ids.from_name(name, jurisdiction)
            yield Candidate(namespace, identity, identity, facets)
        if len(name) == _ID_DIGITS and _HEX.fullmatch(name):
            yield _of_digits(namespace, name, facets)


def _of_digits(namespace: str | None, digits: str, facets: str) -> Candidate:
    first, last = (bytes.fromhex(digits.ljust(_ID_DIGITS, fill)) for fill in "0f")
    return Candidate(namespace, first, last, facets)


def facet_path(text: str, names: FacetNames) -> tuple[str, ...]:
    """The facets' names in `text`, from the root's child down. Raises UnknownObjectError that lists what there is."""
    paths = list(_paths(text, names, 0)) if text else [()]
    if len(paths) == 1:
        return paths[0]
    there = ", ".join(f"`{path}`" for path in list(all_paths(names))[:20]) or "none"
    what = "can be read in more than one way" if paths else "is no facet of it"
    raise UnknownObjectError(f"`{text[:80]}` {what}; its facets are: {there}")


def _paths(text: str, names: FacetNames, parent: int) -> Iterator[tuple[str, ...]]:
    for name, number in names.get(parent, {}).items():
        if name == text:
            yield (name,)
        elif text.startswith(f"{name}/"):
            for below in _paths(text[len(name) + 1 :], names, number):
                yield (name, *below)


def all_paths(names: FacetNames, parent: int = 0, above: str = "") -> Iterator[str]:
    """The paths of all facets, each parent before its children."""
    for name, number in names.get(parent, {}).items():
        yield above + name
        yield from all_paths(names, number, f"{above}{name}/")


def facet_paths(
    names: FacetNames, parent: int = 0, above: tuple[str, ...] = ()
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The facets by number, with their names from the root's child down."""
    for name, number in names.get(parent, {}).items():
        yield number, (*above, name)
        yield from facet_paths(names, number, (*above, name))


def reference(key: ObjectKey, name: str | None, facets: tuple[str, ...] = ()) -> str:
    """A text that names the object, or its facet, and nothing else: for commands that are printed."""
    is_clear = name is not None and _PLAIN.fullmatch(name) and not (len(name) == _ID_DIGITS and _HEX.fullmatch(name))
    if is_clear and name is not None:  # An object of a jurisdiction shares its name with one of none.
        is_clear = _ids(key.namespace).from_name(name) == key.object_id
    text = f"{key.namespace}/{name}" if is_clear else f"#{key.object_id.hex()}"
    return f"{text}:{'/'.join(facets)}" if facets else text
