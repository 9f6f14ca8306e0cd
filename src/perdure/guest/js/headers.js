// Headers of the Fetch standard: the C extension keeps and sorts them, this adds what it lacks of the standard.
const NativeHeaders = globalThis.Headers;

const BYTES = /^[\0-\xff]*$/;
const append = NativeHeaders.prototype.append;

export class Headers extends NativeHeaders {
  constructor(init) {
    super();
    if (init === undefined) return;
    if (init === null || typeof init !== "object") {
      throw new TypeError("Headers are made from an object, an array of pairs or other Headers");
    }
    const pairs = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
    for (const pair of pairs) {
      const [name, value] = pairOf(pair);
      super.append(name, byteString(value));
    }
  }

  append(name, value) {
    super.append(name, byteString(value));
  }

  set(name, value) {
    super.set(name, byteString(value));
  }
}

// A standard class shows its members as its own: copy those that are only inherited here.
for (const key of Reflect.ownKeys(NativeHeaders.prototype)) {
  if (Object.hasOwn(Headers.prototype, key)) continue;
  Object.defineProperty(Headers.prototype, key, Object.getOwnPropertyDescriptor(NativeHeaders.prototype, key));
}

/** Headers of lines that the host has checked. */
export function headersOf(lines) {
  const headers = new Headers();
  for (const [name, value] of lines) Reflect.apply(append, headers, [name, value]);
  return headers;
}

function pairOf(given) {
  const pair = [...given];
  if (pair.length !== 2) throw new TypeError("each pair of Headers is [name, value]");
  return pair;
}

function byteString(value) {
  const text = String(value);
  if (!BYTES.test(text)) throw new TypeError("a header's value has characters beyond U+00FF: encode it first");
  return text;
}
