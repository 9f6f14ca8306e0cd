"""Header lines of a message: a case-insensitive multi-map with the Fetch standard's rules.

Names are kept in lower case, as Fetch shows them. A line's value is a latin-1 string without CR, LF or NUL, so that no
value can forge another line. Lines that came from a server are decoded at the first look. Effects: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias, TypeVar, overload

from perdure.errors import HttpMessageError

_Default = TypeVar("_Default")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE: Final = re.compile(r"[^\x00\r\n\u0100-\U0010ffff]*")
_WHITESPACE: Final = " \t\r\n"


class Headers:
    """The headers of a request or response.

    Reads like a mapping (`headers["accept"]`, `headers.get("accept")`, `in`, iteration over names) and like Fetch's
    Headers (`append`, `set`, `delete`, `has`, `get_set_cookie`). Several lines of one name are read joined by a comma.
    Raises HttpMessageError for a name or value that HTTP cannot carry.
    """

    __slots__ = ("_lines", "_raw")

    def __init__(self, init: HeadersInit = None) -> None:
        self._raw: Iterable[tuple[bytes, bytes]] | None = None
        self._lines: list[tuple[str, str]] = []
        if isinstance(init, Headers):
            self._lines = init.multi_items()
        elif init is not None:
            for name, value in _lines_of(init):
                self.append(name, value)

    @classmethod
    def from_asgi(cls, raw: Iterable[tuple[bytes, bytes]]) -> Headers:
        """Headers over an ASGI server's byte pairs, which it has checked and lower-cased."""
        headers = cls()
        headers._raw = raw
        return headers

    @classmethod
    def unchecked(cls, lines: list[tuple[str, str]]) -> Headers:
        """Headers that own `lines`, which are known to be valid and in lower case."""
        headers = cls()
        headers._lines = lines
        return headers

    # ── Fetch ────────────────────────────────────────────────────────────────────────────────────────────────

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: _Default) -> str | _Default: ...
    def get(self, name: str, default: _Default | None = None) -> str | _Default | None:
        """The value of `name`, several lines joined by ", " (cookies by "; "), or `default`."""
        values = self.get_all(name)
        if not values:
            return default
        return values[0] if len(values) == 1 else _joined(name.lower(), values)

    def get_all(self, name: str) -> list[str]:
        """The value of each line of `name`, in order."""
        name = name.lower()
        return [value for known, value in self._decoded() if known == name]

    def get_set_cookie(self) -> list[str]:
        """Every Set-Cookie line; joining them would damage them."""
        return self.get_all("set-cookie")

    def has(self, name: str) -> bool:
        """True if there is a line of `name`."""
        name = name.lower()
        return any(known == name for known, _ in self._decoded())

    def append(self, name: str, value: str) -> None:
        """Add a line, and keep those of the same name."""
        self._decoded().append((_checked_name(name), _checked_value(name, value)))

    def set(self, name: str, value: str) -> None:
        """Replace every line of `name` by this one."""
        line = (_checked_name(name), _checked_value(name, value))
        self.delete(name)
        self._lines.append(line)

    def delete(self, name: str) -> None:
        """Remove every line of `name`, if there is one."""
        name = name.lower()
        self._lines = [line for line in self._decoded() if line[0] != name]

    # ── a mapping, for Python ────────────────────────────────────────────────────────────────────────────────

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if not self.has(name):
            raise KeyError(name)
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self) -> list[str]:
        """The names, each once, sorted."""
        return sorted({name for name, _ in self._decoded()})

    def values(self) -> list[str]:
        """The values, in the order of `items()`."""
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[str, str]]:
        """Names and values as Fetch iterates them: sorted, joined, except that each Set-Cookie stands alone."""
        entries: list[tuple[str, str]] = []
        for name in self.keys():
            values = self.get_all(name)
            entries += [(name, value) for value in (values if name == "set-cookie" else [_joined(name, values)])]
        return entries

    def multi_items(self) -> list[tuple[str, str]]:
        """Every line as it will be sent: in order, nothing joined. The list is the caller's."""
        return list(self._decoded())

    def to_asgi(self) -> list[tuple[bytes, bytes]]:
        """Every line as bytes, for an ASGI server."""
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self._decoded()]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.items() == other.items()

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict is

    def __repr__(self) -> str:
        return f"Headers({self.multi_items()!r})"

    def _decoded(self) -> list[tuple[str, str]]:
        if self._raw is not None:
            self._lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._raw]
            self._raw = None
        return self._lines


HeadersInit: TypeAlias = Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None
"""What headers can be made of."""


def _lines_of(init: Mapping[str, str] | Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return init.items() if isinstance(init, Mapping) else init


def _joined(name: str, values: list[str]) -> str:
    return ("; " if name == "cookie" else ", ").join(values)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise HttpMessageError(f"header name `{name!r:.80}` is not one: use letters, digits and any of !#$%&'*+-.^_`|~")
    return name.lower()


def _checked_value(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise HttpMessageError(f"header `{name}` has a `{type(value).__name__}` as its value: give a str")
    value = value.strip(_WHITESPACE)
    if not _VALUE.fullmatch(value):
        raise HttpMessageError(
            f"the value of header `{name}`, `{value!r:.80}`, has a line break, NUL or a character beyond latin-1: "
            "percent-encode it (urllib.parse.quote)"
        )
    return value
