"""`ctx.facets`: child objects with databases of their own, under this object's supervision.

Effects: none (it asks `FacetCalls`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from perdure.api._stubs import Stub
from perdure.errors import FacetError
from perdure.limits import FACET_NAME_BYTES_MAX

if TYPE_CHECKING:
    from perdure.api._host_calls import FacetCalls, StartFacet


class DurableObjectClass:
    """A class that can run as a facet: from `worker.get_durable_object_class(name)` or `ctx.exports.Name`.

    It is a handle: what is behind it belongs to the host.
    """

    __slots__ = ("definition", "props")

    def __init__(self, definition: object, *, props: object = None) -> None:
        self.definition = definition
        self.props = {} if props is None else props

    def __call__(self, *, props: object = None) -> DurableObjectClass:
        """The same class with these props, as `ctx.exports.Name(props=…)`."""
        return DurableObjectClass(self.definition, props=props)


@dataclass(frozen=True, slots=True)
class FacetOptions:
    """What a facet's start callback returns: the class to run and, if wanted, an id of its own.

    `id`: the facet's `ctx.id` as plain text; by default a facet has an id and the name of its own, not its parent's.
    """

    cls: object
    id: str | None = None


def facet_options(answer: object) -> tuple[DurableObjectClass | type, str | None]:
    """What a start callback returned, checked. Raises FacetError."""
    kind: object
    identity: object
    if isinstance(answer, FacetOptions):
        kind, identity = answer.cls, answer.id
    elif isinstance(answer, Mapping):
        kind, identity = answer.get("class", answer.get("cls")), answer.get("id")
    else:
        kind, identity = answer, None
    kind = getattr(kind, "durable_object_class", kind)  # a namespace of ctx.exports may stand for its class
    if not isinstance(kind, DurableObjectClass | type):
        raise FacetError(
            f"the start callback of a facet returned `{type(answer).__name__}`: return "
            'FacetOptions(cls=worker.get_durable_object_class("App"))'
        )
    return kind, None if identity is None else str(identity)


class Facets:
    """The facets of this object, by name."""

    __slots__ = ("_calls",)

    def __init__(self, calls: FacetCalls) -> None:
        self._calls = calls

    def get(self, name: str, start: StartFacet) -> Stub:
        """A stub for facet `name`. Nothing runs yet: `start` is called when the stub is used and the facet is cold."""
        if not callable(start):
            raise FacetError(
                f"facets.get(`{name}`, start): start is a function that returns FacetOptions, not "
                f"`{type(start).__name__}`"
            )
        return Stub(self._calls.get(facet_name(name), start))

    def abort(self, name: str, reason: str = "the facet was aborted by its parent") -> None:
        """Stop facet `name` and its descendants: calls under way fail with `reason`.

        Data stays; the next use starts it anew.
        """
        self._calls.abort(facet_name(name), str(reason))

    def delete(self, name: str) -> None:
        """Stop facet `name` and forget its data and that of its descendants. Its number is never used again."""
        self._calls.delete(facet_name(name))

    def list(self) -> list[str]:
        """The names of the facets that have data, sorted."""
        return self._calls.list()


def facet_name(name: object) -> str:
    """`name`, checked. Raises FacetError."""
    if not isinstance(name, str) or not name:
        raise FacetError(f"a facet's name is a string with at least one character, not `{name!r}`")
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > FACET_NAME_BYTES_MAX:
        raise FacetError(
            f"Facet name is too long (max {FACET_NAME_BYTES_MAX} characters): `{name[:32]}…` is {size} bytes; use "
            "a hash of it"
        )
    return name
