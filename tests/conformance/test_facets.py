"""Facets: children with databases of their own (spec 4; cases 61 to 70, 75, 76)."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.conformance.flavours import GUESTS, Subject, Supervised, failure, is_reset, type_name

from perdure.errors import DamagedDataError, DataDirectoryError
from perdure.testing import World


def database_names(subject: Subject) -> list[str]:
    """The files of the subject's tree, relative to its own: `""`, `".1"`, `".1.2"`."""
    found = [path for path in Path(subject.world.data).rglob("*.sqlite") if "objects" in path.parts]
    stem = min((path.name for path in found), key=len).removesuffix(".sqlite")
    return sorted(path.name.removesuffix(".sqlite").removeprefix(stem) for path in found)


def damage_root(subject: Subject) -> Path:
    """Write over the head of the root's database, as if nobody had; its path."""
    (root,) = [path for path in Path(subject.world.data).rglob("objects/**/*.sqlite") if path.name.count(".") == 1]
    sound, status = root.read_bytes(), root.stat()
    root.write_bytes(b"no database" + sound[11:])
    os.utime(root, ns=(status.st_atime_ns, status.st_mtime_ns))
    return root


async def test_case_61_facets_are_objects_of_their_own(subject: Subject) -> None:
    async def hit(*path: str) -> object:
        await subject.call("relay", path, "put", "n", "/".join(path))
        return await subject.call("relay", path, "count")

    results = [await hit(*path) for path in [["foo"], ["foo"], ["bar"], ["bar", "foo"], ["bar", "bar"], ["foo"]]]

    assert results == [0, 1, 0, 0, 0, 2]
    assert await subject.call("relay", ["bar", "foo"], "read", "n") == "bar/foo"
    assert await subject.call("read", "n") is None
    assert await subject.call("facetNames") == ["bar", "foo"]
    assert await subject.call("relay", ["bar"], "facetNames") == ["bar", "foo"]
    numbers = database_names(subject)
    assert len(numbers) == 5
    assert len([name for name in numbers if name.count(".") == 2]) == 2


@pytest.mark.parametrize("how", ["restart", "crash"])
async def test_case_62_facets_are_found_again(subject: Subject, how: str) -> None:
    paths = [["foo"], ["bar"], ["bar", "foo"]]
    for path in paths:
        await subject.call("relay", path, "put", "n", "/".join(path))
        await subject.call("relay", path, "count")
    files = database_names(subject)

    await getattr(subject, how)()

    for path in reversed(paths):
        assert await subject.call("relay", path, "read", "n") == "/".join(path)
        assert await subject.call("relay", path, "count") == 0
    assert database_names(subject) == files
    assert await subject.call("started") == 2


async def test_case_61_what_the_reference_prints(subject: Subject) -> None:
    order = ["foo", "foo", "foo", "bar/foo", "bar/bar", "bar/foo", "foo", "foo"]

    assert [await subject.call("relay", path.split("/"), "count") for path in order] == [0, 1, 2, 0, 0, 1, 3, 4]
    assert database_names(subject) == ["", ".1", ".2", ".2.3", ".2.4"]


async def test_case_73_numbers_are_stable_and_never_used_twice(subject: Subject) -> None:
    for name in ("foo", "bar"):
        await subject.call("relay", [name], "put", "n", name)
    await subject.call("deleteFacet", "bar")
    await subject.restart()

    await subject.call("relay", ["bar"], "put", "m", 1)
    await subject.call("relay", ["baz"], "put", "n", "baz")

    assert database_names(subject) == ["", ".1", ".3", ".4"]
    assert await subject.call("relay", ["foo"], "read", "n") == "foo"
    assert await subject.call("relay", ["bar"], "read", "n") is None
    await subject.crash()
    assert await subject.call("relay", ["baz"], "read", "n") == "baz"
    assert database_names(subject) == ["", ".1", ".3", ".4"]


async def test_case_73_a_damaged_index_is_noticed(subject: Subject) -> None:
    await subject.call("relay", ["foo"], "put", "n", 1)
    await subject.world.platform.stop()
    root = damage_root(subject)
    await subject.restart()
    error = await failure(subject.call("relay", ["foo"], "read", "n"))

    assert isinstance(error, DamagedDataError | DataDirectoryError), repr(error)
    assert root.read_bytes()[:11] == b"no database"


async def test_case_63_a_running_facet_asks_no_start_callback(subject: Subject) -> None:
    await subject.call("relay", ["foo"], "count")

    assert await subject.call("withFailingStart", "foo") == 1
    assert await subject.call("started") == 1


async def test_case_64_abort_breaks_stubs_and_keeps_data(subject: Subject) -> None:
    await subject.call("keepStub", "foo")
    await subject.call("useKeptStub")
    await subject.call("relay", ["foo"], "put", "n", 5)

    await subject.call("abortFacet", "foo", "enough of this")
    error = await failure(subject.call("useKeptStub"))

    assert "enough of this" in str(error)
    assert await subject.call("withAnotherClass", "foo") == "another class reads 5"
    await subject.call("abortFacet", "never was", "")


async def test_case_64_abort_interrupts_calls_under_way(subject: Subject) -> None:
    await subject.call("relay", ["foo"], "count")
    napping = subject.begin("relay", ["foo"], "nap", 100)
    deeper = subject.begin("relay", ["foo", "bar"], "nap", 100)
    await subject.world.settle()

    await subject.call("abortFacet", "foo", "enough")

    assert "enough" in str(await failure(napping))
    assert "enough" in str(await failure(deeper))
    assert await subject.call("count") == 0
    assert await subject.call("relay", ["foo"], "count") == 0


async def test_case_65_delete_forgets_the_whole_subtree(subject: Subject) -> None:
    for path in (["foo"], ["bar"], ["bar", "foo"]):
        await subject.call("relay", path, "put", "n", 1)

    await subject.call("deleteFacet", "bar")
    await subject.call("deleteFacet", "never was")
    await subject.world.settle()

    assert len(database_names(subject)) == 2
    assert await subject.call("facetNames") == ["foo"]
    assert await subject.call("relay", ["bar"], "read", "n") is None
    assert await subject.call("relay", ["bar", "foo"], "read", "n") is None
    assert await subject.call("relay", ["foo"], "read", "n") == 1


async def test_a_deleted_facet_stays_deleted(subject: Subject) -> None:
    await subject.call("relay", ["bar"], "put", "n", 1)
    await subject.call("deleteFacet", "bar")
    await subject.call("put", "after", 1)

    await subject.crash()

    assert await subject.call("read", "after") == 1
    assert await subject.call("facetNames") == []
    assert await subject.call("relay", ["bar"], "read", "n") is None


async def test_case_66_identity_and_props(subject: Subject) -> None:
    own = await subject.call("identity")
    without = await subject.call("relay", ["plain"], "identity")

    named = await subject.call("withIdentity", "named", "abc")
    proper = await subject.call("withProps", "proper", {"aProp": 123})

    assert named["id"] == "abc"
    assert proper["props"] == {"aProp": 123}
    assert without["props"] == {}
    assert own["props"] == {}
    # A facet's id is its own, not its parent's (docs of `FacetOptions`).
    assert without["id"] != own["id"]
    assert without["name"] == "plain"


async def test_case_66_props_stay_with_the_handle_that_has_them(subject: Subject) -> None:
    seen = [(await subject.call("relay", ["a"], "identity"))["props"]]
    for name, props in (("b", {"aProp": 123}), ("c", {}), ("d", {"bProp": 321}), ("e", {}), ("f", {"cProp": 555})):
        seen.append((await subject.call("withProps", name, props))["props"])

    assert seen == [{}, {"aProp": 123}, {}, {"bProp": 321}, {}, {"cProp": 555}]
    assert (await subject.call("relay", ["b"], "identity"))["props"] == {"aProp": 123}
    assert (await subject.call("relay", ["b", "below"], "identity"))["props"] == {}


async def test_case_67_names_have_a_length(subject: Subject) -> None:
    long = "x" * 257

    for method in ("nameAFacet", "abortFacet", "deleteFacet"):
        error = await failure(subject.call(method, long, *(["reason"] if method == "abortFacet" else [])))
        assert "Facet name is too long (max 256 characters)" in str(error)
        assert type_name(error) in {"FacetError", "TypeError"}

    assert await subject.call("relay", ["x" * 256], "count") == 0
    assert "at least one character" in str(await failure(subject.call("nameAFacet", "")))


async def test_case_68_trees_have_a_depth(subject: Subject) -> None:
    below = ["a", "b", "c"]

    assert await subject.call("relay", below, "count") == 0
    error = await failure(subject.call("relay", [*below, "d"], "count"))

    assert "nesting depth limit exceeded" in str(error)
    assert "including the root Durable Object is 4" in str(error)
    assert await subject.call("relay", below, "count") == 1


async def test_case_70_abort_while_the_start_callback_waits(subject: Subject) -> None:
    starting = subject.begin("withSlowStart", "slow", 10)
    await subject.world.settle()

    await subject.call("abortFacet", "slow", "not any more")
    await subject.world.advance(20)

    assert "not any more" in str(await failure(starting))
    assert await subject.call("facetNames") == []


async def test_calls_wait_for_a_slow_start_in_order(subject: Subject) -> None:
    starting = [subject.begin("withSlowStart", "slow", 10) for _ in range(3)]

    assert await asyncio.gather(*starting) == [0, 1, 2]
    assert await subject.call("started") == 1


async def test_case_75_supervisor_and_guest_share_no_data(supervised: Supervised) -> None:
    supervisor, guest = supervised.supervisor, supervised

    await guest.call("put", "n", 1)

    assert await supervisor.read("n") is None
    assert await guest.call("read", "constructed") == 1


@pytest.mark.parametrize("parent", ["trusted"])
async def test_case_75_one_parent_and_two_languages(world: World, parent: str) -> None:
    guests = [Supervised(world, language) for language in GUESTS]

    for guest in guests:
        await guest.call("put", "n", guest.flavour)

    assert [await guest.call("read", "n") for guest in guests] == list(GUESTS)
    assert [await guest.supervisor.read("n") for guest in guests] == [None, None]


async def test_case_76_a_failed_start_callback_is_asked_again(subject: Subject) -> None:
    error = await failure(subject.call("withFailingStart", "foo"))

    assert "this start callback failed" in str(error)
    assert await subject.call("relay", ["foo"], "count") == 0


async def test_a_failing_facet_leaves_its_parent_and_siblings_alone(subject: Subject) -> None:
    await subject.call("count")
    await subject.call("relay", ["foo"], "count")
    await subject.call("relay", ["bar"], "count")

    error = await failure(subject.call("relay", ["foo"], "stop", "it broke"))

    assert "it broke" in str(error)
    assert await subject.call("count") == 1
    assert await subject.call("relay", ["bar"], "count") == 1
    assert await subject.call("relay", ["foo"], "count") == 0
    assert await subject.call("relay", ["foo"], "read", "n") is None


async def test_an_error_in_a_facet_reaches_its_caller_by_name(subject: Subject) -> None:
    error = await failure(subject.call("relay", ["foo"], "boom"))

    assert "boom" in str(error)
    assert not is_reset(error)
    assert await subject.call("relay", ["foo"], "read", "before boom") == 1


async def test_resetting_the_parent_resets_its_facets(subject: Subject) -> None:
    await subject.call("relay", ["foo", "bar"], "count")

    await failure(subject.call("stop", "all of it"))
    subject.renew()

    assert await subject.call("relay", ["foo", "bar"], "count") == 0


async def test_idle_facets_are_evicted_and_start_again(subject: Subject) -> None:
    await subject.call("relay", ["foo"], "put", "n", 1)
    await subject.call("relay", ["foo"], "count")

    await subject.world.advance(25)

    assert await subject.call("relay", ["foo"], "count") == 0
    assert await subject.call("relay", ["foo"], "read", "n") == 1


async def test_requests_go_through_to_a_facet(subject: Subject) -> None:
    assert await subject.call("relayFetch", "foo", "http://x/y") == "GET http://x/y 1"


async def test_a_facets_reply_waits_for_its_own_writes(subject: Subject) -> None:
    await subject.call("relay", ["foo"], "count")
    await subject.call("relay", ["bar"], "put", "n", 1)

    with subject.world.journal_held():
        writing = subject.begin("relay", ["foo"], "put", "n", 1)
        reading = subject.begin("relay", ["bar"], "read", "n")
        await subject.world.advance(5)

        assert not writing.done()
        assert reading.done()

    await writing
    assert await reading == 1
