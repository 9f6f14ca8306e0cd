"""Migrations: applied once and in order, whatever comes between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.config import Config, ConfiguredNamespace, Migration, Place, Plan, Rename, plan
from perdure.errors import ConfigurationError

HERE = Place("wrangler.jsonc", 1, 1)


def config(
    *migrations: Migration, name: str = "shop", binds: tuple[str, ...] = (), script: str | None = None
) -> Config:
    bindings = tuple(ConfiguredNamespace(f"N{index}", kind, script, HERE) for index, kind in enumerate(binds))
    return Config("wrangler.jsonc", name, "a.js", HERE, namespaces=bindings, migrations=migrations)


def new(tag: str, *classes: str) -> Migration:
    return Migration(tag, new=classes, place=HERE)


def keys(done: Plan, name: str = "shop") -> dict[str, str]:
    return dict(done.workers[name].keys)


NEW = new("v1", "Cart")
RENAME = Migration("v2", renamed=[Rename("Cart", "Basket")], place=HERE)
DELETE = Migration("v3", deleted=["Basket"], place=HERE)


def test_a_new_class_has_the_key_of_its_worker_and_name() -> None:
    assert keys(plan([config(NEW)], {})) == {"Cart": "shop-Cart"}


def test_a_renamed_class_keeps_its_key() -> None:
    assert keys(plan([config(NEW, RENAME)], {})) == {"Basket": "shop-Cart"}


def test_a_class_that_takes_a_name_that_was_renamed_away_has_another_key() -> None:
    assert keys(plan([config(NEW, RENAME, new("v3", "Cart"))], {})) == {"Basket": "shop-Cart", "Cart": "shop-Cart-2"}


def test_a_deleted_class_is_told_once() -> None:
    first = plan([config(NEW, RENAME)], {})
    second = plan([config(NEW, RENAME, DELETE)], first.workers)
    third = plan([config(NEW, RENAME, DELETE)], second.workers)

    assert (list(first.deleted), list(second.deleted), list(third.deleted)) == ([], ["shop-Cart"], [])
    assert keys(third) == {}


def test_a_class_moves_to_another_worker_with_its_key() -> None:
    move = Migration("v1", transferred=[Rename("Cart", "Trolley", "shop")], place=HERE)
    done = plan([config(move, name="new"), config(NEW)], {})

    assert keys(done, "new") == {"Trolley": "shop-Cart"}
    assert keys(done) == {}


def test_a_worker_that_is_not_there_this_time_is_remembered() -> None:
    first = plan([config(NEW), config(new("v1", "Other"), name="other")], {})

    assert keys(plan([config(NEW)], first.workers), "other") == {"Other": "other-Other"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([NEW], [], "is not in `migrations` any more: put it back"),
        ([NEW], [new("v1", "Cart", "More")], "has been edited since"),
        ([NEW], [new("v0", "Cart"), NEW], "in this place, not `v0`"),
        ([NEW, RENAME], [RENAME, NEW], "in this place, not `v2`"),
        ([NEW], [NEW, new("v2", "Cart")], "has a namespace already"),
        ([new("v1", "A", "B")], [new("v1", "A", "B"), replace(RENAME, renamed=[Rename("A", "B")])], "already"),
        ([NEW], [NEW, replace(RENAME, renamed=[Rename("Nope", "B")])], "names the class `Nope`"),
        ([NEW], [NEW, replace(DELETE, deleted=["Nope"])], "those that have one: `Cart`"),
        ([], [Migration("v1", transferred=[Rename("A", "B", "nobody")], place=HERE)], "in worker `nobody`"),
    ],
)
def test_a_migration_that_does_not_fit_is_refused(before: list[Migration], after: list[Migration], said: str) -> None:
    remembered = plan([config(*before)], {}).workers

    with pytest.raises(ConfigurationError, match=said):
        plan([config(*after)], remembered)


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (config(binds=("Cart",)), r'has no migration: add one, such as .*"new_sqlite_classes": \["Cart"\]'),
        (config(NEW, RENAME, DELETE, binds=("Basket",)), "take the binding away first"),
        (config(NEW, RENAME, binds=("Cart",)), "has no migration"),
        (config(NEW, binds=("Cart",), script="nobody"), "name its folder, too"),
    ],
)
def test_a_class_that_is_bound_needs_a_namespace(bound: Config, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        plan([bound], {})


def test_a_binding_to_a_class_of_another_worker() -> None:
    done = plan([config(binds=("Cart",), script="other", name="x"), config(NEW, name="other")], {})

    assert keys(done, "other") == {"Cart": "other-Cart"}


NAMES = st.sampled_from(["A", "B", "C"])
STEPS = st.lists(
    st.one_of(
        NAMES.map(lambda name: ("new", name, "")),
        st.tuples(st.just("rename"), NAMES, NAMES),
        NAMES.map(lambda name: ("delete", name, "")),
    ),
    max_size=8,
)


def migrations(steps: list[tuple[str, str, str]]) -> list[Migration]:
    """Those of the steps that fit, one after the other."""
    there: set[str] = set()
    made: list[Migration] = []
    for kind, name, other in steps:
        tag = f"v{len(made)}"
        if kind == "new" and name not in there:
            there.add(name)
            made.append(new(tag, name))
        elif kind == "rename" and name in there and other not in there:
            there = (there - {name}) | {other}
            made.append(Migration(tag, renamed=[Rename(name, other)], place=HERE))
        elif kind == "delete" and name in there:
            there.discard(name)
            made.append(Migration(tag, deleted=[name], place=HERE))
    return made


@settings(deadline=None)
@given(STEPS, st.data())
def test_in_one_run_or_in_many_the_classes_are_the_same(steps: list[tuple[str, str, str]], data: st.DataObject) -> None:
    wanted = migrations(steps)
    at_once = plan([config(*wanted)], {})
    done = plan([config()], {})
    deleted: list[str] = []
    upto = 0
    while upto < len(wanted):
        upto = data.draw(st.integers(upto, len(wanted))) if upto else data.draw(st.integers(1, len(wanted)))
        done = plan([config(*wanted[:upto])], done.workers)
        deleted += done.deleted
        if data.draw(st.booleans()):
            done = plan([config(*wanted)], done.workers)
            deleted += done.deleted
            break

    assert done.workers == at_once.workers
    assert deleted == list(at_once.deleted)
    assert len(set(keys(done).values())) == len(keys(done))
