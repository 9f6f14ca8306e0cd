"""Form bodies: urlencoded and multipart, read from a whole body.

Multipart follows the Fetch standard's parser (RFC 7578 as browsers write it). A body that is complete can be split at
its delimiter, so no state machine is needed; the stdlib's mail parser would descend into attached mails.
Effects: none.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from typing import Final, TypeAlias
from urllib.parse import parse_qsl

from perdure.errors import HttpMessageError
from perdure.limits import FORM_FIELDS_MAX

_PARAMETER: Final = re.compile(r""";[ \t]*([^\s=;"]+)=(?:"([^"]*)"|([^\s;"]*))""")
_PADDING: Final = b" \t"
_ESCAPES: Final = (("%0D", "\r"), ("%0A", "\n"), ("%22", '"'))


class File:
    """An uploaded file: `name` as the browser told it (never a path to trust), `type`, and its bytes."""

    __slots__ = ("_content", "name", "type")

    def __init__(self, content: builtins.bytes, *, name: str, content_type: str = "") -> None:
        self._content = content
        self.name = name
        self.type = content_type

    @property
    def size(self) -> int:
        """Length in bytes."""
        return len(self._content)

    async def text(self) -> str:
        """The content as UTF-8."""
        return self._content.decode("utf-8", "replace")

    async def bytes(self) -> builtins.bytes:
        """The content."""
        return self._content

    def __repr__(self) -> str:
        return f"File(name={self.name!r}, type={self.type!r}, size={self.size})"


FormValue: TypeAlias = str | File


class FormData:
    """Fields in the order they were sent: `form["name"]` is the first value of that name, `get_all` gives each."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, FormValue]] | None = None) -> None:
        self._fields = fields or []

    def get(self, name: str, default: FormValue | None = None) -> FormValue | None:
        """The first value of `name`, or `default`."""
        return next((value for known, value in self._fields if known == name), default)

    def get_all(self, name: str) -> list[FormValue]:
        """Every value of `name`."""
        return [value for known, value in self._fields if known == name]

    def has(self, name: str) -> bool:
        """True if there is a field `name`."""
        return any(known == name for known, _ in self._fields)

    def keys(self) -> list[str]:
        """The names, each once."""
        return list(dict.fromkeys(name for name, _ in self._fields))

    def items(self) -> list[tuple[str, FormValue]]:
        """Every field, in order."""
        return list(self._fields)

    def __getitem__(self, name: str) -> FormValue:
        for known, value in self._fields:
            if known == name:
                return value
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __repr__(self) -> str:
        return f"FormData({self._fields!r})"


def parse_form(body: bytes, content_type: str | None) -> FormData:
    """The fields of a form body. Raises HttpMessageError for another content type, or a malformed body."""
    essence, _, _ = (content_type or "").partition(";")
    match essence.strip().lower():
        case "application/x-www-form-urlencoded":
            return FormData([*parse_urlencoded(body.decode("utf-8", "replace"))])
        case "multipart/form-data":
            boundary = _parameters(content_type or "").get("boundary", "")
            return FormData([_field(head, content) for head, content in _parts(body, boundary)])
        case _:
            raise HttpMessageError(
                f"the body is not a form: its content type is `{content_type or ''}`, form() reads "
                "application/x-www-form-urlencoded and multipart/form-data"
            )


def parse_urlencoded(text: str) -> list[tuple[str, str]]:
    """The pairs of a query string or urlencoded body."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError:
        raise _too_many_fields() from None


def _parts(body: bytes, boundary: str) -> Iterator[tuple[str, bytes]]:
    """The head and content of each part."""
    if not boundary:
        raise HttpMessageError("a multipart body needs the `boundary` parameter in its content type")
    delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
    # The first delimiter may stand at the very start, without its line break; what is before it is a preamble.
    _, *sections = (b"\r\n" + body).split(delimiter, FORM_FIELDS_MAX + 2)
    for count, section in enumerate(sections):
        if section.startswith(b"--"):
            return
        if count == FORM_FIELDS_MAX:
            raise _too_many_fields()
        head, blank_line, content = section.lstrip(_PADDING).partition(b"\r\n\r\n")
        if not head.startswith(b"\r\n") or not blank_line:
            raise HttpMessageError(f"part {count + 1} of the multipart body is malformed: its headers do not end")
        yield head.decode("utf-8", "replace"), content
    raise HttpMessageError("the multipart body has no closing boundary: it was cut off, or the boundary is another one")


def _field(head: str, content: bytes) -> tuple[str, FormValue]:
    headers = dict(_part_header(line) for line in head.split("\r\n") if line)
    disposition = headers.get("content-disposition", "")
    parameters = _parameters(disposition)
    if not disposition.lower().startswith("form-data") or "name" not in parameters:
        raise HttpMessageError(f'a part of the multipart body has no `form-data; name="…"`, but `{disposition:.80}`')
    name = _unescaped(parameters["name"])
    if "filename" not in parameters:
        return name, content.decode("utf-8", "replace")
    return name, File(
        content, name=_unescaped(parameters["filename"]), content_type=headers.get("content-type", "text/plain")
    )


def _part_header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _parameters(value: str) -> dict[str, str]:
    return {match[1].lower(): match[2] or match[3] or "" for match in _PARAMETER.finditer(value)}


def _unescaped(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text


def _too_many_fields() -> HttpMessageError:
    return HttpMessageError(f"the form or query has more than {FORM_FIELDS_MAX} fields")
