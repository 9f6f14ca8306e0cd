"""The origin policy: a page of one origin gets nothing from another, except that a person may follow a link.

Refused is what a foreign page sends here by form, fetch, socket, frame, script or image. Browsers say who asks in
`Sec-Fetch-*`, which a page cannot forge; those that do not (an old browser, or plain http to a name that is not
localhost) say it in `Origin`. A client that says neither is no page. Effects: none.
"""

from __future__ import annotations

from typing import Final

from perdure.web import Headers, Request

_OWN_SITES: Final = frozenset({"same-origin", "none"})
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def refusal_of_foreign_page(request: Request) -> str | None:
    """Why `request` must not be answered, or None when it may."""
    headers = request.headers
    site = headers.get("sec-fetch-site")
    if site is not None:
        return None if site in _OWN_SITES or _follows_link(request) else _refusal(request, f"a {site} page")
    origin = headers.get("origin")
    if origin is None or _authority(origin) == _authority(request.url):
        return None
    return _refusal(request, f"a page of `{origin:.100}`")


def keep_cookies_at_home(headers: Headers) -> None:
    """Let an app's answer touch no cookie but its own: no `Domain` in Set-Cookie lines, and no Clear-Site-Data.

    That one makes a browser forget the cookies of all hosts of the registered domain.
    """
    headers.delete("clear-site-data")
    cookies = headers.get_set_cookie()
    if not any("domain" in cookie.lower() for cookie in cookies):
        return
    headers.delete("set-cookie")
    for cookie in cookies:
        headers.append("set-cookie", _without_domain(cookie))


def _follows_link(request: Request) -> bool:
    headers = request.headers
    return (
        request.method in _SAFE_METHODS
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _authority(url: str) -> str:
    """Host and port of a URL or origin, the default port left out; the scheme may differ behind a TLS proxy."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return ""  # "null": a sandboxed frame or a redirect; it equals no host
    authority = rest.partition("/")[0].lower()
    return authority.removesuffix(_DEFAULT_PORTS.get(scheme, ""))


def _refusal(request: Request, whom: str) -> str:
    return (
        f"{request.method} {request.path} was sent by {whom}. Pages of other origins may only link here: "
        "every app, and the platform itself, is an origin of its own."
    )


def _without_domain(cookie: str) -> str:
    pair, *attributes = cookie.split(";")
    kept = [attribute for attribute in attributes if attribute.partition("=")[0].strip().lower() != "domain"]
    return ";".join([pair, *kept])
