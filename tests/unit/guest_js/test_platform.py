"""Events, blobs, forms, patterns and decoders of JavaScript guests. What Node does was looked up."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.unit.guest_js.cases import cases_in
from tests.unit.isolates.conftest import JavaScript

CASES = Path(__file__).with_name("platform_cases.js").read_text(encoding="utf-8")
REFUSED = {
    "new Event()": "an Event needs a type",
    "new EventTarget().dispatchEvent({ type: 'x' })": "dispatchEvent\\(\\) takes an Event",
    "new EventTarget().addEventListener('x', 'alert()')": "an event listener is a function",
    "AbortSignal.timeout('soon')": "takes milliseconds, not `soon`",
    "AbortSignal.any([{}])": "takes an array of AbortSignals",
    "new Blob('text')": "made from an array of its parts",
    "new File(['x'])": "needs its parts and a name",
    "new FormData().append('a', 'text', 'name.txt')": "only a Blob or a File has a file name",
    "new TextDecoder('shift_jis')": "`shift_jis` is no encoding known here",
    "new TextDecoder('nonsense')": "`nonsense` is no encoding known here",
    "new TextDecoder('windows-1253', { fatal: true }).decode(new Uint8Array([0xd2]))": "TypeError",
    "new URLPattern({ pathname: '/:' })": "TypeError",
    "Response.redirect('http://a/', 200)": "no status of a redirect",
}


@pytest.mark.parametrize(("source", "value"), cases_in(CASES))
def test_it_does_what_the_standard_says(javascript: JavaScript, source: str, value: object) -> None:
    assert javascript().settled(source) == value


@pytest.mark.parametrize(("source", "text"), REFUSED.items())
def test_it_refuses_what_the_standard_refuses(javascript: JavaScript, source: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        javascript().evaluate(source)


# ── multipart from anywhere ──────────────────────────────────────────────────────────────────────────────────

_TYPE = 'multipart/form-data; boundary="b b"'
_READ = "[...await new Response(body, { headers: { 'content-type': type } }).formData()]"
_HEAD = 'Content-Disposition: form-data; name="x"'


def _part(content: str = "1", head: str = _HEAD) -> str:
    return f"--b b\r\n{head}\r\n\r\n{content}\r\n"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (_part("a\r\n--b \r\nb") + "--b b--", [["x", "a\r\n--b \r\nb"]]),
        ("preamble\r\n" + _part() + "--b b--\r\nepilogue", [["x", "1"]]),
        ("--b b  \r\n" + _HEAD + "\r\n\r\n1\r\n--b b--", [["x", "1"]]),
        (_part(head="content-disposition:form-data;name=x\r\nX-Other: 1") + "--b b--", [["x", "1"]]),
        (_part("") + _part("2") + "--b b--", [["x", ""], ["x", "2"]]),
    ],
)
def test_forms_of_others_are_read(javascript: JavaScript, body: str, form: list[list[str]]) -> None:
    assert json.loads(javascript().evaluate(f"JSON.stringify({_READ})", body=body, type=_TYPE)) == form


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("", "it has no boundary"),
        ("--b b", "a boundary is not at the end of its line"),
        ("--b bjunk\r\n", "a boundary is not at the end of its line"),
        ("--b b\r\n" + _HEAD + "\r\n\r\n1", "it ends inside of a part"),
        (_part(head="Content-Type: a/b") + "--b b--", "a part has no name"),
        (_part(head="nonsense") + "--b b--", "a line of a part's head is not"),
        (_part(head="Content-Disposition: attachment; name=x") + "--b b--", "a part is no form-data"),
        (_part(head=_HEAD + "\r\nX: " + "y" * 20_000) + "--b b--", "more than 16384 bytes"),
        (_part() * 10_001 + "--b b--", "a form has at most 10000 parts"),
    ],
)
def test_malformed_forms_say_why(javascript: JavaScript, body: str, why: str) -> None:
    with pytest.raises(RuntimeError, match=why):
        javascript().evaluate(_READ, body=body, type=_TYPE)


def test_a_large_file_in_a_form_is_read_quickly(javascript: JavaScript) -> None:
    """Also one that is nothing but beginnings of boundaries."""
    content = "\r\n--b" * 200_000
    body = _part(content, _HEAD + '; filename="f"') + "--b b--"
    source = f"const [[, file]] = {_READ}; file.size"

    assert javascript(cpu_ms=3_000).evaluate(source, body=body, type=_TYPE) == len(content)


def test_bytes_of_a_file_arrive_as_they_are(javascript: JavaScript) -> None:
    every = bytes(range(256)) * 4
    body = _part("", _HEAD + '; filename="f"').encode()[:-2] + every + b"\r\n--b b--"
    source = (
        "const bytes = Uint8Array.fromBase64(data); const headers = { 'content-type': type };"
        "const form = await new Response(bytes, { headers }).formData(); (await form.get('x').bytes()).toBase64()"
    )

    read = javascript().evaluate(source, data=base64.b64encode(body).decode(), type=_TYPE)

    assert base64.b64decode(read) == every
