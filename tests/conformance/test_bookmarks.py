"""Bookmarks name states of an object; restores and rewinds go back to them (case E16, and beyond)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from tests.conformance.flavours import Subject, failure

pytestmark = pytest.mark.subject("bookmarks")


async def begin_anew(subject: Subject) -> None:
    assert str(await failure(subject.call("restart"))) == "restarted"
    subject.renew()


async def test_case_e16_bookmarks_grow(subject: Subject) -> None:
    bookmarks = []
    for round_ in range(3):
        bookmarks.append(await subject.call("current"))
        bookmarks.append(await subject.call("putAndCurrent", "k", round_))
        await subject.world.advance(1)
        bookmarks.append(await subject.call("current"))
        await subject.world.advance(25)  # It is evicted.
        bookmarks.append(await subject.call("current"))
        await (subject.crash if round_ else subject.restart)()
        await subject.world.advance(1)  # To start a process takes time.

    assert all(former < later for former, later in pairwise(bookmarks)), bookmarks


async def test_a_restore_happens_at_the_next_start_and_can_be_taken_back(subject: Subject) -> None:
    before = await subject.call("putAndCurrent", "k", "before")
    await subject.call("put", "k", "after")

    undo = await subject.call("restore", before)
    assert await subject.call("read", "k") == "after"
    await subject.call("put", "late", "written before the restart")
    await begin_anew(subject)

    assert await subject.call("read", "k") == "before"
    assert await subject.call("read", "late") is None
    await subject.call("restore", undo)
    await begin_anew(subject)
    assert await subject.call("read", "k") == "after"
    assert await subject.call("read", "late") == "written before the restart"


async def test_a_facet_restores_itself_alone(subject: Subject) -> None:
    before = await subject.call("ofFacet", "x", "putAndCurrent", "k", "before")
    await subject.call("ofFacet", "x", "put", "k", "after")
    await subject.call("put", "k", "of the parent")

    await subject.call("ofFacet", "x", "restore", before)
    await failure(subject.call("ofFacet", "x", "restart"))

    assert await subject.call("ofFacet", "x", "read", "k") == "before"
    assert await subject.call("read", "k") == "of the parent"


async def test_a_supervisor_rewinds_a_facet(subject: Subject) -> None:
    await subject.call("ofFacet", "x", "put", "k", "before")
    before = await subject.call("current")
    await subject.call("ofFacet", "x", "put", "k", "after")
    await subject.call("put", "k", "of the parent")

    undo = await subject.call("rewindFacet", "x", before)

    assert await subject.call("ofFacet", "x", "read", "k") == "before"
    assert await subject.call("read", "k") == "of the parent"
    await subject.call("drop", "x")
    assert await subject.call("names") == []
    await subject.call("rewindFacet", "x", undo)
    assert await subject.call("names") == ["x"]
    assert await subject.call("ofFacet", "x", "read", "k") == "after"


async def test_a_bookmark_for_a_time(subject: Subject) -> None:
    await subject.call("put", "k", 1)
    then = subject.world.clock.now_ms()
    await subject.world.advance(5)
    await subject.call("put", "k", 2)

    bookmark = await subject.call("at", then)

    assert bookmark < await subject.call("current")
    await subject.call("restore", bookmark)
    await begin_anew(subject)
    assert await subject.call("read", "k") == 1


@pytest.mark.parametrize(
    ("method", "argument", "text"),
    [
        ("restore", "yesterday", "no bookmark"),
        ("restore", "00000000000fffff-0000000000000000", "names record"),
        ("at", 1, "before that"),
        ("at", 250_000_000_000_000, "still to come"),
    ],
)
async def test_what_names_no_state_is_refused(subject: Subject, method: str, argument: object, text: str) -> None:
    await subject.call("put", "k", 1)

    assert text in str(await failure(subject.call(method, argument)))
    assert await subject.call("read", "k") == 1
