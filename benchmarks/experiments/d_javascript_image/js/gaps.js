// What the C extensions of quickjs-wasi 3.6.2 lack, found by conformance.py. They parse; this shapes.
const NativeURL = globalThis.URL, NativeParams = globalThis.URLSearchParams, NativeHeaders = globalThis.Headers;
const tag = (c, name) => Object.defineProperty(c.prototype, Symbol.toStringTag, { value: name, configurable: true });
const hidden = (o) => { for (const k of Object.keys(o)) Object.defineProperty(globalThis, k, { value: o[k], writable: true, configurable: true, enumerable: false }); };
const encode = encodeURIComponent, wellFormed = (s) => String(s).toWellFormed();
const pair = (p) => { const a = [...p]; if (a.length !== 2) throw new TypeError("Each query pair must be an iterable [name, value] tuple"); return a; };
const query = (init) => {
  if (init === undefined) return "";
  if (init === null || typeof init !== "object" && typeof init !== "function") return wellFormed(init);
  if (init instanceof NativeParams) return init.toString();
  const it = init[Symbol.iterator];
  let pairs;
  if (it != null) pairs = Array.from(init, pair); else pairs = Reflect.ownKeys(init).filter((k) => Object.prototype.propertyIsEnumerable.call(init, k)).map((k) => [k, init[k]]);
  return pairs.map(([k, v]) => `${encode(wellFormed(k))}=${encode(wellFormed(v))}`).join("&");
};
let urlOf; // of a URLSearchParams that belongs to a URL
class URLSearchParams extends NativeParams {
  #url;
  static { urlOf = (p, u) => { p.#url = u; }; }
  constructor(init = "") { super(query(init)); }
  #changed() { if (this.#url !== undefined) fromParams(this.#url, super.toString()); }
  append(k, v) { super.append(wellFormed(k), wellFormed(v)); this.#changed(); }
  set(k, v) { super.set(wellFormed(k), wellFormed(v)); this.#changed(); }
  delete(k, v) { if (v === undefined) super.delete(k); else super.delete(k, v); this.#changed(); }
  sort() { super.sort(); this.#changed(); }
}
let fromParams;
const up = (k) => Object.getOwnPropertyDescriptor(NativeURL.prototype, k).set;
const setSearch = up("search"), setHref = up("href");
class URL extends NativeURL {
  #params;
  static { fromParams = (u, s) => { setSearch.call(u, s); }; }
  get searchParams() { if (this.#params === undefined) urlOf(this.#params = new URLSearchParams(super.search), this); return this.#params; }
  #refresh() {
    const p = this.#params; if (p === undefined) return;
    urlOf(p, undefined);
    for (const k of [...p.keys()]) p.delete(k);
    for (const [k, v] of new URLSearchParams(super.search)) p.append(k, v);
    urlOf(p, this);
  }
  get search() { return super.search; } set search(v) { setSearch.call(this, wellFormed(v)); this.#refresh(); }
  get href() { return super.href; } set href(v) { setHref.call(this, wellFormed(v)); this.#refresh(); }
  static parse(u, base) { try { return new URL(u, base); } catch { return null; } }
}
const byteString = /^[\0-\xff]*$/;
const value = (v) => { v = String(v); if (!byteString.test(v)) throw new TypeError("Header value is not a ByteString"); return v; };
class Headers extends NativeHeaders {
  constructor(init) {
    if (init === undefined || init instanceof NativeHeaders) { super(init); return; }
    if (init === null || typeof init !== "object") throw new TypeError("Headers init must be an object");
    super();
    if (typeof init[Symbol.iterator] === "function") for (const p of init) { const [k, v] = pair(p); super.append(k, value(v)); }
    else for (const k of Object.keys(init)) super.append(k, value(init[k]));
  }
  append(k, v) { super.append(k, value(v)); }
  set(k, v) { super.set(k, value(v)); }
}
// the subclasses show the same names as the standard's classes: copy what they only inherit
for (const [c, p] of [[URL, NativeURL], [URLSearchParams, NativeParams], [Headers, NativeHeaders]])
  for (const [to, from] of [[c.prototype, p.prototype], [c, p]])
    for (const k of Reflect.ownKeys(from)) if (!Object.hasOwn(to, k)) Object.defineProperty(to, k, Object.getOwnPropertyDescriptor(from, k));
for (const [c, n] of [[URL, "URL"], [URLSearchParams, "URLSearchParams"], [Headers, "Headers"], [TextEncoder, "TextEncoder"], [TextDecoder, "TextDecoder"]]) tag(c, n);
hidden({ URL, URLSearchParams, Headers });
