"""Object ids: 32 bytes, sixteen from a name or at random and sixteen that prove which namespace made them.

With K = SHA256(namespace key): base = HMAC-SHA256(K, name)[:16] or random, id = base ‖ HMAC-SHA256(K, base)[:16]
(spec 1.1, with test vectors). A jurisdiction has a key of its own, SHA256(K ‖ 0 ‖ jurisdiction), so that an id tells
which one it belongs to. Effects: none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NewType

from perdure.api import JURISDICTIONS
from perdure.clock import Entropy
from perdure.errors import ObjectIdError

IdBytes = NewType("IdBytes", bytes)
_HALF: Final = 16
_REMEMBERED_MAX: Final = 4096
_REMEMBERED_NAME_MAX: Final = 256
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


class IdFactory:
    """Makes and checks the ids of one namespace."""

    __slots__ = ("_keys", "_remembered", "namespace")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        key = hashlib.sha256(namespace.encode()).digest()
        self._keys: dict[str | None, bytes] = {None: key}
        for jurisdiction in JURISDICTIONS:
            self._keys[jurisdiction] = hashlib.sha256(key + b"\0" + jurisdiction.encode()).digest()
        self._remembered: dict[tuple[str, str | None], IdBytes] = {}

    def from_name(self, name: str, jurisdiction: str | None = None) -> IdBytes:
        """The id of `name`: always the same."""
        identity = self._remembered.get((name, jurisdiction)) if isinstance(name, str) else None
        if identity is None:
            identity = self._made_from(name, self._keys[jurisdiction])
            if len(name) <= _REMEMBERED_NAME_MAX:
                self._remember(name, jurisdiction, identity)
        return identity

    def _remember(self, name: str, jurisdiction: str | None, identity: IdBytes) -> None:
        """Two HMACs cost more than the rest of finding an object; names in use are few."""
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[name, jurisdiction] = identity

    def _made_from(self, name: str, key: bytes) -> IdBytes:
        if not isinstance(name, str) or not name:
            raise ObjectIdError(f"an object's name is a string with at least one character, not `{name!r}`")
        return _sign(_mac(name.encode("utf-8", "surrogatepass"), key), key)

    def unique(self, entropy: Entropy, jurisdiction: str | None = None) -> IdBytes:
        """An id nobody has had."""
        return _sign(entropy.random_bytes(_HALF), self._keys[jurisdiction])

    def from_text(self, text: str) -> IdBytes:
        """The id that `str(id)` printed. Raises ObjectIdError when it is malformed or of another namespace."""
        if not isinstance(text, str) or not _HEX.fullmatch(text):
            raise ObjectIdError(f"Invalid Durable Object ID `{str(text)[:80]}`: it must be 64 hex digits")
        identity = IdBytes(bytes.fromhex(text))
        self.jurisdiction_of(identity)
        return identity

    def jurisdiction_of(self, identity: bytes) -> str | None:
        """Which jurisdiction an id belongs to. Raises ObjectIdError when another namespace made it."""
        for jurisdiction, key in self._keys.items():
            if hmac.compare_digest(_sign(identity[:_HALF], key), identity):
                return jurisdiction
        raise ObjectIdError(
            f"Durable Object ID `{identity.hex()}` is not valid for this namespace (`{self.namespace}`): use an id "
            "that it made"
        )


def _mac(data: bytes, key: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")[:_HALF]


def _sign(base: bytes, key: bytes) -> IdBytes:
    return IdBytes(base + _mac(base, key))
