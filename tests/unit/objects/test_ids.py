"""Object ids: the vectors of spec 1.1, and whose id is whose."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.api import JURISDICTIONS
from perdure.errors import ObjectIdError
from perdure.objects import IdFactory
from perdure.testing import SeededEntropy

MINE = IdFactory("mykey")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("name", "3652ef6221834806dc8df802d1d216e27b7d07e0a6b7adf6cfdaeec90f06459a"),
        ("http://foo/", "59002eb8cf872e541722977a258a12d6a93bbe8192b502e1c0cb250aa91af234"),
        ("http://foo/bar", "02b496f65dd35cbac90e3e72dc5a398ee93926ea4a3821e26677082d2e6f9b79"),
    ],
)
def test_ids_from_names_are_those_of_the_reference(name: str, text: str) -> None:
    assert MINE.from_name(name).hex() == text


@given(st.text(min_size=1))
def test_an_id_reads_back_from_its_text(name: str) -> None:
    identity = MINE.from_name(name)

    assert MINE.from_text(identity.hex()) == identity
    assert MINE.from_text(identity.hex().upper()) == identity


@given(st.binary(min_size=32, max_size=32))
def test_no_other_bytes_are_an_id(forged: bytes) -> None:
    with pytest.raises(ObjectIdError, match="not valid for this namespace"):
        MINE.from_text(forged.hex())


def test_an_id_of_another_namespace_is_refused() -> None:
    with pytest.raises(ObjectIdError, match=r"is not valid for this namespace \(`mykey`\)"):
        MINE.from_text(IdFactory("other").from_name("name").hex())


@pytest.mark.parametrize("text", ["", "ab", "a" * 63, "a" * 65, "g" * 64, "a" * 64 + "\n", "é" * 64, None, 5])
def test_what_is_not_64_hex_digits_is_refused(text: object) -> None:
    with pytest.raises(ObjectIdError, match="must be 64 hex digits"):
        MINE.from_text(text)  # type: ignore[arg-type]  # that is the point


def test_unique_ids_differ_and_belong_to_their_namespace() -> None:
    entropy = SeededEntropy()

    first, second = MINE.unique(entropy), MINE.unique(entropy)

    assert first != second
    assert MINE.from_text(first.hex()) == first
    with pytest.raises(ObjectIdError):
        IdFactory("other").from_text(first.hex())


@pytest.mark.parametrize("name", ["", None, 1])
def test_a_name_is_a_string_that_is_not_empty(name: object) -> None:
    with pytest.raises(ObjectIdError, match="an object's name is a string"):
        MINE.from_name(name)  # type: ignore[arg-type]  # that is the point


@given(st.text(min_size=1), st.sampled_from(JURISDICTIONS))
def test_an_id_tells_its_jurisdiction(name: str, jurisdiction: str) -> None:
    identity = MINE.from_name(name, jurisdiction)

    assert identity != MINE.from_name(name)
    assert MINE.from_text(identity.hex()) == identity
    assert MINE.jurisdiction_of(identity) == jurisdiction
    assert MINE.jurisdiction_of(MINE.from_name(name)) is None
    assert MINE.jurisdiction_of(MINE.unique(SeededEntropy(1), jurisdiction)) == jurisdiction


def test_no_name_gives_away_the_key_of_a_jurisdiction() -> None:
    key = hashlib.sha256(b"mykey").digest()
    names = ["eu", "\0eu", "jurisdiction:eu"]

    halves = {MINE.from_name(name)[:16] for name in names}

    assert hashlib.sha256(key + b"\0eu").digest()[:16] not in halves
