// Headers of the Fetch standard.

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const BYTES = /^[\0-\xff]*$/;
const EDGE_WHITESPACE = /^[\t\n\r ]+|[\t\n\r ]+$/g;
const COOKIE = "set-cookie";

const newHeadersOf = Symbol("newHeadersOf");

export class Headers {
  #lines = []; // [lower-case name, value], in order of arrival

  constructor(init) {
    if (init === undefined || init === null) return;
    if (typeof init !== "object") throw new TypeError("Headers are made from an object, an array of pairs or other Headers");
    if (init instanceof Headers) this.#lines = init.#lines.map((line) => [...line]);
    else for (const [name, value] of pairsOf(init)) this.append(name, value);
  }

  /** Headers of these lines, which the host has checked. */
  static [newHeadersOf](lines) {
    const headers = new Headers();
    for (const [name, value] of lines) headers.#lines.push([name.toLowerCase(), value]);
    return headers;
  }

  append(name, value) {
    this.#lines.push([checkedName(name), checkedValue(value)]);
  }

  set(name, value) {
    const key = checkedName(name);
    const text = checkedValue(value);
    const place = this.#lines.findIndex((line) => line[0] === key);
    if (place < 0) {
      this.#lines.push([key, text]);
      return;
    }
    this.#lines[place][1] = text;
    this.#lines = this.#lines.filter((line, index) => index <= place || line[0] !== key);
  }

  get(name) {
    const key = checkedName(name);
    const values = this.#lines.filter((line) => line[0] === key).map((line) => line[1]);
    return values.length === 0 ? null : values.join(", ");
  }

  getSetCookie() {
    return this.#lines.filter((line) => line[0] === COOKIE).map((line) => line[1]);
  }

  has(name) {
    const key = checkedName(name);
    return this.#lines.some((line) => line[0] === key);
  }

  delete(name) {
    const key = checkedName(name);
    this.#lines = this.#lines.filter((line) => line[0] !== key);
  }

  forEach(callback, thisArgument) {
    for (const [name, value] of this) Reflect.apply(callback, thisArgument, [value, name, this]);
  }

  *entries() {
    const names = [...new Set(this.#lines.map((line) => line[0]))].sort();
    for (const name of names) {
      if (name === COOKIE) for (const value of this.getSetCookie()) yield [name, value];
      else yield [name, this.get(name)];
    }
  }

  *keys() {
    for (const [name] of this.entries()) yield name;
  }

  *values() {
    for (const [, value] of this.entries()) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

/** Headers of lines that the host has checked. */
export const headersOf = (lines) => Headers[newHeadersOf](lines);

function* pairsOf(init) {
  if (typeof init[Symbol.iterator] !== "function") {
    yield* Object.entries(init);
    return;
  }
  for (const pair of init) {
    const items = [...pair];
    if (items.length !== 2) throw new TypeError("each pair of Headers is [name, value]");
    yield items;
  }
}

function checkedName(name) {
  const text = String(name);
  if (!NAME.test(text)) throw new TypeError(`\`${text.slice(0, 100)}\` is no header name`);
  return text.toLowerCase();
}

function checkedValue(value) {
  const text = String(value).replace(EDGE_WHITESPACE, "");
  if (!BYTES.test(text)) throw new TypeError("a header's value has characters beyond U+00FF: encode it first");
  if (/[\0\n\r]/.test(text)) throw new TypeError("a header's value must not contain line breaks or NUL");
  return text;
}
