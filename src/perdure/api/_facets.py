"""`ctx.facets`: child objects with databases of their own, under this object's supervision.

Effects: none (it asks `FacetCalls`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from perdure.api._alarms import past_ms
from perdure.api._stubs import Stub
from perdure.api._supervision import Budget, FacetEvent, FacetLimits, FacetUsage, numbers_of
from perdure.errors import FacetError, ValueNotCloneableError
from perdure.limits import FACET_LIST_PAGE_NAMES, FACET_NAME_BYTES_MAX

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
        return type(self)(self.definition, props=props)


@dataclass(frozen=True, slots=True)
class FacetOptions:
    """What a facet's start callback returns: the class to run and, if wanted, its id and what bounds it.

    `id`: the facet's `ctx.id` as plain text; by default a facet has an id and the name of its own, not its parent's.
    `inherit_id`: it has its parent's id and name, as the reference system gives it.
    `limits`, `budget`: see FacetLimits and Budget.
    """

    cls: object
    id: str | None = None
    inherit_id: bool = False
    limits: FacetLimits | None = None
    budget: Budget | None = None


class FacetStub(Stub):
    """A handle on a facet. It belongs to the facet's parent: it cannot be stored or sent."""

    cannot_be_serialized: ClassVar[str] = (
        "Durable Object facets are not serializable: a facet's stub stays with its parent; give others a method of the "
        "parent that calls it"
    )

    def _lent(self) -> None:
        return None


def facet_options(answer: object) -> FacetOptions:
    """What a start callback returned, checked: its `cls` is a handle or a class. Raises FacetError."""
    if isinstance(answer, FacetOptions):
        options = answer
    elif isinstance(answer, Mapping):
        inherit_id = answer.get("inherit_id", answer.get("inheritId", False))
        options = FacetOptions(
            answer.get("class", answer.get("cls")),
            answer.get("id"),
            inherit_id=bool(inherit_id),
            limits=answer.get("limits"),
            budget=answer.get("budget"),
        )
    else:
        options = FacetOptions(answer)
    # A namespace of ctx.exports may stand for its class.
    kind = getattr(options.cls, "durable_object_class", options.cls)
    if not isinstance(kind, DurableObjectClass | type):
        raise FacetError(
            f"the start callback of a facet returned `{type(answer).__name__}`: return "
            'FacetOptions(cls=worker.get_durable_object_class("App"))'
        )
    if options.inherit_id and options.id is not None:
        raise FacetError(f"a facet has the id `{options.id}`, or its parent's (inherit_id), not both")
    return replace(
        options,
        cls=kind,
        id=None if options.id is None else str(options.id),
        limits=numbers_of(FacetLimits, options.limits, "limits"),
        budget=None if options.budget is None else numbers_of(Budget, options.budget, "the budget"),
    )


class Facets:
    """The facets of this object, by name."""

    __slots__ = ("_calls",)

    def __init__(self, calls: FacetCalls) -> None:
        self._calls = calls

    def get(self, name: str, start: StartFacet | None = None) -> FacetStub:
        """A stub for facet `name`. Nothing runs yet: `start` is called when the stub is used and the facet is cold.

        Without `start` the method `start_facet(self, name)` of this object's class is called. It is also what wakes a
        facet whose alarm is due.
        """
        if start is None:
            start = self._calls.start_by_name(facet_name(name))
        if not callable(start):
            raise FacetError(
                f"facets.get(`{name}`, start): start is a function that returns FacetOptions, not "
                f"`{type(start).__name__}`"
            )
        return FacetStub(self._calls.get(facet_name(name), start))

    def abort(self, name: str, reason: str = "the facet was aborted by its parent") -> None:
        """Stop facet `name` and its descendants: calls under way fail with `reason`.

        Data stays; the next use starts it anew.
        """
        self._calls.abort(facet_name(name), str(reason))

    def delete(self, name: str) -> None:
        """Stop facet `name` and forget its data and that of its descendants. Its number is never used again."""
        self._calls.delete(facet_name(name))

    def clone(self, source: str, target: str) -> Awaitable[None]:
        """Stop facet `target` and make it a copy of facet `source`, with all facets below it; `source` goes on.

        Whoever uses `target` waits until it is done, so awaiting this only tells when, and whether it failed. When
        `source` never existed `target` is empty afterwards; when both are one facet it is only stopped.
        """
        return self._calls.clone(facet_name(source), facet_name(target))

    def list(self, *, start_after: str = "", limit: int | None = None) -> list[str]:
        """The names of the facets that exist, sorted: those behind `start_after`, `limit` of them at most."""
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 0):
            raise FacetError(f"facets.list(limit=…) takes a whole number from 0 on, not `{limit!r}`")
        names: list[str] = []
        while limit is None or len(names) < limit:
            wanted = FACET_LIST_PAGE_NAMES if limit is None else min(limit - len(names), FACET_LIST_PAGE_NAMES)
            page = self._calls.list(names[-1] if names else start_after, wanted)
            names += page
            if len(page) < wanted:
                break
        return names

    def rewind(self, name: str, to: str | datetime | int) -> Awaitable[str]:
        """Bring facet `name`, with all below it, back to a bookmark or a time; the bookmark that takes it back.

        A bookmark is this object's: of `storage.get_current_bookmark()` here, or in any of its facets. What runs in
        the facet is reset, and its callers hear an ObjectResetError that may be retried. Raises BookmarkError.
        """
        return self._calls.rewind(facet_name(name), to if isinstance(to, str) else past_ms(to))

    def usage(self, name: str | None = None) -> Awaitable[FacetUsage]:
        """What facet `name` and all facets below it hold and have used. Raises FacetError when it does not exist.

        Without a name: all facets of this object together; storage then includes its own database.
        """
        return self._calls.usage(None if name is None else facet_name(name))

    def set_budget(self, name: str, budget: Budget | None) -> None:
        """Give facet `name`, which is in memory, another budget. When it starts anew its start callback says again."""
        checked = None if budget is None else numbers_of(Budget, budget, "the budget")
        self._calls.set_budget(facet_name(name), checked)

    def events(self) -> AsyncIterator[FacetEvent]:
        """What happens in the facets of this object and below, from now on; for trusted supervisors.

        Ends when this object is evicted or reset. Whoever reads too slowly loses the oldest events, and is told how
        many. Read it in a task (`asyncio.create_task`): work given to `wait_until` would keep the object in memory.
        """
        return self._calls.events()


def refuse_facet_stubs(value: object) -> None:
    """Raise ValueNotCloneableError if `value` holds a facet's stub: for what trusted code gets without a copy."""
    if isinstance(value, FacetStub):
        raise ValueNotCloneableError(value.cannot_be_serialized)
    if isinstance(value, Mapping):
        for item in value.values():
            refuse_facet_stubs(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            refuse_facet_stubs(item)


def no_start_facet(name: str, whose: str) -> FacetError:
    """The error when facet `name` is to be started by its name, and the class of its parent cannot."""
    return FacetError(
        f"facet `{name}` of `{whose}` has no start callback, and the class no method `start_facet(self, name)` that "
        "would stand for it: give facets.get(name, start) a callback, or define the method"
    )


def facet_name(name: object) -> str:
    """`name`, checked. Raises FacetError."""
    if not isinstance(name, str) or not name:
        raise FacetError(f"a facet's name is a string with at least one character, not `{name!r}`")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise FacetError(f"facet name `{name[:32]!r}` is no text, it has half a character at {error.start}") from None
    if size > FACET_NAME_BYTES_MAX:
        raise FacetError(
            f"Facet name is too long (max {FACET_NAME_BYTES_MAX} characters): `{name[:32]}…` is {size} bytes; use "
            "a hash of it"
        )
    return name
