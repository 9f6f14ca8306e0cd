"""What led to a commit, in a few words for people who look at an object's history. Effects: none."""

from __future__ import annotations

from perdure.limits import CAUSE_CHARACTERS_MAX
from perdure.web import Request


def cause_of(delivered: str | Request, *, facet: str | None) -> str:
    """What was delivered last, and to which facet; events that overlap may be taken for each other."""
    if isinstance(delivered, Request):
        path = delivered.url.partition("://")[2].partition("/")[2].partition("?")[0]
        delivered = f"{delivered.method} /{path}"
    delivered = delivered[:CAUSE_CHARACTERS_MAX]
    return delivered if facet is None else f"{facet[:CAUSE_CHARACTERS_MAX]}: {delivered}"
