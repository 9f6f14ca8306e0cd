"""The web API of JavaScript guests. What Node does was looked up; the values stand here."""

from __future__ import annotations

import pytest
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import only

URLS = {
    "new URL('../x?b=2#y', 'https://a.b/c/d/').href": "https://a.b/c/x?b=2#y",
    "new URL('https://BÜCHER.de/ü?ß').href": "https://xn--bcher-kva.de/%C3%BC?%C3%9F",
    "(u => { u.searchParams.append('y', 'ä b'); return u.href })(new URL('https://a.b/?x=1'))": "https://a.b/?x=1&y=%C3%A4+b",
    "(u => { const p = u.searchParams; u.search = '?q=2'; return p.get('q') })(new URL('https://a.b/?x'))": "2",
    "URL.canParse('nope')": False,
    "URL.parse('nope')": None,
    "[...new URLSearchParams({ a: '1', b: 'ä&' })].join()": "a,1,b,ä&",
    "new URLSearchParams('a=1&b=2&a=3').getAll('a').join()": "1,3",
    "String(new URLSearchParams([['a b', '1']]))": "a+b=1",
}
MESSAGES = {
    "[...new Headers([['B', '1'], ['a', '2'], ['b', '3']])].join('|')": "a,2|b,1, 3",
    "new Headers([['set-cookie', 'a'], ['Set-Cookie', 'b']]).getSetCookie().join('|')": "a|b",
    "new Headers({ A: ' x ' }).get('a')": "x",
    "new Response('x').headers.get('content-type')": "text/plain;charset=UTF-8",
    "Response.json({ a: 1 }, { status: 201 }).status": 201,
    "await Response.json({ a: 1 }).text()": '{"a":1}',
    "Response.redirect('https://a.b/').headers.get('location')": "https://a.b/",
    "await new Request('https://a.b', { method: 'post', body: new URLSearchParams({ a: '1 2' }) }).text()": "a=1+2",
    "const body = new URLSearchParams('a=1&b=2');"
    " (await new Request('https://a.b', { method: 'POST', body }).formData()).get('b')": "2",
    "new Request('https://a.b', { method: 'patch' }).method": "PATCH",
    "const r = new Response('once'); await r.text(); await r.text().catch((e) => e.name)": "TypeError",
    "const r = new Response('twice'); await r.clone().text() + await r.text()": "twicetwice",
    "const r = new Response(new Response('passed on').body); await r.text()": "passed on",
    "let s = ''; for await (const c of new Response('ab').body) s += c.length; s": "2",
    "(await new Response(new Uint8Array([255])).bytes())[0]": 255,
    "new Response(null, { status: 204 }).body": None,
    "const f = new FormData(); f.append('a', 1); f.append('a', 2); f.set('b', 3); [...f].join('|')": "a,1|a,2|b,3",
}
OTHERS = {
    "new TextDecoder().decode(new TextEncoder().encode('ä€😀'))": "ä€😀",
    "atob(btoa('abc'))": "abc",
    "structuredClone({ a: [1, new Map([[1, new Date(0)]])] }).a[1].get(1).getTime()": 0,
    "const a = { self: null }; a.self = a; const b = structuredClone(a); b.self === b && b !== a": True,
    "try { structuredClone(() => 1) } catch (e) { e.name + e.code }": "DataCloneError25",
    "const b = new ArrayBuffer(8); structuredClone(b, { transfer: [b] }).byteLength + '/' + b.byteLength": "8/0",
    "const c = new AbortController(); let s = ''; c.signal.onabort = () => s += 1; c.abort();"
    " s + c.signal.reason.name": "1AbortError",
    "AbortSignal.any([AbortSignal.abort('x')]).reason": "x",
    "const t = new EventTarget(); let n = 0; t.addEventListener('x', () => n++, { once: true });"
    " t.dispatchEvent(new Event('x')); t.dispatchEvent(new Event('x')); n": 1,
    "const order = []; queueMicrotask(() => order.push(1)); order.push(0); await 0; await 0; order.join()": "0,1",
    "/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())": True,
    "new Set(Array.from({ length: 200 }, () => crypto.randomUUID())).size": 200,
    "crypto.getRandomValues(new Uint32Array(4)).some(Boolean)": True,
    "const r = Array.from({ length: 1000 }, Math.random);"
    " Math.min(...r) >= 0 && Math.max(...r) < 1 && new Set(r).size": 1000,
    "new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode('abc'))).toHex().slice(0, 16)": (
        "ba7816bf8f01cfea"
    ),
    "Date.now()": 1_700_000_000_000,
    "new Date().toISOString()": "2023-11-14T22:13:20.000Z",
    "performance.now()": 0,
    "new Date().getTimezoneOffset()": 0,
    "typeof self + typeof WebAssembly + typeof require + typeof module": "objectundefinedundefinedundefined",
}
REFUSED = {
    "new Headers({ 'a b': '1' })": "TypeError",
    "new Headers({ a: '1\\n2' })": "TypeError",
    "new Headers({ a: '\\u2603' })": "TypeError",
    "new Response('x', { status: 204 })": "TypeError",
    "new Response('x', { status: 99 })": "RangeError",
    "new Request('/relative')": "no absolute URL",
    "new Request('https://a.b', { body: 'x' })": "GET or HEAD",
    "new Request('https://a.b', { method: 'a b' })": "no HTTP method",
    "await new Response('{').json()": "SyntaxError",
    "crypto.getRandomValues(new Float32Array(1))": "TypeMismatchError",
    "crypto.getRandomValues(new Uint8Array(70000))": "QuotaExceededError",
    "new AbortSignal()": "Illegal constructor",
    "structuredClone(Symbol())": "DataCloneError",
    "setTimeout('alert()', 1)": "callback must be a function",
}


@pytest.mark.parametrize(("source", "value"), [*URLS.items(), *MESSAGES.items(), *OTHERS.items()])
def test_it_does_what_the_standard_says(javascript: JavaScript, source: str, value: object) -> None:
    assert javascript().evaluate(source) == value


@pytest.mark.parametrize(("source", "text"), REFUSED.items())
def test_it_refuses_what_the_standard_refuses(javascript: JavaScript, source: str, text: str) -> None:
    with pytest.raises(RuntimeError, match=text):
        javascript().evaluate(source)


def test_chance_differs_between_isolates(javascript: JavaScript) -> None:
    source = (
        "const key = await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign']);"
        "[Math.random(), crypto.randomUUID(), new Uint8Array(await crypto.subtle.exportKey('raw', key)).toHex()]"
    )

    [first], [second] = (javascript().evaluate(source) for _ in range(2))

    assert not set(first) & set(second)


def test_bytes_travel_in_base64(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { async fetch(request) {"
        " return new Response(await request.bytes(), { headers: { 'x-a': 'b' } }) } }"
    )
    request = {"m": "POST", "u": "http://host/", "h": [["content-type", "a/b"]], "B": "/wD+"}

    assert only(guest.event("fetch", r=request, x="default")) == {"s": 200, "h": [["x-a", "b"]], "B": "/wD+"}


def test_headers_and_status_text_go_out_as_set(javascript: JavaScript) -> None:
    guest = javascript(
        "export default { fetch(request) { const response = new Response(request.headers.get('X-In'),"
        " { status: 418, statusText: 'teapot' }); response.headers.append('set-cookie', 'a');"
        " response.headers.append('set-cookie', 'b'); return response } }"
    )

    answer = only(guest.event("fetch", r={"m": "GET", "u": "http://h/", "h": [["x-in", "yes"]]}, x="default"))

    assert answer == {
        "s": 418,
        "st": "teapot",
        "h": [["content-type", "text/plain;charset=UTF-8"], ["set-cookie", "a"], ["set-cookie", "b"]],
        "b": "yes",
    }
