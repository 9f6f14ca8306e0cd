// URL and URLSearchParams: the C extensions parse, this adds what they lack of the standard.
const NativeUrl = globalThis.URL;
const NativeSearchParams = globalThis.URLSearchParams;

const setterOf = (key) => Object.getOwnPropertyDescriptor(NativeUrl.prototype, key).set;
const setSearch = setterOf("search");
const setHref = setterOf("href");
const wellFormed = (text) => String(text).toWellFormed();

let attach; // ties parameters to the URL they belong to
let search; // the query that parameters stand for, as the URL's `search`

export class URLSearchParams extends NativeSearchParams {
  #url;

  static {
    attach = (params, url) => {
      params.#url = url;
    };
  }

  constructor(init) {
    super(queryOf(init));
  }

  append(name, value) {
    super.append(wellFormed(name), wellFormed(value));
    this.#changed();
  }

  set(name, value) {
    super.set(wellFormed(name), wellFormed(value));
    this.#changed();
  }

  delete(name, value) {
    if (value === undefined) super.delete(wellFormed(name));
    else super.delete(wellFormed(name), wellFormed(value));
    this.#changed();
  }

  sort() {
    super.sort();
    this.#changed();
  }

  #changed() {
    if (this.#url !== undefined) search(this.#url, this.toString());
  }
}

function queryOf(init) {
  if (init === undefined) return "";
  if (init === null || (typeof init !== "object" && typeof init !== "function")) return wellFormed(init);
  if (init instanceof NativeSearchParams) return init.toString();
  const pairs = typeof init[Symbol.iterator] === "function" ? Array.from(init, pairOf) : Object.entries(init);
  return pairs.map((pair) => pair.map((text) => encodeURIComponent(wellFormed(text))).join("=")).join("&");
}

function pairOf(given) {
  const pair = [...given];
  if (pair.length !== 2) throw new TypeError("each query pair is [name, value]");
  return pair;
}

export class URL extends NativeUrl {
  #params;

  static {
    search = (url, text) => Reflect.apply(setSearch, url, [text]);
  }

  static parse(url, base) {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }

  get searchParams() {
    if (this.#params === undefined) {
      this.#params = new URLSearchParams(super.search);
      attach(this.#params, this);
    }
    return this.#params;
  }

  get search() {
    return super.search;
  }

  set search(text) {
    Reflect.apply(setSearch, this, [wellFormed(text)]);
    this.#refreshParams();
  }

  get href() {
    return super.href;
  }

  set href(text) {
    Reflect.apply(setHref, this, [wellFormed(text)]);
    this.#refreshParams();
  }

  /** The parameters are one object for the whole life of a URL, so they are filled anew. */
  #refreshParams() {
    const params = this.#params;
    if (params === undefined) return;
    attach(params, undefined);
    for (const name of [...params.keys()]) params.delete(name);
    for (const [name, value] of new URLSearchParams(super.search)) params.append(name, value);
    attach(params, this);
  }
}

// A standard class shows its members as its own: copy those that are only inherited here.
for (const [ours, native] of [[URL, NativeUrl], [URLSearchParams, NativeSearchParams]]) {
  for (const [to, from] of [[ours.prototype, native.prototype], [ours, native]]) {
    for (const key of Reflect.ownKeys(from)) {
      if (!Object.hasOwn(to, key)) Object.defineProperty(to, key, Object.getOwnPropertyDescriptor(from, key));
    }
  }
}
