"""`.dev.vars`: secrets of a project, one `NAME=value` in each line, in a file that is not shared. Effects: none."""

from __future__ import annotations

import re
from typing import Final

from perdure.config._tree import Place
from perdure.limits import CONFIG_BYTES_MAX

_LINE: Final = re.compile(
    r"""(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*("(?:[^"\\]|\\.)*"|'[^']*'|[^#'"]*)\s*(?:\#.*)?"""
)
_ESCAPED: Final = re.compile(r"\\(.)")
_BREAKS: Final = {"n": "\n", "r": "\r", "t": "\t"}


def read_variables(text: str, file: str) -> dict[str, str]:
    """The names and values that `text` lists; `#` begins a comment. Raises ConfigurationError with the line."""
    if len(text) > CONFIG_BYTES_MAX:
        Place(file).refuse(f"a file of variables has at most {CONFIG_BYTES_MAX} characters, this has {len(text)}")
    variables: dict[str, str] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if match is None:
            # The line itself may be a secret: it is not shown.
            Place(file, number).refuse("a line is `NAME=value`; a value with `#` or quotes stands in quotes")
        variables[match[1]] = _plain(match[2])
    return variables


def _plain(value: str) -> str:
    if value.startswith('"'):
        return _ESCAPED.sub(lambda match: _BREAKS.get(match[1], match[1]), value[1:-1])
    return value[1:-1] if value.startswith("'") else value.strip()
