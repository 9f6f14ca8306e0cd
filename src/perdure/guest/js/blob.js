// Blob and File: bytes that do not change, with a type.
import { bytesOf, joined, streamOf } from "./streams.js";

const encoder = new TextEncoder();
const PRINTABLE = /^[\x20-\x7e]*$/;
const raw = Symbol("raw");

/** The bytes of a blob, not copied: they must not be changed. */
export let contentOfBlob;

export class Blob {
  #bytes;
  #type;

  static {
    contentOfBlob = (blob) => blob.#bytes;
  }

  constructor(parts = [], options = {}) {
    if (parts?.[raw] !== undefined) {
      this.#bytes = parts[raw];
    } else {
      if (typeof parts !== "object" || typeof parts?.[Symbol.iterator] !== "function") {
        throw new TypeError("a Blob is made from an array of its parts: new Blob([text])");
      }
      this.#bytes = joined(Array.from(parts, (part) => bytesOfPart(part, options?.endings)));
    }
    this.#type = typeOf(options?.type);
  }

  get size() {
    return this.#bytes.length;
  }

  get type() {
    return this.#type;
  }

  slice(start = 0, end = this.size, type = "") {
    return new Blob({ [raw]: this.#bytes.subarray(start, end) }, { type });
  }

  async text() {
    return new TextDecoder().decode(this.#bytes);
  }

  async bytes() {
    return this.#bytes.slice();
  }

  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }

  stream() {
    return streamOf(this.#bytes);
  }

}

/** A file of bytes that nobody else changes. */
export const fileOf = (bytes, name, options) => new File({ [raw]: bytes }, name, options);

export class File extends Blob {
  #name;
  #lastModified;

  constructor(parts, name, options = {}) {
    if (arguments.length < 2) throw new TypeError("a File needs its parts and a name: new File([text], name)");
    super(parts, options);
    this.#name = String(name).toWellFormed();
    this.#lastModified = options?.lastModified === undefined ? Date.now() : Math.trunc(Number(options.lastModified)) || 0;
  }

  get name() {
    return this.#name;
  }

  get lastModified() {
    return this.#lastModified;
  }

  get webkitRelativePath() {
    return "";
  }
}

function bytesOfPart(part, endings) {
  if (part instanceof Blob) return contentOfBlob(part);
  const bytes = bytesOf(part);
  if (bytes !== undefined) return bytes.slice();
  const text = String(part).toWellFormed();
  return encoder.encode(endings === "native" ? text.replace(/\r\n?/g, "\n") : text);
}

function typeOf(given = "") {
  const type = String(given);
  return PRINTABLE.test(type) ? type.toLowerCase() : "";
}
