"""Form bodies, written by an encoder that is not ours (httpx) and by hand."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import HttpMessageError
from perdure.limits import FORM_FIELDS_MAX
from perdure.web import File, FormData, Request

BOUNDARY = "multipart/form-data; boundary=b"


def read(content_type: str, body: bytes) -> FormData:
    return asyncio.run(Request("http://app/", "POST", {"content-type": content_type}, body).form())


def test_urlencoded_fields() -> None:
    form = read("application/x-www-form-urlencoded;charset=UTF-8", b"text=a+b%26c&empty=&text=%C3%A9&bare")

    assert form["text"] == "a b&c"
    assert form.get_all("text") == ["a b&c", "é"]
    assert form.items() == [("text", "a b&c"), ("empty", ""), ("text", "é"), ("bare", "")]
    assert list(form) == ["text", "empty", "bare"]
    assert form.get("none") is None


def test_multipart_fields_and_files() -> None:
    sent = httpx.Request(
        "POST", "http://app", data={"title": "Ünï"}, files={"doc": ("a.bin", b"\0\r\n--x\xff", "image/png")}
    )

    form = read(sent.headers["content-type"], sent.read())

    assert form["title"] == "Ünï"
    file = form["doc"]
    assert isinstance(file, File)
    assert (file.name, file.type, file.size) == ("a.bin", "image/png", 7)
    assert asyncio.run(file.bytes()) == b"\0\r\n--x\xff"


def test_preamble_padding_and_epilogue_are_ignored() -> None:
    body = b'hi\r\n--b \t\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\nbye'

    assert read(BOUNDARY, body).items() == [("a", "1")]


def test_quotes_and_line_breaks_in_names_are_unescaped() -> None:
    body = b'--b\r\ncontent-disposition: form-data; name="a%22%0D%0Ab"; filename="; name=x"\r\n\r\n1\r\n--b--'

    form = read(BOUNDARY, body)

    file = form['a"\r\nb']
    assert isinstance(file, File)
    assert (file.name, file.type) == ("; name=x", "text/plain")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "no closing boundary"),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1', "no closing boundary"),
        (b"--b\r\nContent-Disposition: form-data\r\n--b--", "headers do not end"),
        (b"--bx\r\n\r\n--b--", "headers do not end"),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\n1\r\n--b--", "name="),
        (b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\n1\r\n--b--', "name="),
    ],
)
def test_a_malformed_multipart_body_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(HttpMessageError, match=complaint):
        read(BOUNDARY, body)


def test_a_boundary_is_needed() -> None:
    with pytest.raises(HttpMessageError, match="`boundary` parameter"):
        read("multipart/form-data", b"")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", ""])
def test_another_content_type_is_no_form(content_type: str) -> None:
    with pytest.raises(HttpMessageError, match="not a form"):
        read(content_type, b"a=1")


def test_fields_are_limited() -> None:
    with pytest.raises(HttpMessageError, match="more than"):
        read("application/x-www-form-urlencoded", b"a=1&" * (FORM_FIELDS_MAX + 1))
    with pytest.raises(HttpMessageError, match="more than"):
        read(
            BOUNDARY, b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * (FORM_FIELDS_MAX + 1) + b"--b--"
        )


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.binary(), min_size=1, max_size=4)
)
def test_what_httpx_writes_is_read_back(fields: dict[str, bytes]) -> None:
    sent = httpx.Request("POST", "http://app", files={name: ("f", content) for name, content in fields.items()})

    form = read(sent.headers["content-type"], sent.read())

    contents = [asyncio.run(file.bytes()) for _, file in form.items() if isinstance(file, File)]
    assert contents == list(fields.values())


@given(st.binary(max_size=200), st.sampled_from([BOUNDARY, "application/x-www-form-urlencoded"]))
def test_no_body_breaks_the_parser(body: bytes, content_type: str) -> None:
    try:
        read(content_type, body.replace(b"B", b"\r\n--b"))
    except HttpMessageError:
        return
