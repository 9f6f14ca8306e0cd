// node:crypto, in part: hashes, codes, chance. What has keys is `crypto.subtle`'s.
import { hmac } from "@noble/hashes/hmac.js";
import { md5, sha1 } from "@noble/hashes/legacy.js";
import { sha224, sha256, sha384, sha512 } from "@noble/hashes/sha2.js";
import { crypto } from "../crypto.js";
import { bytesOf } from "../streams.js";
import { Buffer } from "./buffer.js";

const HASHES = { md5, sha1, sha224, sha256, sha384, sha512 };
const CHUNK_BYTES = 65_536;
const RANGE_MAX = 2 ** 48;

function hashNamed(name) {
  const key = String(name).toLowerCase().replace("sha-", "sha");
  if (Object.hasOwn(HASHES, key)) return HASHES[key];
  throw new Error(`Digest method not supported: \`${name}\`; there are ${Object.keys(HASHES).join(", ")}`);
}

function dataOf(data, encoding) {
  const bytes = typeof data === "string" ? Buffer.from(data, encoding) : bytesOf(data);
  if (bytes === undefined) throw new TypeError('The "data" argument must be a string, or bytes');
  return bytes;
}

class Hash {
  #state;
  #isDone = false;

  constructor(state) {
    this.#state = state;
  }

  update(data, encoding) {
    if (this.#isDone) throw new Error("Digest already called");
    this.#state.update(dataOf(data, encoding));
    return this;
  }

  digest(encoding) {
    if (this.#isDone) throw new Error("Digest already called");
    this.#isDone = true;
    const bytes = Buffer.from(this.#state.digest().buffer);
    return encoding === undefined || encoding === "buffer" ? bytes : bytes.toString(encoding);
  }

  copy() {
    return new Hash(this.#state.clone());
  }
}

function randomFillSync(target, offset = 0, size = target.byteLength - offset) {
  const bytes = bytesOf(target).subarray(offset, offset + size);
  for (let place = 0; place < bytes.length; place += CHUNK_BYTES) crypto.getRandomValues(bytes.subarray(place, place + CHUNK_BYTES));
  return target;
}

function randomBytes(size, callback) {
  const bytes = randomFillSync(Buffer.alloc(size));
  if (callback === undefined) return bytes;
  queueMicrotask(() => callback(null, bytes));
  return undefined;
}

function randomInt(least, most, callback) {
  if (typeof most !== "number") return randomInt(0, least, most);
  const range = most - least;
  if (!Number.isSafeInteger(range) || range <= 0 || range > RANGE_MAX) {
    throw new RangeError(`randomInt() gives an integer from \`${least}\` to below \`${most}\`: the range is from 1 to 2 ** 48`);
  }
  const bound = RANGE_MAX - (RANGE_MAX % range); // above it, small numbers would come more often
  let drawn;
  do drawn = randomBytes(6).readUIntBE(0, 6);
  while (drawn >= bound);
  const value = least + (drawn % range);
  if (callback === undefined) return value;
  queueMicrotask(() => callback(null, value));
  return undefined;
}

export const nodeCrypto = {
  createHash: (name) => new Hash(hashNamed(name).create()),
  createHmac: (name, key) => new Hash(hmac.create(hashNamed(name), dataOf(key))),
  getHashes: () => Object.keys(HASHES),
  getRandomValues: (array) => crypto.getRandomValues(array),
  hash: (name, data, encoding = "hex") => new Hash(hashNamed(name).create()).update(data).digest(encoding),
  randomBytes, randomFillSync, randomInt,
  randomUUID: () => crypto.randomUUID(),
  subtle: crypto.subtle,
  timingSafeEqual: (one, other) => crypto.subtle.timingSafeEqual(one, other),
  webcrypto: crypto,
};
