"""`env`: bindings by attribute and by key, and a message that ends the search."""

from __future__ import annotations

import copy

import pytest

from perdure.api import Env


def test_a_binding_is_an_attribute_and_an_item() -> None:
    env = Env({"LOADER": 1, "B": None})

    assert (env.LOADER, env["LOADER"], env.get("LOADER"), env.get("X", 2)) == (1, 1, 1, 2)
    assert env.B is None
    assert dict(env) == {"LOADER": 1, "B": None}
    assert len(env) == 2


def test_what_is_missing_is_told_with_what_is_there() -> None:
    with pytest.raises(AttributeError, match="env has no `LODER`; this worker was given: `B`, `LOADER`"):
        Env({"LOADER": 1, "B": 2}).LODER  # noqa: B018  # the access is what is tested


def test_an_empty_env_says_so() -> None:
    with pytest.raises(AttributeError, match="env has no `DB`; this worker was given: nothing"):
        Env({}).DB  # noqa: B018  # the access is what is tested


def test_hasattr_and_getattr_with_a_default_work() -> None:
    assert not hasattr(Env({}), "DB")
    assert getattr(Env({}), "DB", 5) == 5


def test_a_copy_is_an_env() -> None:
    assert copy.copy(Env({"A": 1})).A == 1
