"""Finder: the object that an operator's words mean, among those there are. Effects: tasks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from perdure.errors import UnknownObjectError
from perdure.objects import Directory
from perdure.server._references import FacetNames, candidates, facet_path, reference
from perdure.storage import ListedObject, ObjectKey, Store, facet_names

_AFTER_ALL_IDS: Final = b"\xff" * 33
_NAMED_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class Target:
    """What a reference names: an object, and the facet below it if `path` says so."""

    listed: ListedObject
    path: tuple[str, ...] = ()

    @property
    def key(self) -> ObjectKey:
        return self.listed.key

    @property
    def text(self) -> str:
        return reference(self.key, self.listed.name, self.path)


class Finder:
    """Looks in the journal, and into an object's own database for its facets."""

    def __init__(self, store: Store, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def find(self, text: str, *, is_deleted_too: bool = False) -> Target:
        """What `text` names. Raises UsageError, UnknownObjectError that lists what there is."""
        ways = candidates(text)
        found = [
            (listed, way.facets)
            for way in ways
            for namespace in ([way.namespace] if way.namespace is not None else list(self.namespaces()))
            for listed in self._between(namespace, way.first, way.last)
            if is_deleted_too or not listed.is_deleted
        ]
        if len(found) == 1:
            listed, facets = found[0]
            return Target(listed, await self._path(listed, facets, is_deleted_too=is_deleted_too))
        if found:
            known = ", ".join(f"`{_unmistakable(listed, facets)}`" for listed, facets in found[:_NAMED_MAX])
            raise UnknownObjectError(f"`{text[:80]}` can be read in more than one way: {known}")
        raise UnknownObjectError(f"there is no object `{text[:80]}`; {self._what_there_is(ways[0].namespace)}")

    async def _path(self, listed: ListedObject, facets: str, *, is_deleted_too: bool) -> tuple[str, ...]:
        if not facets:
            return ()
        try:
            return facet_path(facets, await self.facets(listed.key))
        except UnknownObjectError:
            if is_deleted_too:  # It may have been deleted: then its name cannot hold the sign between names.
                return tuple(facets.split("/"))
            raise

    def _between(self, namespace: str, first: bytes, last: bytes) -> list[ListedObject]:
        """The first objects whose ids lie between two, both included."""
        before = int.from_bytes(first) - 1
        after = ObjectKey(namespace, before.to_bytes(len(first)) if before >= 0 else b"")
        page = self._store.objects(namespace=namespace, after=after, limit=_NAMED_MAX)
        return [listed for listed in page if listed.key.object_id <= last]

    def _what_there_is(self, namespace: str | None) -> str:
        classes = list(self.namespaces())
        if namespace not in classes:
            return f"there are objects of {', '.join(f'`{known}`' for known in classes) or 'no class'}"
        page = self._store.objects(namespace=namespace, limit=_NAMED_MAX)
        known = [reference(listed.key, listed.name) for listed in page if not listed.is_deleted]
        more = ", …" if len(page) == _NAMED_MAX else ""
        return f"there are: {', '.join(f'`{one}`' for one in known) or 'none'}{more}"

    async def facets(self, key: ObjectKey) -> FacetNames:
        """The facets of an object, by the numbers of their parents and their names."""
        return await self._directory.visit(key, (), facet_names, cause="perdure ls")

    def namespaces(self) -> Iterator[str]:
        """The classes that have objects, or had some."""
        after: ObjectKey | None = None
        while page := self._store.objects(after=after, limit=1):
            yield page[0].key.namespace
            after = ObjectKey(page[0].key.namespace, _AFTER_ALL_IDS)


def _unmistakable(listed: ListedObject, facets: str) -> str:
    text = reference(listed.key, None)
    return f"{text}:{facets}" if facets else f"{text} ({listed.name})" if listed.name else text
