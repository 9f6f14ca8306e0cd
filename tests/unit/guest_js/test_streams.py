"""Streams in JavaScript guests, and bodies that are streams. What Node does was looked up; the values stand here."""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import Any

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver, error_of, only

STREAMS = {
    "const o = []; for await (const x of ReadableStream.from([1, 2])) o.push(x); o.join()": "1,2",
    "const [a, b] = new Response('xy').body.tee();"
    " (await new Response(a).text()) + await new Response(b).text()": "xyxy",
    "const s = new TransformStream({ transform(x, c) { c.enqueue(x * 2) } });"
    " const w = s.writable.getWriter(); w.write(21); w.close(); (await s.readable.getReader().read()).value": 42,
    "const got = []; const s = new WritableStream({ write(x) { got.push(x) } });"
    " await ReadableStream.from(['a', 'b']).pipeTo(s); got.join()": "a,b",
    "const r = new Response('hello').body.getReader({ mode: 'byob' });"
    " [...(await r.read(new Uint8Array(3))).value, ...(await r.read(new Uint8Array(3))).value].length": 5,
    "new ReadableStream({}, new CountQueuingStrategy({ highWaterMark: 3 })).locked": False,
    "let why; const s = new ReadableStream({ cancel(reason) { why = reason } });"
    " await s.cancel('enough'); why": "enough",
    "const s = new ReadableStream({ start(c) { c.error(new RangeError('gone')) } });"
    " await s.getReader().read().catch((e) => e.name)": "RangeError",
}
TEXT = {
    "await new Response(ReadableStream.from(['ä', '€']).pipeThrough(new TextEncoderStream())).text()": "ä€",
    "const smile = '😀'; await new Response(ReadableStream.from([smile[0], smile[1]])"
    ".pipeThrough(new TextEncoderStream())).text()": "😀",
    "(await new Response(ReadableStream.from(['\\ud83d'])"
    ".pipeThrough(new TextEncoderStream())).bytes()).toHex()": "efbfbd",
    "const o = []; const euro = new Uint8Array([0xe2, 0x82, 0xac]);"
    " for await (const x of ReadableStream.from([euro.subarray(0, 1), euro.subarray(1)])"
    ".pipeThrough(new TextDecoderStream())) o.push(x); o.join('|')": "€",
    "await ReadableStream.from([new Uint8Array([0xff])]).pipeThrough(new TextDecoderStream('utf-8', { fatal: true }))"
    ".getReader().read().catch((e) => e.name)": "TypeError",
    "new TextDecoderStream('utf8').encoding + new TextEncoderStream().encoding": "utf-8utf-8",
}
BODIES = {
    "await new Response(ReadableStream.from([new Uint8Array([65, 66])])).text()": "AB",
    "const r = new Response(ReadableStream.from([new Uint8Array([65])])); const c = r.clone();"
    " (await r.text()) + (await c.text()) + r.bodyUsed": "AAtrue",
    "const r = new Response('x'); const q = new Response(r.body, r); (await q.text()) + r.bodyUsed": "xtrue",
    "const r = new Response('x'); r.body === r.body": True,
    "const r = new Response('x'); await r.text(); r.bodyUsed && r.body.locked": True,
    "const r = new Response('x'); r.body.getReader(); await r.text().catch((e) => e.message)": (
        "this body has a reader already: read from that, or release its lock"
    ),
    "const r = new Request('http://a/', { method: 'POST', body: 'x' }); const q = new Request(r);"
    " r.bodyUsed + (await q.text())": "truex",
    "const r = new Request('http://a/', { method: 'POST', duplex: 'half', body: new Blob(['streamed']).stream() });"
    " await r.clone().text() + await r.text()": "streamedstreamed",
    "const r = new Request('http://a/', { method: 'POST', body: 'x' }); const { body } = r; await r.text();"
    " try { new Response(body) } catch (e) { e.name }": "TypeError",
    "async function* parts() { yield new Uint8Array([65]) } await new Response(parts()).text()": "A",
    "const r = new Response(null); (await r.text()) + (await r.text()) + r.bodyUsed": "false",
    "await new Response(ReadableStream.from(['a'])).text().catch((e) => e.message)": (
        "the stream of a body gives bytes, this one gave `string`: pipe it through a TextEncoderStream, or enqueue "
        "new TextEncoder().encode(text)"
    ),
}
COMPRESSED = (
    "const packed = (format, text) => new Response(new Response(text).body"
    ".pipeThrough(new CompressionStream(format))).bytes();"
    "const unpacked = (format, ...parts) => new Response(new Blob(parts).stream()"
    ".pipeThrough(new DecompressionStream(format))).text();"
)


@pytest.mark.parametrize(("source", "value"), [*STREAMS.items(), *TEXT.items(), *BODIES.items()])
def test_it_does_what_the_standard_says(javascript: JavaScript, source: str, value: object) -> None:
    assert javascript().evaluate(source) == value


# ── compression ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [0, 1, 5_000, 150_000])
@pytest.mark.parametrize("form", ["gzip", "deflate", "deflate-raw"])
def test_what_is_compressed_comes_back(javascript: JavaScript, form: str, size: int) -> None:
    source = f"{COMPRESSED} const text = 'words, '.repeat({size}).slice(0, {size});"
    source += f"await unpacked('{form}', await packed('{form}', text)) === text"

    assert javascript().evaluate(source) is True


def test_the_formats_are_those_of_zlib(javascript: JavaScript) -> None:
    text = "the same in both languages " * 200
    theirs = [base64.b64encode(each).decode() for each in (gzip.compress(text.encode()), zlib.compress(text.encode()))]
    guest = javascript()

    read = [
        guest.evaluate(f"{COMPRESSED} await unpacked('{form}', Uint8Array.fromBase64(data))", data=data)
        for form, data in zip(["gzip", "deflate"], theirs, strict=True)
    ]
    written = base64.b64decode(guest.evaluate(f"{COMPRESSED} (await packed('gzip', text)).toBase64()", text=text))

    assert read == [text, text]
    assert gzip.decompress(written).decode() == text


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("b.slice(0, -3)", "the compressed data ends too early"),
        ("b.slice(0, 0)", "the compressed data ends too early"),
        ("(b[b.length - 6] ^= 1, b)", "the compressed data is broken"),
        ("(b[0] ^= 1, b)", "the compressed data is broken"),
    ],
)
def test_damage_is_told(javascript: JavaScript, damage: str, message: str) -> None:
    source = f"{COMPRESSED} const b = await packed('gzip', 'words '.repeat(99)); await unpacked('gzip', {damage})"

    with pytest.raises(RuntimeError, match=message):
        javascript().evaluate(source)


def test_what_follows_the_end_is_told(javascript: JavaScript) -> None:
    with pytest.raises(RuntimeError, match="more data after the end"):
        javascript().evaluate(f"{COMPRESSED} await unpacked('deflate', await packed('deflate', 'x'), 'junk')")


def test_a_decompression_bomb_unfolds_no_further_than_it_is_read(javascript: JavaScript) -> None:
    bomb = base64.b64encode(gzip.compress(bytes(400_000_000), 9)).decode()  # three times what the guest may have
    source = (
        "let size = 0; const stream = new Blob([Uint8Array.fromBase64(bomb)]).stream();"
        "for await (const chunk of stream.pipeThrough(new DecompressionStream('gzip')))"
        " if ((size += chunk.length) > 500_000) break; size"
    )

    assert 500_000 < javascript(cpu_ms=60_000).evaluate(source, bomb=bomb) < 1_700_000


def test_a_format_that_is_not_there_is_named(javascript: JavaScript) -> None:
    with pytest.raises(RuntimeError, match="`br` is no format of compression here: use deflate, deflate-raw, gzip"):
        javascript().evaluate("new CompressionStream('br')")


# ── on their way out ─────────────────────────────────────────────────────────────────────────────────────────


def _settled(guest: Driver, report: dict[str, Any]) -> dict[str, Any]:
    while "d" not in report:
        guest.host.now_ms += report["t"]
        report = guest.resume()
    return report


def _answer(guest: Driver, **body: object) -> dict[str, Any]:
    method = "POST" if body else "GET"
    return _settled(guest, guest.event("fetch", r={"m": method, "u": "http://h/", "h": [], **body}, x="default"))


def _read(guest: Driver, number: int) -> dict[str, Any]:
    return _settled(guest, guest.event("stream", n=number, act="read"))


def _chunk(guest: Driver, number: int) -> bytes | None:
    tree = only(_read(guest, number))
    return None if tree is None else base64.b64decode(tree[1])


def test_a_stream_leaves_as_it_is_read(javascript: JavaScript) -> None:
    guest = javascript(
        "const wait = (ms) => new Promise((done) => setTimeout(done, ms));"
        "export default { fetch() { const { readable, writable } = new TransformStream();"
        " (async () => { const writer = writable.getWriter(); const encoder = new TextEncoder();"
        " for (const part of ['one ', 'two ', 'three']) { await wait(10); await writer.write(encoder.encode(part)) }"
        " await writer.close() })();"
        " return new Response(readable, { headers: { 'content-type': 'text/event-stream' } }) } }"
    )

    answer = only(_answer(guest))

    assert answer == {"s": 200, "h": [["content-type", "text/event-stream"]], "S": 1}
    assert [_chunk(guest, 1) for _ in range(4)] == [b"one ", b"two ", b"three", None]
    assert "has ended" in error_of(_read(guest, 1))["message"]


def test_a_stream_that_fails_is_an_error_where_it_is_read(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { fetch() { return new Response(new ReadableStream({ pull(c) {"
        " c.error(new RangeError('half way')) } })) } }"
    )
    only(_answer(guest))

    assert error_of(_read(guest, 1))["message"] == "half way"


def test_a_chunk_of_something_else_is_an_error(javascript: JavaScript) -> None:
    guest = javascript("export default { fetch() { return new Response(ReadableStream.from(['text', 'more'])) } }")
    only(_answer(guest))

    assert "TextEncoderStream" in error_of(_read(guest, 1))["message"]


def test_large_chunks_are_cut_and_an_endless_stream_is_pulled_no_further_than_it_is_read(
    javascript: JavaScript,
) -> None:
    guest = javascript(
        "globalThis.pulled = globalThis.cancelled = 0; export default { fetch() { return new Response("
        "new ReadableStream({ pull(c) { pulled++; c.enqueue(new Uint8Array(100_000)) }, cancel() { cancelled++ } },"
        " { highWaterMark: 0 })) } }"
    )
    only(_answer(guest))

    assert [len(_chunk(guest, 1) or b"") for _ in range(3)] == [65_536, 34_464, 65_536]
    assert guest.evaluate("pulled") == 2
    assert only(guest.event("stream", n=[1, 7], act="cancel")) is None
    assert guest.evaluate("cancelled") == 1


def test_a_stream_of_the_hosts_is_asked_for_as_it_is_read(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { async fetch(request) { let text = ''; const decoder = new TextDecoder();"
        " for await (const chunk of request.body) text += decoder.decode(chunk, { stream: true });"
        " return new Response(text) } }"
    )

    report = guest.event("fetch", r={"m": "POST", "u": "http://h/", "h": [], "S": 5}, x="default")
    for number, chunk in enumerate(["a", ["bytes", "w6k="], None], start=1):
        assert report["o"] == [[number, "stream", {"n": 5, "act": "read"}]]
        report = guest.resume([number, 1, chunk])

    assert only(report)["b"] == "aé"
    assert "o" not in report


def test_an_error_of_the_hosts_stream_is_an_error_where_it_is_read(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { fetch: (request) => request.text().then(String, (e) => e.message)"
        ".then((text) => new Response(text)) }"
    )

    guest.event("fetch", r={"m": "POST", "u": "http://h/", "h": [], "S": 5}, x="default")

    assert only(guest.resume([1, 0, {"type": "StreamLostError", "message": "gone"}]))["b"] == "gone"


def test_a_stream_of_the_hosts_is_handed_back_unread(javascript: JavaScript) -> None:
    guest = javascript("export default { fetch: (request) => new Response(request.body) }")

    report = _answer(guest, S=5)

    assert only(report) == {"s": 200, "h": [], "R": 5}
    assert "o" not in report


def test_a_stream_of_the_hosts_that_is_cancelled_is_told(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { async fetch(request) { await request.body.cancel(); return new Response('') } }"
    )

    assert _answer(guest, S=5)["o"] == [[1, "stream", {"n": 5, "act": "cancel"}]]


def test_a_response_that_was_read_is_no_answer(javascript: JavaScript) -> None:
    guest = javascript("export default { async fetch() { const r = new Response('x'); await r.text(); return r } }")

    assert "already been used" in error_of(_answer(guest))["message"]
