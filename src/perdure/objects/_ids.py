"""Object ids: 32 bytes, sixteen from a name or at random and sixteen that prove which namespace made them.

With K = SHA256(namespace key): base = HMAC-SHA256(K, name)[:16] or random, id = base ‖ HMAC-SHA256(K, base)[:16]
(spec 1.1, with test vectors). Effects: none.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final, NewType

from perdure.clock import Entropy
from perdure.errors import ObjectIdError

IdBytes = NewType("IdBytes", bytes)
_HALF: Final = 16
_REMEMBERED_MAX: Final = 4096
_REMEMBERED_NAME_MAX: Final = 256
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


class IdFactory:
    """Makes and checks the ids of one namespace."""

    __slots__ = ("_key", "_remembered", "namespace")

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._key = hashlib.sha256(namespace.encode()).digest()
        self._remembered: dict[str, IdBytes] = {}

    def from_name(self, name: str) -> IdBytes:
        """The id of `name`: always the same."""
        identity = self._remembered.get(name) if isinstance(name, str) else None
        if identity is None:
            identity = self._made_from(name)
            if len(name) <= _REMEMBERED_NAME_MAX:
                self._remember(name, identity)
        return identity

    def _remember(self, name: str, identity: IdBytes) -> None:
        """Two HMACs cost more than the rest of finding an object; names in use are few."""
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[name] = identity

    def _made_from(self, name: str) -> IdBytes:
        if not isinstance(name, str) or not name:
            raise ObjectIdError(f"an object's name is a string with at least one character, not `{name!r}`")
        return self._sign(self._mac(name.encode("utf-8", "surrogatepass")))

    def unique(self, entropy: Entropy) -> IdBytes:
        """An id nobody has had."""
        return self._sign(entropy.random_bytes(_HALF))

    def from_text(self, text: str) -> IdBytes:
        """The id that `str(id)` printed. Raises ObjectIdError when it is malformed or of another namespace."""
        if not isinstance(text, str) or not _HEX.fullmatch(text):
            raise ObjectIdError(f"Invalid Durable Object ID `{str(text)[:80]}`: it must be 64 hex digits")
        identity = bytes.fromhex(text)
        if not hmac.compare_digest(self._sign(identity[:_HALF]), identity):
            raise ObjectIdError(
                f"Durable Object ID `{text}` is not valid for this namespace (`{self.namespace}`): use an id that "
                "it made"
            )
        return IdBytes(identity)

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")[:_HALF]

    def _sign(self, base: bytes) -> IdBytes:
        return IdBytes(base + self._mac(base))
