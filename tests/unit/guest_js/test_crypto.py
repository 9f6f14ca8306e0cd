"""`crypto` of JavaScript guests. The vectors were made by Node's implementation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from tests.unit.guest_js.cases import cases_in
from tests.unit.isolates.conftest import JavaScript
from tests.unit.isolates.fake_host import Driver

VECTORS: Final[dict[str, Any]] = json.loads(Path(__file__).with_name("crypto_vectors.json").read_text(encoding="utf-8"))
PAIRS: Final = [name for name, value in VECTORS.items() if isinstance(value, dict)]

_TOOLS = (
    "const { subtle } = crypto; const message = new TextEncoder().encode('message');"
    "const b64 = (bytes) => new Uint8Array(bytes).toBase64(); const bytes = (text) => Uint8Array.fromBase64(text);"
    "const raw = Uint8Array.fromHex('000102030405060708090a0b0c0d0e0f');"
    "const seven = (size) => new Uint8Array(size).fill(7);"
    "const key = (name, usage, format = 'raw', data = raw) =>"
    " subtle.importKey(format, data, name, true, [usage].flat());"
    "const failure = (promise) => promise.then(() => 'nothing', (error) => `${error.name}: ${error.message}`);"
)


def evaluate(guest: Driver, source: str, **names: object) -> object:
    return guest.evaluate(_TOOLS + source, **names)


# ── as others compute it ─────────────────────────────────────────────────────────────────────────────────────

COMPUTED = {
    "gcm": "subtle.encrypt({ name: 'AES-GCM', iv: seven(12), additionalData: new Uint8Array([97, 100]) },"
    " await key('AES-GCM', 'encrypt'), message)",
    "cbc": "subtle.encrypt({ name: 'AES-CBC', iv: seven(16) }, await key('AES-CBC', 'encrypt'), message)",
    "ctr": "subtle.encrypt({ name: 'AES-CTR', counter: seven(16), length: 64 },"
    " await key('AES-CTR', 'encrypt'), message)",
    "pbkdf2": "subtle.deriveBits({ name: 'PBKDF2', hash: 'SHA-512', salt: message, iterations: 100 },"
    " await key('PBKDF2', 'deriveBits'), 256)",
    "hkdf": "subtle.deriveBits({ name: 'HKDF', hash: 'SHA-512', salt: message, info: new Uint8Array([105]) },"
    " await key('HKDF', 'deriveBits'), 256)",
    "hmac": "subtle.sign('HMAC', await key({ name: 'HMAC', hash: 'SHA-512' }, 'sign'), message)",
}


@pytest.mark.parametrize("name", COMPUTED)
def test_it_computes_what_others_do(javascript: JavaScript, name: str) -> None:
    assert evaluate(javascript(), f"b64(await {COMPUTED[name]})") == VECTORS[name]


@pytest.mark.parametrize("name", PAIRS)
def test_signatures_of_others_are_genuine(javascript: JavaScript, name: str) -> None:
    vector = VECTORS[name]
    source = (
        "const open = await key(alg, 'verify', 'spki', bytes(spki)); const mark = bytes(signature);"
        "const good = await subtle.verify(sig, open, mark, message); mark[9] ^= 1;"
        "const bad = await subtle.verify(sig, open, mark, message);"
        "[good, bad, await subtle.verify(sig, open, new Uint8Array(3), message)].join()"
    )
    names = {each: vector[each] for each in ("alg", "spki", "sig", "signature")}

    assert evaluate(javascript(), source, **names) == "true,false,false"


@pytest.mark.parametrize("name", PAIRS)
def test_keys_of_others_are_read_and_written(javascript: JavaScript, name: str) -> None:
    vector = VECTORS[name]
    source = (
        "const given = JSON.parse(jwk); const secret = await key(alg, 'sign', 'pkcs8', bytes(pkcs8));"
        "const open = await key(alg, 'verify', 'spki', bytes(spki)); const same = await key(alg, 'sign', 'jwk', given);"
        "const { key_ops, ext, alg: _, ...out } = await subtle.exportKey('jwk', same);"
        "const mark = await subtle.sign(sig, same, message);"
        "JSON.stringify([await subtle.verify(sig, open, mark, message),"
        " b64(await subtle.exportKey('pkcs8', same)) === pkcs8,"
        " b64(await subtle.exportKey('pkcs8', secret)) === pkcs8, b64(await subtle.exportKey('spki', open)) === spki,"
        " Object.entries(out).every(([name, value]) => given[name] === value)])"
    )
    names = {each: vector[each] for each in ("alg", "spki", "pkcs8", "sig")}
    names["jwk"] = json.dumps(vector["jwk"])

    assert evaluate(javascript(), source, **names) == "[true,true,true,true,true]"


# ── keys made here ───────────────────────────────────────────────────────────────────────────────────────────

MADE = cases_in(Path(__file__).with_name("crypto_cases.js").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("source", "value"), MADE)
def test_keys_made_here_work(javascript: JavaScript, source: str, value: object) -> None:
    assert evaluate(javascript(), source) == value


def test_keys_differ_between_isolates(javascript: JavaScript) -> None:
    source = (
        "const { privateKey } = await subtle.generateKey('Ed25519', true, ['sign']);"
        "b64(await subtle.exportKey('pkcs8', privateKey))"
    )

    assert len({str(evaluate(javascript(), source)) for _ in range(3)}) == 3


# ── what is refused ──────────────────────────────────────────────────────────────────────────────────────────

REFUSED = cases_in(Path(__file__).with_name("crypto_refusals.js").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("source", "message"), REFUSED)
def test_what_is_refused_says_why(javascript: JavaScript, source: str, message: str) -> None:
    guest = javascript()

    assert message in str(evaluate(guest, f"await failure({source})"))
    assert isinstance(guest.evaluate("crypto.randomUUID()"), str)  # Nothing is left of it.
