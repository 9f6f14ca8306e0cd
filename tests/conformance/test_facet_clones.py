"""Facets become copies of others (spec 4.6; cases 71 and 72)."""

from __future__ import annotations

import pytest
from tests.conformance.flavours import Subject, failure, type_name

from perdure.limits import KIB

pytestmark = pytest.mark.subject("levers")

TREE = (["src"], ["src", "one"], ["src", "two"])


async def filled(subject: Subject) -> None:
    for path in TREE:
        await subject.call("relay", path, "put", "n", "/".join(path))


async def test_case_71_a_clone_has_everything_and_is_independent(subject: Subject) -> None:
    await filled(subject)

    await subject.call("clone", "src", "dst")

    for path in TREE:
        assert await subject.call("relay", ["dst", *path[1:]], "read", "n") == "/".join(path)
    await subject.call("relay", ["dst", "one"], "put", "n", "mine")
    await subject.call("relay", ["src", "two"], "put", "n", "still mine")
    assert await subject.call("relay", ["src", "one"], "read", "n") == "src/one"
    assert await subject.call("relay", ["dst", "two"], "read", "n") == "src/two"
    assert await subject.call("names") == ["dst", "src"]
    assert await subject.call("relay", ["dst"], "names") == ["one", "two"]


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_71_a_clone_survives(subject: Subject, how: str) -> None:
    await filled(subject)
    # A guest's clone begins when its turn has ended, so only who awaits it knows that it is done.
    await subject.call("cloneUnawaited" if subject.flavour == "trusted" else "clone", "src", "dst")

    await getattr(subject, how)()

    for path in TREE:
        assert await subject.call("relay", ["dst", *path[1:]], "read", "n") == "/".join(path)
        assert await subject.call("relay", path, "read", "n") == "/".join(path)


async def test_case_71_the_original_goes_on(subject: Subject) -> None:
    await filled(subject)
    await subject.call("keep", "src", "src")
    assert await subject.call("useKept", "src") == 1

    assert await subject.call("putAndClone", "src", "dst") == "just now"

    assert await subject.call("useKept", "src") == 2


async def test_case_71_what_a_cold_facet_holds_is_cloned(subject: Subject) -> None:
    await filled(subject)
    await subject.world.settle()
    await subject.evict()

    await subject.call("clone", "src", "dst")

    assert await subject.call("relay", ["dst", "one"], "read", "n") == "src/one"


async def test_case_72_what_was_there_before_is_gone(subject: Subject) -> None:
    await filled(subject)
    await subject.call("relay", ["dst"], "put", "n", "old")
    await subject.call("relay", ["dst", "old"], "put", "n", "old")
    await subject.call("keep", "dst", "dst")
    await subject.call("useKept", "dst")

    await subject.call("clone", "src", "dst")

    assert await subject.call("relay", ["dst"], "names") == ["one", "two"]
    assert await subject.call("relay", ["dst"], "read", "n") == "src"
    assert await subject.call("relay", ["dst", "old"], "read", "n") is None
    assert str(await failure(subject.call("useKept", "dst"))) == "Facet was cloned-over."


async def test_case_72_a_clone_of_nothing_is_empty(subject: Subject) -> None:
    await subject.call("relay", ["dst"], "put", "n", "old")

    await subject.call("clone", "never", "dst")

    assert await subject.call("names") == []
    assert await subject.call("relay", ["dst"], "read", "n") is None


async def test_case_72_a_facet_cloned_onto_itself_is_only_stopped(subject: Subject) -> None:
    await filled(subject)
    await subject.call("keep", "src", "src")
    await subject.call("useKept", "src")

    await subject.call("clone", "src", "src")

    assert str(await failure(subject.call("useKept", "src"))) == "Facet was cloned-over."
    assert await subject.call("relay", ["src"], "count") == 1
    assert await subject.call("relay", ["src", "one"], "read", "n") == "src/one"


async def test_clones_of_clones_come_in_order(subject: Subject) -> None:
    await filled(subject)

    await subject.call("cloneUnawaited", "src", "a")
    await subject.call("cloneUnawaited", "a", "b")
    await subject.call("deleteFacet", "a")

    assert await subject.call("relay", ["b", "two"], "read", "n") == "src/two"
    assert await subject.call("relay", ["a"], "read", "n") is None


async def test_a_large_clone_is_page_for_page(subject: Subject) -> None:
    await subject.call("relay", ["src"], "fill", 900 * KIB)
    before = await subject.call("usage", "src")

    await subject.call("clone", "src", "dst")

    after = await subject.call("usage", "dst")
    assert after["pages"] == before["pages"]
    assert after["requests"] == 0


async def test_case_67_names_of_clones_have_a_length(subject: Subject) -> None:
    for names in (("x" * 257, "a"), ("a", "x" * 257)):
        error = await failure(subject.call("clone", *names))
        assert "Facet name is too long (max 256 characters)" in str(error)


async def test_a_clone_that_is_too_many_leaves_everything_as_it_was(subject: Subject) -> None:
    limits = {"facets": 3}
    await subject.call("relayUnder", "a", limits, None, "put", "n", 1)
    for name in ("one", "two"):
        await subject.call("relay", ["a", name], "put", "n", name)
    await subject.call("relay", ["a", "one", "deep"], "put", "n", "deep")

    error = await failure(subject.call("relay", ["a"], "clone", "one", "three"))

    assert "may have 3 facets at once" in str(error)
    assert await subject.call("relay", ["a"], "names") == ["one", "two"]


async def test_clones_stay_below_the_quota_of_their_tree(subject: Subject) -> None:
    limits = {"treeBytes": 400 * KIB}
    await subject.call("relayUnder", "a", limits, None, "put", "n", 1)
    await subject.call("relay", ["a", "one"], "fill", 150 * KIB)
    await subject.call("relay", ["a"], "clone", "one", "two")

    error = await failure(subject.call("relay", ["a"], "clone", "one", "three"))

    assert type_name(error) == "QuotaExceededError"
    assert "may have 409600 bytes together (`tree_bytes`)" in str(error)
    used = (await subject.call("usage", "a"))["databaseBytes"]
    assert used <= 400 * KIB
    assert await subject.call("relay", ["a"], "names") == ["one", "two"]
    await subject.call("relay", ["a"], "clone", "one", "two")  # In its place it needs no more room.
    assert (await subject.call("usage", "a"))["databaseBytes"] == used
    await subject.call("relay", ["a"], "forget", "two")
    await subject.call("relay", ["a"], "clone", "one", "three")


async def test_a_deletion_of_many_facets_is_whole_after_a_crash(subject: Subject) -> None:
    for number in range(12):
        await subject.call("relay", ["doomed", str(number)], "put", "n", number)
    await subject.call("relay", ["kept"], "put", "n", 1)

    await subject.call("deleteFacet", "doomed")
    await subject.call("put", "after", 1)
    await subject.crash()

    assert await subject.call("read", "after") == 1
    assert await subject.call("names") == ["kept"]
    assert (await subject.call("usage"))["facets"] == 1
    assert await subject.call("relay", ["doomed", "3"], "read", "n") is None
    assert await subject.call("relay", ["kept"], "read", "n") == 1
