"""Text as the web encodes it: UTF-8. Effects: none."""

from __future__ import annotations


def to_utf8(text: str) -> bytes:
    """`text` in UTF-8, where a lone surrogate becomes U+FFFD as everywhere on the web."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
