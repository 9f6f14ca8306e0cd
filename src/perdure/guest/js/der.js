// DER: as much of it as keys are written in.

export const SEQUENCE = 0x30;
export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
export const NULL = 0x05;
export const OBJECT_ID = 0x06;

/** One value with its tag and length; the content is given in parts. */
export function der(tag, ...parts) {
  const size = parts.reduce((total, part) => total + part.length, 0);
  const head = size < 128 ? [tag, size] : size < 256 ? [tag, 0x81, size] : [tag, 0x82, size >> 8, size & 255];
  const bytes = new Uint8Array(head.length + size);
  bytes.set(head);
  let place = head.length;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

/** A number that is not negative, from its bytes. */
export function derInteger(bytes) {
  let first = 0;
  while (first < bytes.length - 1 && bytes[first] === 0) first++;
  const digits = bytes.subarray(first);
  return digits[0] >= 128 ? der(INTEGER, [0], digits) : der(INTEGER, digits);
}

export const derBits = (bytes) => der(BIT_STRING, [0], bytes);

/** Takes values off the front of `bytes`. What is malformed throws a DataError. */
export class DerReader {
  #bytes;
  #place = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  get isAtEnd() {
    return this.#place >= this.#bytes.length;
  }

  /** The tag of the next value. */
  get next() {
    return this.#bytes[this.#place];
  }

  /** The content of the next value, which must have this tag. */
  take(tag) {
    const bytes = this.#bytes;
    if (bytes[this.#place] !== tag) throw malformed();
    let size = bytes[this.#place + 1];
    let start = this.#place + 2;
    if (size > 128) {
      const count = size - 128;
      if (count > 3) throw malformed();
      size = 0;
      for (let index = 0; index < count; index++) size = size * 256 + bytes[start++];
    }
    if (!(start + size <= bytes.length)) throw malformed();
    this.#place = start + size;
    return bytes.subarray(start, start + size);
  }

  enter(tag = SEQUENCE) {
    return new DerReader(this.take(tag));
  }

  /** The bytes of a number, without a leading zero. */
  takeInteger() {
    const bytes = this.take(INTEGER);
    return bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes;
  }

  /** The bytes of a bit string that ends with a whole byte. */
  takeBits() {
    const bytes = this.take(BIT_STRING);
    if (bytes[0] !== 0) throw malformed();
    return bytes.subarray(1);
  }
}

const malformed = () => new DOMException("the key is not in the format that was named", "DataError");
