"""The value codec: Python values ⇄ Cap'n Web expressions, as JSON text.

The same text is stored by kv, crosses between host and guest, and between objects. Plain JSON stands for itself,
except that an array is wrapped in one more array; `["tag", …]` is whatever JSON lacks. docs/reference/values.md has
the table; tags that are ours alone are never sent to a foreign peer. Reading is defensive: a guest may have written
the text. Effects: none.
"""

from __future__ import annotations

import json
from json.encoder import c_make_encoder, encode_basestring_ascii  # type: ignore[attr-defined]  # typeshed leaves them out
from typing import Final

from perdure.errors import ValueNotCloneableError
from perdure.limits import INLINE_VALUES_MAX
from perdure.wire._capabilities import Introducer, Resolver
from perdure.wire._sharing import TEXT_LIKE_A_VALUE
from perdure.wire._value_reader import from_expression
from perdure.wire._value_writer import to_expression

# What json.dumps makes anew for each text. A tree of ours never contains itself, and holds no NaN.
_json_chunks: Final = c_make_encoder(None, None, encode_basestring_ascii, None, ":", ",", False, False, False)  # noqa: FBT003  # a function of C, without keywords
_parse_json: Final = json.JSONDecoder().decode


def encode(value: object, capabilities: Introducer | None = None) -> str:
    """The expression for `value`, as JSON text in ASCII. `capabilities` writes what is passed by reference.

    Raises ValueNotCloneableError for what cannot be copied: functions, class instances, naive datetimes, values that
    are nested deeper than `VALUE_DEPTH_MAX`.
    """
    expression = to_expression(value, capabilities)
    return encode_basestring_ascii(expression) if type(expression) is str else "".join(_json_chunks(expression, 0))


def decode(text: str, capabilities: Resolver | None = None) -> object:
    """The value that `encode` wrote, here or in a guest. Raises ValueNotCloneableError if it is none."""
    try:
        expression = _parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ValueNotCloneableError(f"a value crossed a boundary as malformed JSON: {error}") from None
    return from_expression(expression, capabilities)


def is_large(value: object) -> bool:
    """True when converting this value, or this JSON tree, takes milliseconds. Quick for both kinds."""
    if isinstance(value, list) and value[:1] == ["graph"]:
        return True
    left = INLINE_VALUES_MAX
    waiting: list[object] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str | bytes):
            left -= len(item) // TEXT_LIKE_A_VALUE
        elif isinstance(item, dict | list | tuple | set | frozenset):
            left -= len(item)
            if left >= 0:
                waiting.extend(item.values() if isinstance(item, dict) else item)
        if left < 0:
            return True
    return False
