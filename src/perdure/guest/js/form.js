// FormData, for forms without files: they travel urlencoded.

export class FormData {
  #entries = [];

  append(name, value) {
    this.#entries.push([String(name), textOf(value)]);
  }

  set(name, value) {
    const key = String(name);
    const text = textOf(value);
    const place = this.#entries.findIndex((entry) => entry[0] === key);
    if (place < 0) {
      this.#entries.push([key, text]);
      return;
    }
    this.#entries[place][1] = text;
    this.#entries = this.#entries.filter((entry, index) => index <= place || entry[0] !== key);
  }

  get(name) {
    const key = String(name);
    return this.#entries.find((entry) => entry[0] === key)?.[1] ?? null;
  }

  getAll(name) {
    const key = String(name);
    return this.#entries.filter((entry) => entry[0] === key).map((entry) => entry[1]);
  }

  has(name) {
    const key = String(name);
    return this.#entries.some((entry) => entry[0] === key);
  }

  delete(name) {
    const key = String(name);
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

  /** The form as a body of type application/x-www-form-urlencoded. */
  urlEncoded() {
    return new URLSearchParams(this.#entries).toString();
  }
}

/** The form in an urlencoded body. */
export function formDataOf(text) {
  const form = new FormData();
  for (const [name, value] of new URLSearchParams(text)) form.append(name, value);
  return form;
}

function textOf(value) {
  if (typeof value === "object" && value !== null && (value instanceof ArrayBuffer || ArrayBuffer.isView(value))) {
    throw new TypeError("FormData here holds text: encode bytes first");
  }
  return String(value);
}
