"""What a snapshot must not share, what must not kill the host, and what a memory limit does."""

import sys
import threading
import time
from pathlib import Path

import host
from wasmtime import Module

M = 1 << 20
name = sys.argv[1]
e = host.engine(4 * M)
pre = host.linker(e).instantiate_pre(Module.deserialize_file(e, str(Path(__file__).parent / f"build/{name}.cwasm")))


def tick():
    while True:
        time.sleep(0.005)
        e.increment_epoch()


threading.Thread(target=tick, daemon=True).start()


def ev(src, iso=None, **k):
    iso = iso or host.Isolate(e, pre, qjs_stack=160 << 10, **k)
    try:
        return (iso.enter(9, src.encode()) or b"").decode("utf-8", "replace"), iso
    except Exception as x:
        return "!! " + type(x).__name__ + " " + str(x).strip().splitlines()[-1][:90], iso


print("-- the same in two instances?")
for src in (
    "Math.random()",
    "crypto.randomUUID()",
    "crypto.getRandomValues(new Uint8Array(8)).join()",
    "performance.now()<1e6",
    "performance.timeOrigin",
    "Date.now()>1.7e12",
    "new Date().getTimezoneOffset()",
    "new Date(0).toString()",
):
    a, b = ev(src)[0], ev(src)[0]
    print(f"   {src:46} {'SAME' if a == b else 'differs'}  {a}")


def promise(src, iso=None):
    r, iso = ev(f"globalThis.R='pending';(async()=>{{{src}}})().then(x=>R=x,e=>R='threw '+e);0", iso)
    return ev("String(R)", iso)[0] if not r.startswith("!!") else r


print("-- crypto.subtle")
for src in (
    "return (new Uint8Array(await crypto.subtle.digest('SHA-256',new TextEncoder().encode('abc')))).toHex()",
    "const k=await crypto.subtle.generateKey({name:'HMAC',hash:'SHA-256'},true,['sign','verify']);return new Uint8Array(await crypto.subtle.exportKey('raw',k)).toHex().slice(0,16)",
    "const k=await crypto.subtle.generateKey({name:'AES-GCM',length:256},true,['encrypt','decrypt']);const iv=new Uint8Array(12);const c=await crypto.subtle.encrypt({name:'AES-GCM',iv},k,new Uint8Array(3));return (await crypto.subtle.decrypt({name:'AES-GCM',iv},k,c)).byteLength",
    "const k=await crypto.subtle.generateKey({name:'ECDSA',namedCurve:'P-256'},true,['sign','verify']);const s=await crypto.subtle.sign({name:'ECDSA',hash:'SHA-256'},k.privateKey,new Uint8Array(3));return new Uint8Array(s).toHex().slice(0,16)+await crypto.subtle.verify({name:'ECDSA',hash:'SHA-256'},k.publicKey,s,new Uint8Array(3))",
    "const k=await crypto.subtle.generateKey({name:'ECDH',namedCurve:'P-256'},true,['deriveBits']);return (await crypto.subtle.deriveBits({name:'ECDH',public:k.publicKey},k.privateKey,256)).byteLength",
    "const k=await crypto.subtle.generateKey({name:'Ed25519'},true,['sign','verify']);return 'ok'",
    "const k=await crypto.subtle.generateKey({name:'RSASSA-PKCS1-v1_5',modulusLength:2048,publicExponent:new Uint8Array([1,0,1]),hash:'SHA-256'},true,['sign','verify']);return 'ok'",
    "const k=await crypto.subtle.importKey('raw',new Uint8Array(8),'PBKDF2',false,['deriveBits']);return (await crypto.subtle.deriveBits({name:'PBKDF2',hash:'SHA-256',salt:new Uint8Array(8),iterations:1000},k,256)).byteLength",
    "const d=await Promise.all([1,2].map(()=>crypto.subtle.generateKey({name:'HMAC',hash:'SHA-256'},true,['sign'])));return 'ok'",
):
    t = time.perf_counter()
    r1 = promise(src)
    ms = (time.perf_counter() - t) * 1e3
    r2 = promise(src)
    print(f"   {src[:70]:72} {ms:7.1f} ms  {'SAME' if r1 == r2 else 'differs'}  {r1[:60]}")
print("-- memory: (store limit, qjs limit)")
HOGS = {
    "arrays": "const a=[];for(;;)a.push(new Array(1e4).fill(1))",
    "string": "let s='x';for(;;)s+=s",
    "buffers": "const a=[];for(;;)a.push(new Uint8Array(1e6))",
    "objects": "const a=[];for(;;)a.push({a:1,b:2})",
    "map": "const m=new Map();for(let i=0;;i++)m.set(i,String(i))",
    "urls": "const a=[];for(;;)a.push(new URL('https://example.com/'+'x'.repeat(1000)))",
    "headers": "const a=[];for(;;)a.push(new Headers({a:'x'.repeat(1000)}))",
    "encode": "const a=[],t=new TextEncoder();for(;;)a.push(t.encode('x'.repeat(1e5)))",
    "params": "const p=new URLSearchParams();for(;;)p.append('a','x'.repeat(1000))",
    "regexp": "const a=[];for(let i=0;;i++)a.push(new RegExp('a'+i))",
    "clone": "const a=[];for(;;)a.push(structuredClone({a:[1,2,3]}))",
    "json": "let a=[1];for(;;)a=JSON.parse(JSON.stringify([a,a]))",
    "host": "for(let i=0;;i++)globalThis['k'+i]=crypto.randomUUID()",
}
for store, qjs in ((32 * M, 0), (32 * M, 28 * M), (64 * M, 24 * M)):
    res = {}
    for k, src in HOGS.items():
        t = time.perf_counter()
        r, iso = ev(
            "(()=>{try{(()=>{%s})()}catch(e){return 'caught '+e.name+': '+e.message}})()" % src,
            memory=store,
            qjs_limit=qjs,
            epoch=3000,
        )
        after = ev("1+1", iso)[0]
        iso.map()
        res.setdefault((r[:60], "alive" if after == "2" else "dead: " + after[:50]), []).append(
            f"{k} {iso.size >> 20}M {time.perf_counter() - t:.1f}s"
        )
    print(f"   store {store >> 20} MiB, qjs {qjs >> 20} MiB")
    for k, v in res.items():
        print("     ", *k, v)
