"""Response: defaults and refusals of Fetch, and the makers of common answers."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from perdure.errors import HttpMessageError
from perdure.web import Response


def test_a_text_body_is_plain_text() -> None:
    response = Response("hé")

    assert (response.status, response.status_text, response.ok) == (200, "", True)
    assert response.headers.multi_items() == [("content-type", "text/plain;charset=UTF-8")]
    assert response.body == "hé".encode()


def test_bytes_and_nothing_have_no_content_type() -> None:
    assert Response(b"x").headers.multi_items() == []
    assert Response().headers.multi_items() == []
    assert Response().body is None
    assert Response("").body == b""


def test_json_on_the_class_makes_and_on_an_instance_reads() -> None:
    response = Response.json({"é": [1, None]}, status=201, headers={"x": "1"})

    assert response.body == '{"é":[1,null]}'.encode()
    assert response.status == 201
    assert response.headers.multi_items() == [("x", "1"), ("content-type", "application/json")]
    assert asyncio.run(response.json()) == {"é": [1, None]}


def test_json_keeps_a_content_type_that_was_given() -> None:
    assert Response.json(1, headers={"Content-Type": "application/problem+json"}).headers.multi_items() == [
        ("content-type", "application/problem+json")
    ]


def test_json_refuses_what_json_lacks() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        Response.json(float("nan"))
    with pytest.raises(TypeError, match="not JSON serializable"):
        Response.json({1, 2})


def test_html() -> None:
    response = Response.html("<p>", status=404)

    assert (response.status, response.headers["content-type"]) == (404, "text/html;charset=UTF-8")


def test_redirect() -> None:
    response = Response.redirect("/é?a b")

    assert (response.status, response.headers["location"], response.body) == (302, "/%C3%A9?a%20b", None)
    assert Response.redirect("/", 303).status == 303
    with pytest.raises(HttpMessageError, match="no redirect"):
        Response.redirect("/", 200)


def test_a_redirect_cannot_forge_a_header() -> None:
    assert Response.redirect("/\r\nset-cookie: a=1").headers.multi_items() == [("location", "/%0D%0Aset-cookie:%20a=1")]


@pytest.mark.parametrize("status", [0, 101, 199, 600, True, "200", 200.0])
def test_a_status_outside_the_range_is_refused(status: object) -> None:
    with pytest.raises(HttpMessageError, match="outside 200 to 599"):
        Response(None, status)  # type: ignore[arg-type]  # what an untyped caller does


def test_an_http_status_is_an_int() -> None:
    assert type(Response(None, HTTPStatus.NOT_FOUND).status) is int


@pytest.mark.parametrize("status", [204, 205, 304])
def test_a_status_without_body_refuses_one(status: int) -> None:
    with pytest.raises(HttpMessageError, match="has no body"):
        Response("x", status)
    assert Response(None, status).body is None
    assert Response("", status).body is None
    assert Response(b"", status).headers.get("content-type") is None


def test_a_status_text_with_a_line_break_is_refused() -> None:
    with pytest.raises(HttpMessageError, match="status line"):
        Response(None, status_text="a\r\nb")


def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    assert Response("a\ud800b").body == "a�b".encode()
