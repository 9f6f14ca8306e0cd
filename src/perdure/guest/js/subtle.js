// `crypto.subtle`. The C extension (Mbed TLS) computes, and @noble/curves where it cannot; what may be done with which key,
// and the formats of keys, are decided here.
//
// The extension takes ArrayBuffers alone: a view makes it leave an exception behind that the next call of anything finds.
import { randomBytes } from "./host.js";
import { CURVES, materialOf, newKey, PLAIN_CURVES, publicOf, readKey, refused, shapeOf, writeKey } from "./keys.js";
import { bytesOf } from "./streams.js";

const native = globalThis.crypto.subtle;
const HASHES = { "SHA-1": 64, "SHA-256": 64, "SHA-384": 128, "SHA-512": 128 }; // the bytes of a block
const AES = ["AES-CBC", "AES-CTR", "AES-GCM"];
const RSA = ["RSASSA-PKCS1-v1_5", "RSA-PSS", "RSA-OAEP"];
const NAMES = [...AES, ...RSA, "ECDH", "ECDSA", "Ed25519", "HKDF", "HMAC", "PBKDF2", "X25519"];
const SIGNING = ["ECDSA", "Ed25519", "HMAC", "RSA-PSS", "RSASSA-PKCS1-v1_5"];
const DERIVING = ["ECDH", "HKDF", "PBKDF2", "X25519"];
const BYTES_FIELDS = ["additionalData", "counter", "info", "iv", "label", "salt"];
const USAGES = ["encrypt", "decrypt", "sign", "verify", "deriveKey", "deriveBits", "wrapKey", "unwrapKey"];
const OF_PUBLIC = ["encrypt", "verify", "wrapKey"];
const RSA_BITS_MAX = 4_096; // one key takes seconds

// ── what was given ───────────────────────────────────────────────────────────────────────────────────────────

/** Bytes as an ArrayBuffer that nobody else has. */
function bufferOf(value, what = "the data") {
  const bytes = bytesOf(value);
  if (bytes === undefined) throw new TypeError(`${what} must be an ArrayBuffer or a view of one`);
  return bytes.slice().buffer;
}

function algorithmOf(given, known = NAMES, what = "this") {
  const algorithm = typeof given === "string" ? { name: given } : { ...given };
  if (typeof algorithm.name !== "string") throw new TypeError("an algorithm is a name, or an object with a `name`");
  const name = known.find((each) => each.toLowerCase() === algorithm.name.toLowerCase());
  if (name === undefined) {
    throw refused("NotSupportedError", `\`${algorithm.name.slice(0, 40)}\` is no algorithm for ${what} here: use ${known.join(", ")}`);
  }
  for (const field of BYTES_FIELDS) {
    if (algorithm[field] !== undefined) algorithm[field] = bufferOf(algorithm[field], `\`${field}\` of the algorithm`);
  }
  return { ...algorithm, name };
}

const hashOf = (given) => algorithmOf(given, Object.keys(HASHES), "hashing");

/** What stays with a key of its algorithm. */
function kept({ name, hash, namedCurve }, size) {
  if (name === "HMAC") return { name, hash: { name: hashOf(hash).name }, length: size * 8 };
  if (AES.includes(name)) return { name, length: size * 8 };
  if (RSA.includes(name)) return { name, hash: { name: hashOf(hash).name } };
  if (shapeOf({ name }) !== "curve") return { name };
  if (Object.hasOwn(CURVES, namedCurve ?? "")) return { name, namedCurve };
  throw refused("NotSupportedError", `\`${String(namedCurve)}\` is no curve known here: use ${Object.keys(CURVES).join(", ")}`);
}

function usagesOf(given) {
  const usages = [...given];
  const wrong = usages.find((usage) => !USAGES.includes(usage));
  if (wrong !== undefined) throw new TypeError(`\`${String(wrong)}\` is no usage of a key: use ${USAGES.join(", ")}`);
  return USAGES.filter((usage) => usages.includes(usage));
}

function checkKey(key, algorithm, usage) {
  materialOf(key);
  if (key.algorithm.name !== algorithm.name) throw refused("InvalidAccessError", `the key is one of ${key.algorithm.name}, not of ${algorithm.name}`);
  if (!key.usages.includes(usage)) throw refused("InvalidAccessError", `the key may not be used to ${usage}: it was made with ${JSON.stringify(key.usages)}`);
}

// ── what computes ────────────────────────────────────────────────────────────────────────────────────────────

const nativeKeys = new WeakMap();

/** The extension's own key; it takes the hash of a derivation from there, so that one is made for each. */
async function nativeOf(key, hash = key.algorithm.hash?.name) {
  const known = nativeKeys.get(key);
  if (known !== undefined) return known;
  const format = { secret: "raw", private: "pkcs8", public: "spki" }[key.type]; // its names for the bytes that we keep
  const usages = nativeUsages(key.algorithm.name, key.type);
  const made = await native.importKey(format, materialOf(key).slice().buffer, { ...key.algorithm, hash }, true, usages);
  if (hash === key.algorithm.hash?.name) nativeKeys.set(key, made);
  return made;
}

/** Everything that it can be used for: what it may be used for is decided here. */
function nativeUsages(name, type) {
  if (DERIVING.includes(name)) return ["deriveBits"];
  const [forward, back] = SIGNING.includes(name) ? ["verify", "sign"] : ["encrypt", "decrypt"];
  return type === "secret" ? [forward, back] : [type === "public" ? forward : back];
}

/** Runs `compute`; that it failed is all that is said. */
async function attempt(what, compute) {
  try {
    return await compute();
  } catch (error) {
    if (error instanceof DOMException || error instanceof InternalError) throw error;
    throw refused("OperationError", `${what} failed`);
  }
}

function checkCipher({ name, iv, counter, length, tagLength = 128 }) {
  if (name === "AES-CTR") {
    if (counter?.byteLength !== 16) throw refused("OperationError", "the `counter` of AES-CTR has 16 bytes");
    if (!(length >= 1 && length <= 128)) throw refused("OperationError", "the `length` of AES-CTR is from 1 to 128 bits");
  } else if (name !== "RSA-OAEP") {
    if (iv === undefined) throw new TypeError(`${name} needs an \`iv\``);
    if (name === "AES-CBC" && iv.byteLength !== 16) throw refused("OperationError", "the `iv` of AES-CBC has 16 bytes");
    if (name === "AES-GCM" && iv.byteLength === 0) throw refused("OperationError", "the `iv` of AES-GCM is not empty");
    if (name === "AES-GCM" && ![96, 104, 112, 120, 128].includes(tagLength)) {
      throw refused("OperationError", "the `tagLength` of AES-GCM is 96, 104, 112, 120 or 128 bits");
    }
  }
}

async function cipher(act, given, key, data, usage = act) {
  const algorithm = algorithmOf(given, [...AES, "RSA-OAEP"], "encryption");
  checkKey(key, algorithm, usage);
  checkCipher(algorithm);
  const made = await nativeOf(key);
  return attempt(act === "encrypt" ? "the encryption" : "the decryption", () => native[act](algorithm, made, data));
}

async function bitsOf(given, key, bitCount, usage) {
  const algorithm = algorithmOf(given, DERIVING, "derivation");
  checkKey(key, algorithm, usage);
  if (algorithm.name === "ECDH" || algorithm.name === "X25519") return agreed(algorithm, key, bitCount);
  if (!Number.isInteger(bitCount) || bitCount <= 0 || bitCount % 8 !== 0) {
    throw refused("OperationError", `${algorithm.name} derives a number of bits that 8 divides, not \`${String(bitCount)}\``);
  }
  const { name } = hashOf(algorithm.hash);
  if (algorithm.salt === undefined) throw new TypeError(`${algorithm.name} needs a \`salt\``);
  if (algorithm.name === "HKDF" && algorithm.info === undefined) throw new TypeError("HKDF needs `info`");
  if (algorithm.name === "PBKDF2" && !(algorithm.iterations >= 1)) throw refused("OperationError", "PBKDF2 needs `iterations`");
  const made = await nativeOf(key, name);
  return attempt("the derivation", () => native.deriveBits({ ...algorithm, hash: { name } }, made, bitCount));
}

async function agreed(algorithm, key, bitCount) {
  const other = algorithm.public;
  const theirs = materialOf(other);
  const { name, namedCurve } = other.algorithm;
  if (other.type !== "public" || name !== key.algorithm.name || namedCurve !== key.algorithm.namedCurve) {
    throw refused("InvalidAccessError", "the `public` of the algorithm is a public key of the same curve");
  }
  const secret = await attempt("the derivation", () => {
    if (name === "X25519") return PLAIN_CURVES.X25519.math.getSharedSecret(materialOf(key), theirs);
    return CURVES[namedCurve].math.getSharedSecret(materialOf(key), theirs).subarray(1);
  });
  if (bitCount === null || bitCount === undefined) return secret.slice().buffer;
  if (bitCount > secret.length * 8 || bitCount % 8 !== 0) throw refused("OperationError", `${bitCount} bits cannot be derived from this key`);
  return secret.slice(0, bitCount / 8).buffer;
}

function lengthOf({ name, length, hash }) {
  if (AES.includes(name)) {
    if (![128, 192, 256].includes(length)) throw refused("OperationError", "the `length` of an AES key is 128, 192 or 256 bits");
    return length;
  }
  if (name === "HMAC") return length ?? HASHES[hashOf(hash).name] * 8;
  throw refused("NotSupportedError", `a key of ${name} cannot be derived`);
}

function makeKey(kind, algorithm, { isExtractable, usages }, material) {
  const isPair = kind !== "secret";
  const mine = isPair ? usages.filter((usage) => OF_PUBLIC.includes(usage) === (kind === "public")) : usages;
  return newKey(kind, algorithm, kind === "public" || isExtractable, mine, material);
}

async function pairOf(algorithm, options) {
  const { name } = algorithm;
  const shape = shapeOf(algorithm);
  const mayDerive = DERIVING.includes(name);
  if (!options.usages.some((usage) => (mayDerive ? usage.startsWith("derive") : !usage.startsWith("derive")))) {
    throw refused("SyntaxError", `a pair of keys of ${name} needs a usage`);
  }
  const { secret, open, more } = await (shape === "rsa" ? rsaPair(algorithm) : curvePair(algorithm));
  const stays = { ...kept(algorithm), ...more };
  return {
    publicKey: makeKey("public", { ...stays }, options, open),
    privateKey: makeKey("private", { ...stays }, options, secret),
  };
}

function curvePair(algorithm) {
  kept(algorithm);
  const { math } = shapeOf(algorithm) === "plain" ? PLAIN_CURVES[algorithm.name] : CURVES[algorithm.namedCurve];
  const secret = math.utils.randomSecretKey(randomBytes(math.lengths.seed));
  return { secret, open: publicOf(algorithm, secret) };
}

async function rsaPair(algorithm) {
  const { modulusLength } = algorithm;
  if (!(modulusLength >= 1024 && modulusLength <= RSA_BITS_MAX && modulusLength % 8 === 0)) {
    throw refused("OperationError", `the \`modulusLength\` of RSA is from 1024 to ${RSA_BITS_MAX} bits`);
  }
  const publicExponent = bytesOf(algorithm.publicExponent)?.slice();
  if (publicExponent?.toHex() !== "010001") throw refused("OperationError", "the `publicExponent` of RSA is 65537");
  const hash = hashOf(algorithm.hash).name;
  const usages = algorithm.name === "RSA-OAEP" ? ["encrypt", "decrypt"] : ["sign", "verify"];
  return attempt("making the keys", async () => {
    const pair = await native.generateKey({ ...algorithm, publicExponent: publicExponent.buffer, hash }, true, usages);
    const [secret, open] = await Promise.all([native.exportKey("pkcs8", pair.privateKey), native.exportKey("spki", pair.publicKey)]);
    return { secret: new Uint8Array(secret), open: new Uint8Array(open), more: { modulusLength, publicExponent } };
  });
}

// ── the class ────────────────────────────────────────────────────────────────────────────────────────────────

export class SubtleCrypto {
  async digest(algorithm, data) {
    return native.digest(hashOf(algorithm).name, bufferOf(data));
  }

  async generateKey(given, extractable, usages) {
    const algorithm = algorithmOf(given, NAMES, "making keys");
    const options = { isExtractable: Boolean(extractable), usages: usagesOf(usages) };
    if (shapeOf(algorithm) !== "secret") return pairOf(algorithm, options);
    const material = randomBytes(Math.ceil(lengthOf(algorithm) / 8));
    if (options.usages.length === 0) throw refused("SyntaxError", `a key of ${algorithm.name} needs a usage`);
    return makeKey("secret", kept(algorithm, material.length), options, material);
  }

  async importKey(format, data, given, extractable, usages) {
    const algorithm = algorithmOf(given, NAMES, "importing keys");
    if (shapeOf(algorithm) === "curve") kept(algorithm);
    const source = format === "jwk" ? { ...data } : new Uint8Array(bufferOf(data, "the key's data"));
    const { kind, material } = readKey(format, source, algorithm);
    if (AES.includes(algorithm.name) && ![16, 24, 32].includes(material.length)) {
      throw refused("DataError", `a key of AES has 16, 24 or 32 bytes, not ${material.length}`);
    }
    if (algorithm.name === "HMAC" && material.length === 0) throw refused("DataError", "a key of HMAC is not empty");
    const options = { isExtractable: Boolean(extractable), usages: usagesOf(usages) };
    const key = makeKey(kind, kept(algorithm, material.length), options, material);
    if (key.type !== "public" && key.usages.length === 0) throw refused("SyntaxError", `a ${kind} key of ${algorithm.name} needs a usage`);
    return key;
  }

  async exportKey(format, key) {
    materialOf(key);
    if (!key.extractable) throw refused("InvalidAccessError", "the key was made so that it cannot be exported");
    return writeKey(format, key);
  }

  async sign(given, key, data) {
    const algorithm = algorithmOf(given, SIGNING, "signing");
    const bytes = bufferOf(data);
    checkKey(key, algorithm, "sign");
    if (algorithm.name === "Ed25519") return PLAIN_CURVES.Ed25519.math.sign(new Uint8Array(bytes), materialOf(key)).buffer;
    const hash = (algorithm.name === "ECDSA" ? hashOf(algorithm.hash) : key.algorithm.hash).name;
    const made = await nativeOf(key);
    return attempt("the signature", () => native.sign({ ...algorithm, hash }, made, bytes));
  }

  async verify(given, key, signature, data) {
    const algorithm = algorithmOf(given, SIGNING, "signatures");
    const [mark, bytes] = [bufferOf(signature, "the signature"), bufferOf(data)];
    checkKey(key, algorithm, "verify");
    if (algorithm.name === "Ed25519") return isGenuine(materialOf(key), new Uint8Array(mark), new Uint8Array(bytes));
    const hash = (algorithm.name === "ECDSA" ? hashOf(algorithm.hash) : key.algorithm.hash).name;
    const made = await nativeOf(key);
    return attempt("the check", () => native.verify({ ...algorithm, hash }, made, mark, bytes));
  }

  async encrypt(algorithm, key, data) {
    return cipher("encrypt", algorithm, key, bufferOf(data));
  }

  async decrypt(algorithm, key, data) {
    return cipher("decrypt", algorithm, key, bufferOf(data));
  }

  async deriveBits(algorithm, key, bitCount) {
    return bitsOf(algorithm, key, bitCount, "deriveBits");
  }

  async deriveKey(given, key, derived, extractable, usages) {
    const algorithm = algorithmOf(derived, NAMES, "derived keys");
    const bits = await bitsOf(given, key, lengthOf(algorithm), "deriveKey");
    return this.importKey("raw", bits, algorithm, extractable, usages);
  }

  async wrapKey(format, key, wrappingKey, algorithm) {
    const exported = await this.exportKey(format, key);
    const data = format === "jwk" ? new TextEncoder().encode(JSON.stringify(exported)).buffer : exported;
    return cipher("encrypt", algorithm, wrappingKey, data, "wrapKey");
  }

  async unwrapKey(format, wrapped, key, algorithm, unwrapped, extractable, usages) {
    const data = await cipher("decrypt", algorithm, key, bufferOf(wrapped, "the wrapped key"), "unwrapKey");
    const source = format === "jwk" ? JSON.parse(new TextDecoder().decode(data)) : data;
    return this.importKey(format, source, unwrapped, extractable, usages);
  }

  /** As workers of this kind have it: whether two values are equal, in a time that does not tell where they differ. */
  timingSafeEqual(one, other) {
    const [left, right] = [bytesOf(one), bytesOf(other)];
    if (left === undefined || right === undefined) throw new TypeError("timingSafeEqual() compares ArrayBuffers, or views of them");
    if (left.length !== right.length) throw new TypeError("timingSafeEqual() compares values of the same length");
    let difference = 0;
    for (let index = 0; index < left.length; index++) difference |= left[index] ^ right[index];
    return difference === 0;
  }
}

function isGenuine(point, signature, data) {
  try {
    return PLAIN_CURVES.Ed25519.math.verify(signature, data, point);
  } catch {
    return false; // It is no signature at all.
  }
}
