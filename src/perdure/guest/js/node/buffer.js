// node:buffer. The class is that of `buffer`; the engine does the encodings that are used most, and base64url, which it lacks.
import { Buffer, INSPECT_MAX_BYTES, kMaxLength, SlowBuffer } from "buffer";
import { Blob, File } from "../blob.js";
import { TextDecoder } from "../decoder.js";

const { from, isEncoding, byteLength } = Buffer;
const { toString, write } = Buffer.prototype;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

/** Base64 of either alphabet; what belongs to neither is passed over, as Node does. */
function fromBase64(text) {
  const end = text.indexOf("=");
  const digits = (end < 0 ? text : text.slice(0, end)).replaceAll("-", "+").replaceAll("_", "/").replace(/[^A-Za-z0-9+/]/g, "");
  return Uint8Array.fromBase64(digits.length % 4 === 1 ? digits.slice(0, -1) : digits, { lastChunkHandling: "loose" });
}

const READ = {
  utf8: (text) => encoder.encode(text),
  base64: fromBase64,
  base64url: fromBase64,
};
const WRITE = {
  utf8: (bytes) => decoder.decode(bytes),
  hex: (bytes) => bytes.toHex(),
  base64: (bytes) => bytes.toBase64(),
  base64url: (bytes) => bytes.toBase64({ alphabet: "base64url", omitPadding: true }),
};

const nameOf = (encoding) => {
  const name = encoding === undefined ? "utf8" : String(encoding).toLowerCase();
  return name === "utf-8" ? "utf8" : name;
};
const bufferOf = ({ buffer, byteOffset, byteLength: size }) => from(buffer, byteOffset, size);

Buffer.from = (value, encodingOrOffset, length) => {
  if (typeof value !== "string") return from(value, encodingOrOffset, length);
  const read = READ[nameOf(encodingOrOffset)];
  return read === undefined ? from(value, encodingOrOffset) : bufferOf(read(value));
};
Buffer.isEncoding = (encoding) => encoding === "base64url" || isEncoding(encoding);
Buffer.byteLength = (value, encoding) =>
  nameOf(encoding) === "base64url" ? fromBase64(String(value)).length : byteLength(value, encoding);
Object.defineProperties(Buffer.prototype, {
  toString: {
    value: function (encoding, start, end) {
      const put = WRITE[nameOf(encoding)];
      if (put === undefined) return Reflect.apply(toString, this, [encoding, start, end]);
      const first = Math.max(0, start | 0);
      const last = Math.min(this.length, end === undefined ? this.length : Math.max(0, end | 0));
      if (last <= first) return "";
      return put(new Uint8Array(this.buffer, this.byteOffset + first, last - first));
    },
    writable: true,
    configurable: true,
  },
  write: {
    value: function (text, offset, length, encoding) {
      const name = [offset, length, encoding].find((each) => typeof each === "string");
      if (name !== "base64url") return Reflect.apply(write, this, [text, offset, length, encoding]);
      return Reflect.apply(write, this, [text, ...[offset, length].filter((each) => typeof each === "number"), "base64"]);
    },
    writable: true,
    configurable: true,
  },
});

const isAscii = (value) => value.every((byte) => byte < 128);

function isUtf8(value) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(value);
    return true;
  } catch {
    return false;
  }
}

export const buffer = {
  Blob, Buffer, File, INSPECT_MAX_BYTES, SlowBuffer, atob, btoa, isAscii, isUtf8, kMaxLength,
  constants: { MAX_LENGTH: kMaxLength, MAX_STRING_LENGTH: 0x3fffffff },
};
export { Buffer };
