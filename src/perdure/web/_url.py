"""URLs of requests: absolute, http(s), in printable ASCII, without dot segments.

A URL is normalised as far as browsers and JavaScript guests would do it, so that the path a supervisor checks is the
path its sandboxed app sees. Effects: none.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple
from urllib.parse import quote

from perdure.errors import HttpMessageError
from perdure.limits import URL_BYTES_MAX

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?P<port>:[0-9]{0,5})?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.IGNORECASE | re.DOTALL,
)
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_PRINTABLE: Final = re.compile(r"[!#-;=?-\[\]^_`a-~]*")
_DOT_SEGMENT: Final = re.compile(r"/(\.|%2e){1,2}(/|$)", re.IGNORECASE)
_KEPT: Final = "!#$%&'()*+,/:;=?@[]^_`{|}~-."


class Url(NamedTuple):
    """The parts of a request's URL. `origin` is scheme, host and port; `query` has no question mark."""

    origin: str
    path: str
    query: str
    fragment: str

    def __str__(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.origin}{self.path}{query}{self.fragment}"


def parse_url(text: str) -> Url:
    """The parts of an absolute http(s) URL, normalised. Raises HttpMessageError for anything else."""
    if not isinstance(text, str):
        raise HttpMessageError(f"a URL is a str, not a `{type(text).__name__}`")
    if len(text) > URL_BYTES_MAX:
        raise HttpMessageError(f"the URL `{text[:64]}…` has {len(text)} characters, the limit is {URL_BYTES_MAX}")
    match = _URL.fullmatch(text.strip())
    if match is None:
        raise HttpMessageError(
            f"Invalid URL: `{text:.200}` (a request needs an absolute one, such as https://app/path)"
        )
    scheme, port = match["scheme"].lower(), match["port"] or ""
    if port in {":", _DEFAULT_PORTS[scheme]}:
        port = ""
    return Url(
        origin=f"{scheme}://{match['host'].lower()}{port}",
        path=normalise_path(match["path"] or "/"),
        query=quote_target((match["query"] or "?")[1:]),
        fragment=quote_target(match["fragment"] or ""),
    )


def normalise_path(path: str) -> str:
    """`path` in printable ASCII and without `.` and `..` segments."""
    path = quote_target(path)
    return _without_dot_segments(path) if _DOT_SEGMENT.search(path) else path


def quote_target(text: str) -> str:
    """`text` with every character that a URL cannot carry percent-encoded; what is encoded already stays."""
    return text if _PRINTABLE.fullmatch(text) else quote(text, safe=_KEPT, errors="replace")


def _without_dot_segments(path: str) -> str:
    kept: list[str] = []
    is_folder = False
    for segment in path.split("/")[1:]:
        plain = segment.lower().replace("%2e", ".")
        is_folder = plain in {".", ".."}
        if plain == "..":
            del kept[-1:]
        elif plain != ".":
            kept.append(segment)
    return "/" + "/".join([*kept, ""] if is_folder else kept)
