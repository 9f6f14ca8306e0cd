// Chance, from the host: nothing of it may be in the snapshot that every guest starts from. See `subtle.js` for
// the rest of `crypto`.
import { randomBytes } from "./host.js";
import { SubtleCrypto } from "./subtle.js";

const POOL_BYTES = 512;
const REQUEST_BYTES_MAX = 65_536;
const INTEGER_ARRAYS = new Set([
  "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
  "BigInt64Array", "BigUint64Array",
]);

let pool = new Uint32Array(0);
let used = 0;

/** `Math.random`: 53 random bits. */
export function random() {
  if (used === pool.length) {
    pool = new Uint32Array(randomBytes(POOL_BYTES).buffer);
    used = 0;
  }
  return (pool[used++] * 0x200000 + (pool[used++] >>> 11)) / 0x20000000000000;
}

export class Crypto {
  #subtle = new SubtleCrypto();

  get subtle() {
    return this.#subtle;
  }
}

Object.assign(Crypto.prototype, { getRandomValues, randomUUID });

export const crypto = new Crypto();

function getRandomValues(array) {
  if (!INTEGER_ARRAYS.has(array?.[Symbol.toStringTag])) {
    throw new DOMException("getRandomValues() fills a typed array of integers", "TypeMismatchError");
  }
  if (array.byteLength > REQUEST_BYTES_MAX) {
    throw new DOMException(`getRandomValues() gives at most ${REQUEST_BYTES_MAX} bytes at once, not ${array.byteLength}`, "QuotaExceededError");
  }
  if (array.byteLength > 0) {
    new Uint8Array(array.buffer, array.byteOffset, array.byteLength).set(randomBytes(array.byteLength));
  }
  return array;
}

function randomUUID() {
  const bytes = randomBytes(16);
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = bytes.toHex();
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
