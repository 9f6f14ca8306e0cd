"""What an object's code may do with its alarm, whichever language it is in. Effects: disk."""

from __future__ import annotations

from perdure.errors import FacetError
from perdure.objects._actor import Actor


def set_alarm(actor: Actor, at_ms: int | None, *, is_confirmed: bool) -> None:
    """Within a turn: set the alarm, or delete it. Raises FacetError for a facet that it could not wake."""
    if at_ms is None:
        actor.database.alarm.delete(is_confirmed=is_confirmed)
        return
    _check_can_be_woken(actor)
    actor.database.alarm.set(at_ms, now_ms=actor.clock.now_ms(), is_confirmed=is_confirmed)


def _check_can_be_woken(actor: Actor) -> None:
    """Raise FacetError when a parent on the way to this facet cannot start it by name."""
    facet, parent = actor, actor.parent
    while parent is not None:
        if parent.facets is None or not parent.facets.can_wake:
            raise FacetError(
                f"Facets currently cannot set alarms under a parent that cannot start them by name: `{facet.label}` "
                f"has the parent `{parent.label}`, whose class needs a method `start_facet(self, name)` (JavaScript: "
                "`startFacet(name)`) that returns what the start callback of ctx.facets.get returns"
            )
        facet, parent = parent, parent.parent
