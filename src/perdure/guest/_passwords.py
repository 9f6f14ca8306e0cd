"""`hashlib.pbkdf2_hmac`, which CPython takes from OpenSSL, and a sandbox has none.

PBKDF2 of RFC 8018 over the hashes that CPython brings itself. A round costs microseconds, not a fraction of one.
Effects: none.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

_KEY_BYTES_MAX: Final = 1 << 20


def pbkdf2_hmac(
    hash_name: str,
    password: bytes | bytearray | memoryview,
    salt: bytes | bytearray | memoryview,
    iterations: int,
    dklen: int | None = None,
) -> bytes:
    """A key of `dklen` bytes, by default as many as the hash has, made of a password in so many rounds.

    Raises TypeError and ValueError where CPython's own does.
    """
    if not isinstance(hash_name, str):
        raise TypeError(f"the name of a hash is a str, not `{type(hash_name).__name__}`")
    keyed = hmac.new(bytes(password), digestmod=hash_name)
    size = keyed.digest_size if dklen is None else dklen
    if iterations < 1:
        raise ValueError("iteration value must be greater than 0.")
    if not 1 <= size <= _KEY_BYTES_MAX:
        raise ValueError(f"key length must be from 1 to {_KEY_BYTES_MAX}.")
    key = bytearray()
    block = 0
    while len(key) < size:
        block += 1
        key += _block(keyed, bytes(salt) + block.to_bytes(4, "big"), iterations)
    return bytes(key[:size])


def _block(keyed: hmac.HMAC, message: bytes, iterations: int) -> bytes:
    """One block of the key: the exclusive or of a chain of HMACs."""
    step = _hmac(keyed, message)
    total = int.from_bytes(step, "big")
    for _ in range(iterations - 1):
        step = _hmac(keyed, step)
        total ^= int.from_bytes(step, "big")
    return total.to_bytes(keyed.digest_size, "big")


def _hmac(keyed: hmac.HMAC, message: bytes) -> bytes:
    one = keyed.copy()
    one.update(message)
    return one.digest()


def install() -> None:
    """Give `hashlib` what it lacks."""
    if not hasattr(hashlib, "pbkdf2_hmac"):
        hashlib.pbkdf2_hmac = pbkdf2_hmac  # type: ignore[assignment]  # the same face, by name
