"""Headers: Fetch semantics, a mapping for Python, nothing that could forge a line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HttpMessageError
from perdure.web import Headers

NAMES = st.text("abcXYZ019-_!~", min_size=1, max_size=8)
VALUES = st.text(st.characters(max_codepoint=0xFF, blacklist_characters="\r\n\0"), max_size=20)


def test_names_are_case_insensitive_and_shown_in_lower_case() -> None:
    headers = Headers({"Content-Type": "text/html"})

    assert headers["CONTENT-TYPE"] == "text/html"
    assert "content-type" in headers
    assert headers.multi_items() == [("content-type", "text/html")]


def test_lines_of_one_name_are_joined() -> None:
    headers = Headers([("accept", "a"), ("Accept", "b"), ("cookie", "x=1"), ("cookie", "y=2")])

    assert headers.get("accept") == "a, b"
    assert headers.get("cookie") == "x=1; y=2"
    assert headers.get_all("accept") == ["a", "b"]


def test_set_cookie_lines_stay_apart() -> None:
    headers = Headers([("set-cookie", "a=1; Expires=Wed, 21 Oct"), ("set-cookie", "b=2"), ("b", "x")])

    assert headers.get_set_cookie() == ["a=1; Expires=Wed, 21 Oct", "b=2"]
    assert headers.items() == [("b", "x"), ("set-cookie", "a=1; Expires=Wed, 21 Oct"), ("set-cookie", "b=2")]


def test_set_replaces_and_append_adds() -> None:
    headers = Headers([("a", "1"), ("b", "2"), ("A", "3")])

    headers.set("a", "4")
    headers.append("b", "5")

    assert headers.multi_items() == [("b", "2"), ("a", "4"), ("b", "5")]


def test_it_reads_like_a_mapping() -> None:
    headers = Headers({"b": "2", "a": "1"})

    assert dict(headers) == {"a": "1", "b": "2"}
    assert list(headers) == ["a", "b"]
    assert len(headers) == 2
    assert headers.values() == ["1", "2"]
    assert headers.get("none") is None
    assert headers.get("none", "else") == "else"
    with pytest.raises(KeyError):
        headers["none"]


def test_deleting_what_is_missing_is_an_error_only_for_del() -> None:
    headers = Headers({"a": "1"})

    headers.delete("none")
    with pytest.raises(KeyError):
        del headers["none"]
    del headers["A"]

    assert not headers.has("a")


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "a\0"])
def test_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(HttpMessageError, match="header name"):
        Headers().append(name, "x")


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "漢"])
def test_a_value_that_could_forge_a_line_is_refused(value: str) -> None:
    with pytest.raises(HttpMessageError, match="value of header `x`"):
        Headers({"x": value})


def test_a_value_that_is_no_string_is_refused() -> None:
    with pytest.raises(HttpMessageError, match="`int` as its value"):
        Headers({"content-length": 5})  # type: ignore[arg-type]  # what an untyped caller does


def test_whitespace_around_a_value_is_dropped() -> None:
    assert Headers({"x": " \t a b \r\n"})["x"] == "a b"


def test_bytes_of_a_server_are_decoded_at_the_first_look() -> None:
    headers = Headers.from_asgi([(b"x-a", b"caf\xe9"), (b"x-a", b"2")])

    headers.append("x-b", "3")

    assert headers.multi_items() == [("x-a", "café"), ("x-a", "2"), ("x-b", "3")]


def test_a_copy_is_independent() -> None:
    first = Headers({"a": "1"})

    second = Headers(first)
    second.set("a", "2")

    assert first["a"] == "1"


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_whatever_is_accepted_survives_the_wire(lines: list[tuple[str, str]]) -> None:
    headers = Headers(lines)

    assert Headers.from_asgi(headers.to_asgi()) == headers
    assert Headers(headers.multi_items()).multi_items() == headers.multi_items()


@given(st.text(max_size=20), st.text(max_size=20))
def test_nothing_accepted_contains_a_line_break(name: str, value: str) -> None:
    try:
        lines = Headers([(name, value)]).to_asgi()
    except HttpMessageError:
        return

    assert not set(b"".join(lines[0])) & {0, 10, 13}
