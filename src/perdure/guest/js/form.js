// FormData: the fields of a form, text and files.
import { Blob, contentOfBlob, File, fileOf } from "./blob.js";

export class FormData {
  #entries = [];

  append(name, value, filename) {
    this.#entries.push([wellFormed(name), valueOf(value, filename, arguments.length > 2)]);
  }

  set(name, value, filename) {
    const key = wellFormed(name);
    const kept = valueOf(value, filename, arguments.length > 2);
    const place = this.#entries.findIndex((entry) => entry[0] === key);
    if (place < 0) {
      this.#entries.push([key, kept]);
      return;
    }
    this.#entries[place][1] = kept;
    this.#entries = this.#entries.filter((entry, index) => index <= place || entry[0] !== key);
  }

  get(name) {
    const key = wellFormed(name);
    return this.#entries.find((entry) => entry[0] === key)?.[1] ?? null;
  }

  getAll(name) {
    const key = wellFormed(name);
    return this.#entries.filter((entry) => entry[0] === key).map((entry) => entry[1]);
  }

  has(name) {
    const key = wellFormed(name);
    return this.#entries.some((entry) => entry[0] === key);
  }

  delete(name) {
    const key = wellFormed(name);
    this.#entries = this.#entries.filter((entry) => entry[0] !== key);
  }

  forEach(callback, thisArgument) {
    for (const [name, value] of this) Reflect.apply(callback, thisArgument, [value, name, this]);
  }

  *entries() {
    for (const [name, value] of this.#entries) yield [name, value];
  }

  *keys() {
    for (const [name] of this.#entries) yield name;
  }

  *values() {
    for (const [, value] of this.#entries) yield value;
  }

  [Symbol.iterator]() {
    return this.entries();
  }
}

/** The form in an urlencoded body. */
export function formDataOf(text) {
  const form = new FormData();
  for (const [name, value] of new URLSearchParams(text)) form.append(name, value);
  return form;
}

const wellFormed = (text) => String(text).toWellFormed();

function valueOf(value, filename, isNamed) {
  if (value instanceof Blob) {
    if (value instanceof File && !isNamed) return value;
    return fileOf(contentOfBlob(value), isNamed ? filename : "blob", { type: value.type, lastModified: value.lastModified });
  }
  if (isNamed) throw new TypeError("only a Blob or a File has a file name in a form");
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    throw new TypeError("FormData holds text and files: give bytes as new Blob([bytes])");
  }
  return wellFormed(value);
}
