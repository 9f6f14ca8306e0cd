"""The origin policy, as a table: who asks, how, and whether it is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.server._origins import keep_cookies_at_home, refusal_of_foreign_page
from perdure.web import Headers, Request

HERE = "http://todo.localhost:8787"
NEIGHBOUR = "http://poll.localhost:8787"


def fetch_metadata(site: str, mode: str, dest: str, *, origin: str | None = None) -> dict[str, str]:
    headers = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
    return headers if origin is None else {**headers, "origin": origin}


ALLOWED = {
    "typed into the address bar": ("GET", fetch_metadata("none", "navigate", "document")),
    "a link from elsewhere": ("GET", fetch_metadata("cross-site", "navigate", "document")),
    "a link from a neighbour app": ("GET", fetch_metadata("same-site", "navigate", "document")),
    "own form": ("POST", fetch_metadata("same-origin", "navigate", "document", origin=HERE)),
    "own fetch": ("PUT", fetch_metadata("same-origin", "cors", "empty", origin=HERE)),
    "own image": ("GET", fetch_metadata("same-origin", "no-cors", "image")),
    "own socket": ("GET", fetch_metadata("same-origin", "websocket", "empty", origin=HERE)),
    "own form behind a TLS proxy": ("POST", fetch_metadata("same-origin", "navigate", "document", origin="https://x")),
    "curl": ("POST", {}),
    "an old browser's own form": ("POST", {"origin": HERE}),
    "an old browser's own form behind a TLS proxy": ("POST", {"origin": "https://todo.localhost:8787"}),
}
REFUSED = {
    "a form from elsewhere": ("POST", fetch_metadata("cross-site", "navigate", "document", origin="http://evil.com")),
    "a form from a neighbour app": ("POST", fetch_metadata("same-site", "navigate", "document", origin=NEIGHBOUR)),
    "a fetch from a neighbour app": ("GET", fetch_metadata("same-site", "cors", "empty", origin=NEIGHBOUR)),
    "a blind fetch from a neighbour": ("GET", fetch_metadata("same-site", "no-cors", "empty")),
    "a preflight": ("OPTIONS", fetch_metadata("cross-site", "cors", "empty", origin=NEIGHBOUR)),
    "a frame": ("GET", fetch_metadata("cross-site", "navigate", "iframe")),
    "a script": ("GET", fetch_metadata("cross-site", "no-cors", "script")),
    "an image": ("GET", fetch_metadata("cross-site", "no-cors", "image")),
    "a socket": ("GET", fetch_metadata("cross-site", "websocket", "empty", origin=NEIGHBOUR)),
    "an object element": ("GET", fetch_metadata("cross-site", "navigate", "object")),
    "a word nobody knows": ("GET", {"sec-fetch-site": "near"}),
    "an old browser's foreign form": ("POST", {"origin": NEIGHBOUR}),
    "an old browser's foreign fetch": ("GET", {"origin": "http://evil.com"}),
    "a sandboxed frame": ("POST", {"origin": "null"}),
    "another port of this host": ("POST", {"origin": "http://todo.localhost:9999"}),
    "another port, left out": ("POST", {"origin": "http://todo.localhost"}),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_answered(case: str) -> None:
    method, headers = ALLOWED[case]

    assert refusal_of_foreign_page(Request(f"{HERE}/x", method, headers)) is None


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    method, headers = REFUSED[case]

    refusal = refusal_of_foreign_page(Request(f"{HERE}/x", method, headers))

    assert refusal is not None
    assert refusal.startswith(f"{method} /x was sent by a")


@pytest.mark.parametrize(
    ("url", "origin", "is_own"),
    [
        ("http://a.com/", "http://a.com", True),
        ("http://a.com:80/", "http://a.com", True),
        ("https://a.com/", "https://a.com:443", True),
        ("http://a.com:443/", "http://a.com", False),
        ("http://A.com/", "http://a.COM", True),
        ("http://a.com/", "null", False),
        ("http://null/", "null", False),
        ("http://a.com/", "", False),
    ],
)
def test_hosts_are_compared_with_their_ports(url: str, origin: str, is_own: bool) -> None:  # noqa: FBT001  # a column
    request = Request.unchecked(url=url, method="POST", headers=Headers({"origin": origin}), body=None)

    assert (refusal_of_foreign_page(request) is None) == is_own


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/; HttpOnly", "a=1; Path=/; HttpOnly"),
        ("a=1; Domain=localhost; Path=/", "a=1; Path=/"),
        ("a=1;DOMAIN = .example.com", "a=1"),
        ("a=1; domain", "a=1"),
        ("domain=1; Path=/", "domain=1; Path=/"),
        ("a=1; Domain=a; domain=b", "a=1"),
    ],
)
def test_cookies_lose_their_domain(cookie: str, kept: str) -> None:
    headers = Headers([("set-cookie", "first=1"), ("x", "y"), ("set-cookie", cookie)])

    keep_cookies_at_home(headers)

    assert headers.get_set_cookie() == ["first=1", kept]
    assert headers["x"] == "y"


@given(st.lists(st.sampled_from(["a=1", " Domain=x", "domain=y ", "\tDOMAIN\t=z", " Path=/", "", "="]), max_size=6))
def test_no_cookie_keeps_a_domain(parts: list[str]) -> None:
    headers = Headers([("set-cookie", ";".join(["n=v", *parts]))])

    keep_cookies_at_home(headers)

    attributes = headers.get_set_cookie()[0].split(";")[1:]
    assert not any(attribute.partition("=")[0].strip().lower() == "domain" for attribute in attributes)


def test_an_app_cannot_clear_the_cookies_of_its_neighbours() -> None:
    headers = Headers({"Clear-Site-Data": '"cookies"', "x": "y"})

    keep_cookies_at_home(headers)

    assert headers.multi_items() == [("x", "y")]
