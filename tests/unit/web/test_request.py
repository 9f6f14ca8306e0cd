"""Request: what Fetch accepts, refuses and derives."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HttpMessageError
from perdure.web import Headers, Request


@pytest.mark.parametrize(
    ("given_url", "url"),
    [
        ("http://Example.COM", "http://example.com/"),
        ("HTTPS://a:443/x", "https://a/x"),
        ("http://a:8080", "http://a:8080/"),
        ("http://a/é b", "http://a/%C3%A9%20b"),
        ('http://a/%zz?q="x"#<f>', "http://a/%zz?q=%22x%22#%3Cf%3E"),
        ("http://a/b/../c/./d", "http://a/c/d"),
        ("http://a/b/%2e%2E/../../c/..", "http://a/"),
        ("http://a/..a/.b./", "http://a/..a/.b./"),
        ("http://[::1]:8787/x", "http://[::1]:8787/x"),
        ("http://a?x=1", "http://a/?x=1"),
        ("http://a\\@evil.com/", None),
    ],
)
def test_urls_are_normalised_as_a_browser_would(given_url: str, url: str | None) -> None:
    if url is None:
        with pytest.raises(HttpMessageError, match="Invalid URL"):
            Request(given_url)
    else:
        assert Request(given_url).url == url


@pytest.mark.parametrize(
    "url", ["/x", "", "ftp://a/", "http://", "http://u:p@a/", "http:///x", "http://a b/", "javascript:1"]
)
def test_a_url_that_is_not_absolute_http_is_refused(url: str) -> None:
    with pytest.raises(HttpMessageError, match="Invalid URL"):
        Request(url)


def test_path_and_query() -> None:
    request = Request("http://a/notes/a%20b?x=1&y=a+b&x=2&z")

    assert request.path == "/notes/a%20b"
    assert request.query == {"x": "1", "y": "a b", "z": ""}
    assert request.query_all == {"x": ["1", "2"], "y": ["a b"], "z": [""]}


def test_common_methods_are_upper_cased_and_others_kept() -> None:
    assert Request("http://a", "post").method == "POST"
    assert Request("http://a", "patch").method == "patch"


@pytest.mark.parametrize("method", ["", "GE T", "connect", "TRACE", "A\r\n"])
def test_a_method_that_fetch_forbids_is_refused(method: str) -> None:
    with pytest.raises(HttpMessageError, match="no HTTP method"):
        Request("http://a", method)


def test_get_has_no_body() -> None:
    with pytest.raises(HttpMessageError, match="has no body"):
        Request("http://a", "GET", None, "x")
    assert Request("http://a", "GET", None, b"").body is None


def test_a_text_body_gets_a_content_type_unless_there_is_one() -> None:
    assert Request("http://a", "POST", None, "x").headers["content-type"] == "text/plain;charset=UTF-8"
    assert Request("http://a", "POST", {"Content-Type": "a/b"}, "x").headers["content-type"] == "a/b"
    assert not Request("http://a", "POST", None, b"x").headers.has("content-type")


def test_a_body_can_be_read_again_and_in_every_form() -> None:
    request = Request("http://a", "POST", None, '{"a": [1]}')

    assert asyncio.run(request.json()) == {"a": [1]}
    assert asyncio.run(request.text()) == '{"a": [1]}'
    assert asyncio.run(request.bytes()) == b'{"a": [1]}'


def test_text_is_utf8_without_its_mark_and_with_replacements() -> None:
    request = Request("http://a", "POST", None, b"\xef\xbb\xbfa\xff")

    assert asyncio.run(request.text()) == "a�"


def test_a_body_that_is_not_json_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        asyncio.run(Request("http://a", "POST", None, "no").json())


def test_a_body_of_another_type_is_refused_with_advice() -> None:
    with pytest.raises(HttpMessageError, match=r"not a `dict`: use Response.json"):
        Request("http://a", "POST", None, {"a": 1})  # type: ignore[arg-type]  # what an untyped caller does


def test_a_clone_has_headers_of_its_own() -> None:
    request = Request("http://a", "POST", {"a": "1"}, "x")

    clone = request.clone()
    clone.headers.set("a", "2")

    assert request.headers["a"] == "1"
    assert (clone.url, clone.method, clone.body) == (request.url, request.method, request.body)


def test_parts_that_are_known_to_be_valid_are_taken_as_they_are() -> None:
    request = Request.unchecked(url="http://a/x?y=1", method="GET", headers=Headers(), body=None)

    assert (request.path, request.query) == ("/x", {"y": "1"})
    assert asyncio.run(request.bytes()) == b""


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_path_and_query_become_printable_ascii_and_stay(path: str, query: str) -> None:
    url = Request(f"http://a/{path.replace('?', '')}?{query}").url

    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    assert Request(url).url == url


@given(st.text(max_size=40))
def test_a_text_survives_as_utf8(text: str) -> None:
    body = Request("http://a", "POST", None, text).body

    assert isinstance(body, bytes)
    assert body.decode() == text
