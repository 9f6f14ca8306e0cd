// CryptoKey, and the formats that keys are imported from and exported to: raw, jwk, pkcs8 and spki.
//
// Every key is kept as bytes: a secret; of a curve the private number or the public point; of RSA its PKCS #1 form.
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { p256, p384, p521 } from "@noble/curves/nist.js";
import { BIT_STRING, der, derBits, derInteger, DerReader, NULL, OBJECT_ID, OCTET_STRING, SEQUENCE } from "./der.js";

const RSA_ID = Uint8Array.fromHex("2a864886f70d010101");
const EC_ID = Uint8Array.fromHex("2a8648ce3d0201");
const ZERO = derInteger(new Uint8Array(1));
const ONE = derInteger(new Uint8Array([1]));
const RSA_NUMBERS = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];

/** Elliptic curves: how many bytes a coordinate has, the name in DER, and the mathematics. */
export const CURVES = {
  "P-256": { size: 32, id: Uint8Array.fromHex("2a8648ce3d030107"), math: p256 },
  "P-384": { size: 48, id: Uint8Array.fromHex("2b81040022"), math: p384 },
  "P-521": { size: 66, id: Uint8Array.fromHex("2b81040023"), math: p521 },
};

/** Curves whose keys are plain bytes. */
export const PLAIN_CURVES = {
  Ed25519: { id: Uint8Array.fromHex("2b6570"), math: ed25519 },
  X25519: { id: Uint8Array.fromHex("2b656e"), math: x25519 },
};

export const refused = (name, message) => new DOMException(message, name);
const dataError = (message) => refused("DataError", message);

const ours = Symbol("ours");

/** What a key is made of. */
export let materialOf;

export class CryptoKey {
  #material;

  static {
    materialOf = (key) => {
      if (!(#material in key)) throw new TypeError("the key is not a CryptoKey");
      return key.#material;
    };
  }

  constructor(key, fields, material) {
    if (key !== ours) throw new TypeError("Illegal constructor: use crypto.subtle.importKey() or generateKey()");
    this.#material = material;
    for (const [name, value] of Object.entries(fields)) Object.defineProperty(this, name, { value, enumerable: true });
  }
}

/** A key: `kind` is secret, private or public. */
export const newKey = (kind, algorithm, extractable, usages, material) =>
  new CryptoKey(ours, { type: kind, extractable, algorithm: Object.freeze(algorithm), usages: Object.freeze([...usages]) }, material);

/** Which shape the keys of an algorithm have. */
export function shapeOf({ name }) {
  if (name === "ECDSA" || name === "ECDH") return "curve";
  if (Object.hasOwn(PLAIN_CURVES, name)) return "plain";
  return name.startsWith("RS") ? "rsa" : "secret";
}

// ── import ───────────────────────────────────────────────────────────────────────────────────────────────────

/** `{ kind, material }` of key data, which is bytes or a JSON Web Key. */
export function readKey(format, data, algorithm) {
  const shape = shapeOf(algorithm);
  switch (format) {
    case "raw":
      if (shape === "secret") return { kind: "secret", material: data };
      if (shape === "curve") return { kind: "public", material: checkedPoint(algorithm, data) };
      if (shape === "plain") return { kind: "public", material: checkedSize(data, 32) };
      break;
    case "jwk":
      return READ_JWK[shape](data, algorithm);
    case "spki":
      if (shape !== "secret") return { kind: "public", material: readSpki(shape, data, algorithm) };
      break;
    case "pkcs8":
      if (shape !== "secret") return { kind: "private", material: readPkcs8(shape, data, algorithm) };
      break;
    default:
      throw new TypeError(`\`${String(format)}\` is no format of keys: use raw, jwk, pkcs8 or spki`);
  }
  throw refused("NotSupportedError", `a key of ${algorithm.name} cannot be imported from \`${format}\``);
}

function readSpki(shape, data, algorithm) {
  const reader = new DerReader(data).enter();
  checkId(shape, reader.enter(), algorithm);
  const bytes = reader.takeBits();
  if (shape === "curve") return checkedPoint(algorithm, bytes);
  return shape === "plain" ? checkedSize(bytes, 32) : bytes.slice();
}

function readPkcs8(shape, data, algorithm) {
  const reader = new DerReader(data).enter();
  reader.takeInteger();
  checkId(shape, reader.enter(), algorithm);
  const inner = reader.take(OCTET_STRING);
  if (shape === "rsa") return inner.slice();
  if (shape === "plain") return checkedSize(new DerReader(inner).take(OCTET_STRING), 32);
  const key = new DerReader(inner).enter();
  key.takeInteger();
  return checkedScalar(algorithm, key.take(OCTET_STRING));
}

function checkId(shape, reader, algorithm) {
  const wanted = shape === "rsa" ? [RSA_ID] : shape === "plain" ? [PLAIN_CURVES[algorithm.name].id] : [EC_ID, CURVES[algorithm.namedCurve].id];
  for (const id of wanted) {
    if (reader.take(OBJECT_ID).toHex() !== id.toHex()) throw dataError(`the key is not one of ${algorithm.name}`);
  }
}

function checkedSize(bytes, size) {
  if (bytes.length !== size) throw dataError(`the key has ${bytes.length} bytes, it should have ${size}`);
  return bytes.slice();
}

function checkedPoint({ namedCurve }, bytes) {
  try {
    return CURVES[namedCurve].math.Point.fromBytes(bytes).toBytes(false);
  } catch {
    throw dataError(`the key is no point of ${namedCurve}`);
  }
}

function checkedScalar({ namedCurve }, bytes) {
  if (!CURVES[namedCurve].math.utils.isValidSecretKey(bytes)) throw dataError(`the key is no private key of ${namedCurve}`);
  return bytes.slice();
}

const READ_JWK = {
  secret(jwk) {
    checkType(jwk, "oct");
    return { kind: "secret", material: fieldOf(jwk, "k") };
  },
  curve(jwk, algorithm) {
    checkType(jwk, "EC");
    if (jwk.crv !== algorithm.namedCurve) throw dataError(`the key's curve is \`${jwk.crv}\`, not ${algorithm.namedCurve}`);
    const point = checkedPoint(algorithm, new Uint8Array([4, ...fieldOf(jwk, "x"), ...fieldOf(jwk, "y")]));
    if (jwk.d === undefined) return { kind: "public", material: point };
    const scalar = checkedScalar(algorithm, fieldOf(jwk, "d"));
    if (publicOf(algorithm, scalar).toHex() !== point.toHex()) throw dataError("the key's `d` does not belong to its `x` and `y`");
    return { kind: "private", material: scalar };
  },
  plain(jwk, algorithm) {
    checkType(jwk, "OKP");
    if (jwk.crv !== algorithm.name) throw dataError(`the key's curve is \`${jwk.crv}\`, not ${algorithm.name}`);
    const point = checkedSize(fieldOf(jwk, "x"), 32);
    if (jwk.d === undefined) return { kind: "public", material: point };
    return { kind: "private", material: checkedSize(fieldOf(jwk, "d"), 32) };
  },
  rsa(jwk) {
    checkType(jwk, "RSA");
    if (jwk.d === undefined) {
      return { kind: "public", material: der(SEQUENCE, derInteger(fieldOf(jwk, "n")), derInteger(fieldOf(jwk, "e"))) };
    }
    const numbers = RSA_NUMBERS.map((name) => derInteger(fieldOf(jwk, name)));
    return { kind: "private", material: der(SEQUENCE, ZERO, ...numbers) };
  },
};

function checkType(jwk, type) {
  if (jwk.kty !== type) throw dataError(`the key's \`kty\` is \`${String(jwk.kty)}\`, it should be "${type}"`);
}

function fieldOf(jwk, name) {
  try {
    return Uint8Array.fromBase64(jwk[name], { alphabet: "base64url" });
  } catch {
    throw dataError(`the key's \`${name}\` is not base64url`);
  }
}

// ── export ───────────────────────────────────────────────────────────────────────────────────────────────────

/** The public bytes that belong to private ones. */
export function publicOf(algorithm, secret) {
  if (shapeOf(algorithm) === "plain") return PLAIN_CURVES[algorithm.name].math.getPublicKey(secret);
  return CURVES[algorithm.namedCurve].math.getPublicKey(secret, false);
}

/** A key as an ArrayBuffer or a JSON Web Key. */
export function writeKey(format, key) {
  const material = materialOf(key);
  const shape = shapeOf(key.algorithm);
  if (format === "jwk") {
    const { extractable, usages } = key;
    return { ...WRITE_JWK[shape](key, material), key_ops: [...usages], ext: extractable };
  }
  if (format === "raw" && shape !== "rsa" && key.type !== "private") return copyOf(material);
  if (format === "spki" && key.type === "public") return copyOf(der(SEQUENCE, idOf(shape, key), derBits(material)));
  if (format === "pkcs8" && key.type === "private") {
    return copyOf(der(SEQUENCE, ZERO, idOf(shape, key), der(OCTET_STRING, innerOf(shape, key, material))));
  }
  throw refused("NotSupportedError", `a ${key.type} key of ${key.algorithm.name} cannot be exported to \`${String(format)}\``);
}

const copyOf = (bytes) => bytes.slice().buffer;

function idOf(shape, { algorithm }) {
  if (shape === "rsa") return der(SEQUENCE, der(OBJECT_ID, RSA_ID), der(NULL));
  if (shape === "plain") return der(SEQUENCE, der(OBJECT_ID, PLAIN_CURVES[algorithm.name].id));
  return der(SEQUENCE, der(OBJECT_ID, EC_ID), der(OBJECT_ID, CURVES[algorithm.namedCurve].id));
}

function innerOf(shape, { algorithm }, material) {
  if (shape === "rsa") return material;
  if (shape === "plain") return der(OCTET_STRING, material);
  const point = der(0xa1, der(BIT_STRING, [0], publicOf(algorithm, material)));
  return der(SEQUENCE, ONE, der(OCTET_STRING, material), point);
}

const text = (bytes) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });

const WRITE_JWK = {
  secret: ({ algorithm }, material) => ({ kty: "oct", k: text(material), alg: nameInJwk(algorithm, material) }),
  curve(key, material) {
    const { size } = CURVES[key.algorithm.namedCurve];
    const point = key.type === "private" ? publicOf(key.algorithm, material) : material;
    const jwk = { kty: "EC", crv: key.algorithm.namedCurve, x: text(point.subarray(1, size + 1)), y: text(point.subarray(size + 1)) };
    return key.type === "private" ? { ...jwk, d: text(material) } : jwk;
  },
  plain(key, material) {
    const isPrivate = key.type === "private";
    const jwk = { kty: "OKP", crv: key.algorithm.name, x: text(isPrivate ? publicOf(key.algorithm, material) : material) };
    return isPrivate ? { ...jwk, d: text(material) } : jwk;
  },
  rsa(key, material) {
    const reader = new DerReader(material).enter();
    const jwk = { kty: "RSA" };
    if (key.type === "private") reader.takeInteger();
    for (const name of key.type === "private" ? RSA_NUMBERS : RSA_NUMBERS.slice(0, 2)) jwk[name] = text(reader.takeInteger());
    return jwk;
  },
};

function nameInJwk({ name, hash }, material) {
  if (name === "HMAC") return `HS${hash.name === "SHA-1" ? "1" : hash.name.slice(4)}`;
  return `A${material.length * 8}${name.slice(4)}`;
}
