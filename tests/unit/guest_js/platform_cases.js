// What a JavaScript guest answers: each paragraph is source whose last expression has the value behind `//=>`.

// ── events ──

const e = new Event('x', { cancelable: true }); const t = new EventTarget();
t.addEventListener('x', (e) => e.preventDefault()); t.dispatchEvent(e) + '' + e.returnValue //=> "falsefalse"

const t = new EventTarget(); let s = ''; t.addEventListener('x', () => s += 'b');
t.addEventListener('x', () => s += 'a', true); t.dispatchEvent(new Event('x')); s //=> "ab"

const t = new EventTarget(); let n = 0; const f = () => n++; t.addEventListener('x', f); t.addEventListener('x',
f, { capture: true }); t.addEventListener('x', f); t.dispatchEvent(new Event('x')); n //=> 2

const t = new EventTarget(); let n = 0; const late = () => n++;
t.addEventListener('x', () => t.removeEventListener('x', late)); t.addEventListener('x', late);
t.dispatchEvent(new Event('x')); n //=> 0

const t = new EventTarget(); let n = 0; t.addEventListener('x', () => t.addEventListener('x', () => n++));
t.dispatchEvent(new Event('x')); n //=> 0

const t = new EventTarget(); const e = new Event('x', { cancelable: true });
t.addEventListener('x', (e) => e.preventDefault(), { passive: true }); t.dispatchEvent(e) //=> true

const t = new EventTarget(); const c = new AbortController(); let n = 0; t.addEventListener('x', () => n++, {
signal: c.signal }); c.abort(); t.dispatchEvent(new Event('x')); n //=> 0

const t = new EventTarget(); let s; t.addEventListener('x', { handleEvent(e) { s = this.me + e.type }, me: 'o' });
t.dispatchEvent(new Event('x')); s //=> "ox"

const t = new EventTarget(); let s = ''; t.addEventListener('x', (e) => { s += e.eventPhase;
e.stopImmediatePropagation() }); t.addEventListener('x', () => s += 'no'); t.dispatchEvent(new Event('x')); s //=> "2"

const t = new EventTarget(); const e = new Event('x'); let path; t.addEventListener('x', () => {
path = e.composedPath(); try { t.dispatchEvent(e) } catch (x) { path.push(x.name) } }); t.dispatchEvent(e);
[path[0] === t, path[1], e.currentTarget, e.target === t].join() //=> "true,InvalidStateError,,true"

new CustomEvent('x', { detail: 5 }).detail + new MessageEvent('m', { data: 'd' }).data //=> "5d"

const e = new ErrorEvent('error', { message: 'm' }); e.message + e.lineno + (e instanceof Event) //=> "m0true"

String(new CloseEvent('close', { code: 1000 })) + Event.AT_TARGET //=> "[object CloseEvent]2"

const s = AbortSignal.timeout(5); await new Promise((done) => s.addEventListener('abort', done)); s.reason.name
//=> "TimeoutError"

const a = new AbortController(); const s = AbortSignal.any([a.signal, AbortSignal.timeout(9)]); a.abort('why');
s.reason //=> "why"

const a = new AbortController(); const waiting = scheduler.wait(1000, a); a.abort('why');
await waiting.catch(String) //=> "why"

await scheduler.wait(3); Date.now() - 1_700_000_000_000 //=> 3

// ── blobs ──

const b = new Blob(['abc', new Uint8Array([100]), new Blob(['e'])], { type: 'Text/X' }); b.size + b.type //=> "5text/x"

const b = new Blob(['abcd']); await b.slice(1, -1, 'q').text() + await b.slice(-2).text() + b.slice(0, 1, 'Q').type
//=> "bccdq"

const f = new File(['x'], 'a.txt', { type: 'text/plain', lastModified: 7 }); [f.name, f.size, f.lastModified,
f instanceof Blob, String(f)].join() //=> "a.txt,1,7,true,[object File]"

const bytes = new Uint8Array([1]); const b = new Blob([bytes]); bytes[0] = 2; (await b.bytes())[0] //=> 1

const b = new Blob(['x']); (await b.bytes())[0] = 1; await b.text() //=> "x"

let n = 0; for await (const c of new Blob([new Uint8Array(200_000)]).stream()) n += c.length; n //=> 200000

(await new Response(new Blob(['x'], { type: 'a/b' })).blob()).type //=> "a/b"

const f = structuredClone(new File(['x'], 'n', { type: 'a/b' })); f.name + f.type + await f.text() //=> "na/bx"

// ── forms ──

const f = new FormData(); f.append('a"', '1\n2'); f.append('f', new File(['hé'], 'x"y.txt', {
type: 'text/html' })); f.append('b', new Blob(['q']), 'named'); const g = await new Response(f).formData();
const h = g.get('f'); JSON.stringify([...g.keys(), g.get('a"'), h.name, h.type, await h.text(), g.get('b').name])
//=> "[\"a\\\"\",\"f\",\"b\",\"1\\r\\n2\",\"x\\\"y.txt\",\"text/html\",\"hé\",\"named\"]"

const r = new Request('http://a/', { method: 'POST', body: new FormData() });
/^multipart\/form-data; boundary=\S+$/.test(r.headers.get('content-type')) //=> true

[...await new Response(new FormData()).formData()].length //=> 0

const f = new FormData(); f.append('x', new Blob(['1'])); f.set('x', 'y'); f.getAll('x').join() //=> "y"

// ── patterns ──

new URLPattern({ pathname: '/users/:id' }).exec('https://a.b/users/7').pathname.groups.id //=> "7"

new URLPattern('/x/*?', 'https://a.b').test('https://a.b/x/1') //=> true

new URLPattern({ pathname: '/:n(\\d+)' }).test({ pathname: '/x' }) //=> false

new URLPattern('https://:sub.a.b/*').exec('https://www.a.b/p').hostname.groups.sub //=> "www"

// ── texts ──

new TextDecoder('latin1').encoding //=> "windows-1252"

new TextDecoder('ascii').decode(new Uint8Array([0x80, 0xe4, 65])) //=> "€äA"

new TextDecoder('KOI8-R').decode(new Uint8Array([0xf0])) //=> "П"

new TextDecoder('iso-8859-2', { fatal: true }).fatal //=> true

new TextDecoder('utf-16le').decode(new Uint8Array([65, 0])) //=> "A"

const d = new TextDecoder(); d.decode(new Uint8Array([0xe2, 0x82]), {
stream: true }) + d.decode(new Uint8Array([0xac])) //=> "€"

new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf, 65])).length //=> 2

Object.keys(new TextEncoder().encodeInto('ä', new Uint8Array(4))).join() //=> "read,written"

// ── others ──

const p = new URLSearchParams('a=1&a=2&b=3'); [p.size, p.has('a', '2'), p.has('a', '9')].join() //=> "3,true,false"

const p = new URLSearchParams('b=1&a=2'); p.sort(); p.delete('a'); [...p.entries()].join() //=> "b,1"

[Response.error().type, Response.error().status, Response.redirect('http://a/', 308).status].join() //=> "error,0,308"

navigator.userAgent + (self === globalThis) //=> "Cloudflare-Workerstrue"

typeof performance.timeOrigin //=> "number"

let s = ''; await new Promise((done) => { setImmediate(() => { s += 'i'; done() });
queueMicrotask(() => s += 'm') }); s //=> "mi"
