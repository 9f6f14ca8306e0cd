// Bodies of requests and responses. They are whole: text or bytes, never a stream under way.
import { FormData, formDataOf } from "./form.js";

const { parse } = JSON;
const FORM_TYPE = "application/x-www-form-urlencoded";
const source = Symbol("source");

/** What `body` gives: enough of a stream to be read, or to be passed on to another message. */
export class BodyStream {
  #message;

  constructor(message) {
    this.#message = message;
  }

  get locked() {
    return this.#message.bodyUsed;
  }

  /** The message that this is the body of. */
  get [source]() {
    return this.#message;
  }

  async cancel() {
    if (!this.locked) await this.#message.bytes();
  }

  getReader() {
    const chunks = this[Symbol.asyncIterator]();
    return {
      read: async () => chunks.next(),
      releaseLock() {},
      cancel: async () => void (await chunks.return()),
      closed: Promise.resolve(),
    };
  }

  async *[Symbol.asyncIterator]() {
    const bytes = await this.#message.bytes();
    if (bytes.length > 0) yield bytes;
  }
}

/** Content and its type, from whatever a message may be made with. */
export function contentOf(init) {
  if (init === undefined || init === null) return { content: null };
  if (typeof init === "string") return { content: init.toWellFormed(), type: "text/plain;charset=UTF-8" };
  if (init instanceof URLSearchParams) return { content: String(init), type: `${FORM_TYPE};charset=UTF-8` };
  if (init instanceof FormData) return { content: init.urlEncoded(), type: `${FORM_TYPE};charset=UTF-8` };
  if (init instanceof BodyStream) return { content: takeContent(init[source]) };
  if (init instanceof ArrayBuffer) return { content: new Uint8Array(init.slice(0)) };
  if (ArrayBuffer.isView(init)) return { content: new Uint8Array(init.buffer, init.byteOffset, init.byteLength).slice() };
  return { content: String(init).toWellFormed(), type: "text/plain;charset=UTF-8" };
}

let takeContent;
let peekContent;

/** What requests and responses have in common. Content is null, text or bytes. */
export class Body {
  #content;
  #isUsed = false;

  static {
    takeContent = (message) => message.#take();
    peekContent = (message) => {
      if (message.#isUsed) throw new TypeError("Body has already been used. It can only be used once: clone() it before reading");
      return message.#content;
    };
  }

  constructor(content) {
    this.#content = content;
  }

  get body() {
    return this.#content === null ? null : new BodyStream(this);
  }

  get bodyUsed() {
    return this.#isUsed;
  }

  #take() {
    const content = peekContent(this);
    if (content !== null) this.#isUsed = true;
    return content;
  }

  async text() {
    const content = this.#take();
    return typeof content === "string" ? content : new TextDecoder().decode(content ?? new Uint8Array());
  }

  async json() {
    return parse(await this.text());
  }

  async bytes() {
    const content = this.#take();
    return typeof content === "string" ? new TextEncoder().encode(content) : (content?.slice() ?? new Uint8Array());
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  async formData() {
    const type = this.headers.get("content-type") ?? "";
    if (!type.toLowerCase().startsWith(FORM_TYPE)) {
      throw new TypeError(`formData() reads ${FORM_TYPE}, this body is \`${type || "of no type"}\``);
    }
    return formDataOf(await this.text());
  }
}

/** The content of a message, which stays readable. */
export const contentFor = (message) => peekContent(message);

/** The fields by which the host knows a body: text or base64, nothing when there is none. */
export function addBody(wire, content) {
  if (content === null) return wire;
  if (typeof content === "string") wire.b = content;
  else wire.B = content.toBase64();
  return wire;
}

/** The content of a message of the host's. */
export function contentFromWire(wire) {
  if (wire.b !== undefined) return wire.b;
  return wire.B === undefined ? null : Uint8Array.fromBase64(wire.B);
}
