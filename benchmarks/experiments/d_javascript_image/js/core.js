// The part of the web API that is ours in every variant. URL, URLSearchParams, TextEncoder, TextDecoder, Headers and structuredClone
// come from before (C extensions or npm libraries). __host(op, a, b) is the only capability; it is captured and removed.
const host = globalThis.__host;
const { parse, stringify } = JSON;
const utf8 = new TextEncoder(), text = new TextDecoder();
const op = { KV_GET: 1, KV_PUT: 2, KV_DELETE: 3, TIMER: 21, CANCEL: 22, LOG: 30, RANDOM: 31, REPLY: 41, FAIL: 42 };
const hidden = (o) => { for (const k of Object.keys(o)) Object.defineProperty(globalThis, k, { value: o[k], writable: true, configurable: true, enumerable: false }); };
const tagged = (c, name) => Object.defineProperty(c.prototype, Symbol.toStringTag, { value: name, configurable: true });

// ---- what a snapshot must not freeze: entropy and the clock's origin
const randomBytes = (n) => host(op.RANDOM, String(n), undefined);
let pool, used = 0;
Math.random = () => {
  if (!pool || used === pool.length) { pool = new Uint32Array(randomBytes(512).buffer); used = 0; }
  return (pool[used++] * 0x200000 + (pool[used++] >>> 11)) / 0x20000000000000;
};
const dateNow = Date.now;
let origin = 0;
hidden({ performance: { now: () => dateNow() - origin, get timeOrigin() { return origin; }, toJSON() { return { timeOrigin: origin }; } } });

// ---- events
const dispatching = Symbol();
export class Event {
  #d = false; #stop = false;
  constructor(type, init = {}) {
    this.type = String(type); this.bubbles = !!init.bubbles; this.cancelable = !!init.cancelable; this.composed = false;
    this.target = this.currentTarget = null; this.timeStamp = performance.now();
  }
  get defaultPrevented() { return this.#d; }
  preventDefault() { if (this.cancelable) this.#d = true; }
  stopPropagation() {} stopImmediatePropagation() { this.#stop = true; }
  get [dispatching]() { return this.#stop; }
}
export class CustomEvent extends Event { constructor(t, i = {}) { super(t, i); this.detail = i.detail ?? null; } }
export class EventTarget {
  #l = new Map();
  addEventListener(type, fn, o) {
    if (fn == null) return;
    const once = typeof o === "object" && !!o?.once, signal = typeof o === "object" ? o?.signal : undefined;
    if (signal?.aborted) return;
    let l = this.#l.get(type); if (!l) this.#l.set(type, l = []);
    if (l.some((x) => x.fn === fn)) return;
    l.push({ fn, once });
    signal?.addEventListener("abort", () => this.removeEventListener(type, fn), { once: true });
  }
  removeEventListener(type, fn) { const l = this.#l.get(type); if (l) this.#l.set(type, l.filter((x) => x.fn !== fn)); }
  dispatchEvent(e) {
    e.target = e.currentTarget = this;
    for (const x of [...this.#l.get(e.type) ?? []]) {
      if (x.once) this.removeEventListener(e.type, x.fn);
      try { typeof x.fn === "function" ? x.fn.call(this, e) : x.fn.handleEvent(e); } catch (err) { reportError(err); }
      if (e[dispatching]) break;
    }
    const on = this["on" + e.type];
    if (typeof on === "function" && !e[dispatching]) on.call(this, e);
    e.currentTarget = null;
    return !e.defaultPrevented;
  }
}
const inside = Symbol();
export class AbortSignal extends EventTarget {
  #aborted = false; #reason; onabort = null;
  constructor(k) { super(); if (k !== inside) throw new TypeError("Illegal constructor"); }
  get aborted() { return this.#aborted; } get reason() { return this.#reason; }
  throwIfAborted() { if (this.#aborted) throw this.#reason; }
  [inside](r = new DOMException("This operation was aborted", "AbortError")) {
    if (!this.#aborted) { this.#aborted = true; this.#reason = r; this.dispatchEvent(new Event("abort")); }
  }
  static abort(r) { const s = new AbortSignal(inside); s[inside](r); return s; }
  static timeout(ms) { const s = new AbortSignal(inside); setTimeout(() => s[inside](new DOMException("The operation timed out.", "TimeoutError")), ms); return s; }
  static any(list) {
    const s = new AbortSignal(inside);
    for (const x of list) { if (x.aborted) { s[inside](x.reason); break; } x.addEventListener("abort", () => s[inside](x.reason), { once: true }); }
    return s;
  }
}
export class AbortController { #s = new AbortSignal(inside); get signal() { return this.#s; } abort(r) { this.#s[inside](r); } }

// ---- bodies
const emptyBody = null;
class Body {
  #b; #used = false;
  constructor(b) { this.#b = b; }
  get bodyUsed() { return this.#used; }
  get _raw() { return this.#b; }
  #take() { if (this.#used) throw new TypeError("Body has already been used"); if (this.#b !== emptyBody) this.#used = true; return this.#b; }
  async text() { const b = this.#take(); return b === null ? "" : typeof b === "string" ? b : text.decode(b); }
  async json() { return parse(await this.text()); }
  async bytes() { const b = this.#take(); return b === null ? new Uint8Array() : typeof b === "string" ? utf8.encode(b) : b.slice(); }
  async arrayBuffer() { return (await this.bytes()).buffer; }
}
const bodyOf = (b, headers) => {
  let type;
  if (b == null) return emptyBody;
  if (b instanceof URLSearchParams) { type = "application/x-www-form-urlencoded;charset=UTF-8"; b = String(b); }
  else if (b instanceof ArrayBuffer) b = new Uint8Array(b.slice(0));
  else if (ArrayBuffer.isView(b)) b = new Uint8Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength));
  else { b = String(b); type = "text/plain;charset=UTF-8"; }
  if (type && !headers.has("content-type")) headers.set("content-type", type);
  return b;
};
export class Request extends Body {
  #url; #method; #headers; #signal; #redirect;
  constructor(input, init = {}) {
    const from = input instanceof Request ? input : undefined;
    const headers = new Headers(init.headers ?? from?.headers);
    const method = String(init.method ?? from?.method ?? "GET");
    const upper = method.toUpperCase();
    if (init.body != null && (upper === "GET" || upper === "HEAD")) throw new TypeError("Request with GET/HEAD method cannot have body.");
    super("body" in init ? bodyOf(init.body, headers) : from ? from._raw : null);
    this.#url = from ? from.url : init.trusted === inside ? input : new URL(input).href;
    this.#method = /^(GET|HEAD|POST|PUT|DELETE|OPTIONS)$/.test(upper) ? upper : method;
    this.#headers = headers; this.#signal = init.signal ?? from?.signal; this.#redirect = init.redirect ?? from?.redirect ?? "follow";
  }
  get url() { return this.#url; } get method() { return this.#method; } get headers() { return this.#headers; } get redirect() { return this.#redirect; }
  get signal() { return this.#signal ??= new AbortSignal(inside); }
  clone() { if (this.bodyUsed) throw new TypeError("Body has already been used"); return new Request(this); }
}
export class Response extends Body {
  #status; #statusText; #headers;
  constructor(b, init = {}) {
    const headers = new Headers(init.headers), status = init.status === undefined ? 200 : Number(init.status);
    if (!(status >= 200 && status <= 599) && status !== 101) throw new RangeError(`init["status"] must be in the range of 200 to 599, inclusive.`);
    if (b != null && (status === 204 || status === 205 || status === 304)) throw new TypeError(`Response with status ${status} cannot have a body`);
    super(bodyOf(b, headers));
    this.#status = status; this.#statusText = String(init.statusText ?? ""); this.#headers = headers;
  }
  get status() { return this.#status; } get statusText() { return this.#statusText; } get headers() { return this.#headers; }
  get ok() { return this.#status >= 200 && this.#status < 300; } get type() { return "default"; } get redirected() { return false; } get url() { return ""; }
  clone() { if (this.bodyUsed) throw new TypeError("Body has already been used"); return new Response(this._raw, this); }
  static json(o, i = {}) { const h = new Headers(i.headers); if (!h.has("content-type")) h.set("content-type", "application/json"); return new Response(stringify(o), { ...i, headers: h }); }
  static redirect(u, status = 302) { return new Response(null, { status, headers: { location: new URL(u).href } }); }
  static error() { const r = new Response(null, { status: 500 }); return r; }
}

// ---- timers, console, crypto
const timers = new Map(); let nextTimer = 0;
const arm = (fn, ms, repeat, args) => { const id = ++nextTimer; ms = Math.max(0, Number(ms) || 0); timers.set(id, { fn, args, ms, repeat }); host(op.TIMER, String(id), String(ms)); return id; };
const disarm = (id) => { if (timers.delete(id)) host(op.CANCEL, String(id), undefined); };
const show = (v, depth = 0) => {
  if (typeof v === "string") return depth ? stringify(v) : v;
  if (v instanceof Error) return v.stack ? `${v.name}: ${v.message}\n${v.stack}` : String(v);
  if (typeof v !== "object" || v === null) return typeof v === "bigint" ? v + "n" : String(v);
  try { return stringify(v, (k, x) => typeof x === "bigint" ? x + "n" : x instanceof Map ? [...x] : x instanceof Set ? [...x] : x) ?? String(v); } catch { return String(v); }
};
const log = (level) => (...a) => { host(op.LOG, level, a.map((x) => show(x)).join(" ")); };
const hex = (b) => b.toHex();
const crypto = globalThis.crypto ?? {};
const intArrays = new Set(["Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array", "BigInt64Array", "BigUint64Array"]);
crypto.getRandomValues = (a) => {
  if (!intArrays.has(a?.[Symbol.toStringTag])) throw new DOMException("The data argument must be an integer-type TypedArray", "TypeMismatchError");
  if (a.byteLength > 65536) throw new DOMException("The requested length exceeds 65,536 bytes", "QuotaExceededError");
  if (a.byteLength) new Uint8Array(a.buffer, a.byteOffset, a.byteLength).set(randomBytes(a.byteLength));
  return a;
};
crypto.randomUUID = () => {
  const b = randomBytes(16); b[6] = b[6] & 15 | 64; b[8] = b[8] & 63 | 128; const h = hex(b);
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
};
hidden({
  Event, CustomEvent, EventTarget, AbortSignal, AbortController, Request, Response, crypto,
  setTimeout: (f, ms, ...a) => arm(f, ms, false, a), setInterval: (f, ms, ...a) => arm(f, ms, true, a), clearTimeout: disarm, clearInterval: disarm,
  reportError: (e) => log("error")(e), self: globalThis,
  console: { log: log("log"), info: log("info"), warn: log("warn"), error: log("error"), debug: log("debug"), trace: log("debug"), assert: (c, ...a) => { if (!c) log("error")("Assertion failed:", ...a); } },
});
for (const c of [Event, CustomEvent, EventTarget, AbortSignal, AbortController, Request, Response]) tagged(c, c.name);

// ---- a stand-in for the guest API: enough for the seed's counter
const kv = {
  get(k) { const v = host(op.KV_GET, k, undefined); return v === undefined ? undefined : parse(v); },
  put(k, v) { host(op.KV_PUT, k, stringify(v)); }, delete(k) { return host(op.KV_DELETE, k, undefined) === "1"; },
};
class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }
class WorkerEntrypoint { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }
globalThis.__classes = { DurableObject, WorkerEntrypoint };
let app;
const answer = (r) => stringify({ status: r.status, headers: [...r.headers], body: r._raw });
const fail = (id, e) => host(op.FAIL, id, String(e && e.stack ? `${e}\n${e.stack}` : e));
globalThis.__enter = (o, s) => {
  switch (o) {
    case 1: { // request
      const d = parse(s); d.trusted = inside;
      const r = app.fetch(new Request(d.url, d));
      if (r instanceof Response) return answer(r);
      r.then((x) => host(op.REPLY, d.id, answer(x)), (e) => fail(d.id, e));
      return;
    }
    case 2: // timer
      { const t = timers.get(+s); if (!t) return; if (t.repeat) host(op.TIMER, s, String(t.ms)); else timers.delete(+s); t.fn(...t.args); return; }
    case 0: // load
      origin = dateNow();
      import(s).then((ns) => { app = new ns.App({ storage: { kv } }, {}); host(op.REPLY, "load", undefined); }).catch((e) => fail("load", e));
      return;
    case 9: return String((0, eval)(s)); // tests only
  }
};
delete globalThis.__host;
