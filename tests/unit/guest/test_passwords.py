"""Keys of passwords: what CPython makes of them with OpenSSL, and what the sandbox makes without."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.guest._passwords import pbkdf2_hmac

NAMES = st.sampled_from(["sha1", "sha256", "sha512", "sha3_256", "md5"])


@given(NAMES, st.binary(max_size=200), st.binary(max_size=40), st.integers(1, 20), st.none() | st.integers(1, 150))
def test_keys_are_those_of_openssl(name: str, password: bytes, salt: bytes, rounds: int, size: int | None) -> None:
    assert pbkdf2_hmac(name, password, salt, rounds, size) == hashlib.pbkdf2_hmac(name, password, salt, rounds, size)


@pytest.mark.parametrize(
    ("name", "rounds", "size", "error"),
    [
        ("sha257", 1, None, ValueError),
        (None, 1, None, TypeError),
        ("sha256", 0, None, ValueError),
        ("sha256", 1, 0, ValueError),
        ("sha256", 1, 1 << 30, ValueError),
    ],
)
def test_what_makes_no_key_is_refused(name: object, rounds: int, size: int | None, error: type[Exception]) -> None:
    with pytest.raises(error):
        pbkdf2_hmac(name, b"password", b"salt", rounds, size)  # type: ignore[arg-type]  # on purpose
