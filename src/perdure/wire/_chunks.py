"""Bits of a body under way ⇄ the guest protocol: text where they are UTF-8, else `["bytes", base64]`, null at the end.

`chunk_from_wire` reads what a guest may have forged. Effects: none.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from perdure.errors import GuestError
from perdure.limits import STREAM_CHUNK_BYTES_MAX
from perdure.web import to_utf8

_BASE64_MAX: Final = (STREAM_CHUNK_BYTES_MAX + 2) // 3 * 4


def chunk_to_wire(chunk: bytes | None) -> object:
    """The JSON tree of a chunk, of what `read` gave."""
    if chunk is None:
        return None
    try:
        return chunk.decode()
    except UnicodeDecodeError:
        return ["bytes", base64.b64encode(chunk).decode("ascii")]


def chunk_from_wire(tree: object) -> bytes | None:
    """The chunk that a guest wrote. Raises GuestError when it is none, or too large."""
    if tree is None:
        return None
    try:
        if isinstance(tree, str):
            chunk = to_utf8(tree) if len(tree) <= STREAM_CHUNK_BYTES_MAX else b""
        else:
            chunk = _bytes(tree)
    except (ValueError, TypeError, binascii.Error):
        raise GuestError("the sandbox sent a malformed chunk of a stream", type_name="TypeError") from None
    if (not chunk and tree) or len(chunk) > STREAM_CHUNK_BYTES_MAX:
        raise GuestError(
            f"the sandbox sent a chunk of a stream that has more than {STREAM_CHUNK_BYTES_MAX} bytes",
            type_name="RangeError",
        )
    return chunk


def chunk_from_host(tree: Any) -> bytes | None:  # noqa: ANN401  # JSON of the host's
    """The chunk that the host wrote."""
    if tree is None:
        return None
    return tree.encode() if isinstance(tree, str) else base64.b64decode(tree[1])


def _bytes(tree: object) -> bytes:
    if not isinstance(tree, list):
        raise TypeError
    tag, text = tree
    if tag != "bytes" or not isinstance(text, str):
        raise TypeError
    return base64.b64decode(text, validate=True) if len(text) <= _BASE64_MAX else b""
