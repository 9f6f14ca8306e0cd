// Bodies of requests and responses: text or bytes as long as nobody asks for a stream, which is what most never do.
import { Blob, contentOfBlob } from "./blob.js";
import { FormData, formDataOf } from "./form.js";
import { isMultipart, parseMultipart, serializeMultipart } from "./multipart.js";
import { isOfHost, lend, streamOfHost } from "./passing.js";
import { bytesOf, collect, isDisturbed, streamClasses, streamOf, takeContent, useUp } from "./streams.js";

const { ReadableStream } = streamClasses;
const { parse } = JSON;
const FORM_TYPE = "application/x-www-form-urlencoded";
const TEXT_TYPE = "text/plain;charset=UTF-8";
const BYTES_MAX = 8_388_608; // BODY_BYTES_MAX in perdure.limits
const USED = "Body has already been used. It can only be used once: clone() it before reading";

/** Content and its type, from whatever a message may be made with: null, text, bytes or a stream of bytes. */
export function contentOf(init) {
  if (init === undefined || init === null) return { content: null };
  if (typeof init === "string") return { content: init.toWellFormed(), type: TEXT_TYPE };
  if (init instanceof ReadableStream) return { content: checkedStream(init) };
  if (init instanceof URLSearchParams) return { content: String(init), type: `${FORM_TYPE};charset=UTF-8` };
  if (init instanceof FormData) return serializeMultipart(init);
  if (init instanceof Blob) return { content: contentOfBlob(init), type: init.type === "" ? undefined : init.type };
  const bytes = bytesOf(init);
  if (bytes !== undefined) return { content: bytes.slice() };
  if (typeof init[Symbol.asyncIterator] === "function") return { content: ReadableStream.from(init) };
  return { content: String(init).toWellFormed(), type: TEXT_TYPE };
}

function checkedStream(stream) {
  if (isDisturbed(stream)) throw new TypeError("a stream that has been read from cannot be a body");
  if (stream.locked) throw new TypeError("a stream that has a reader cannot be a body");
  return stream;
}

let cloneContent;
let moveContent;
let leaving;

/** What requests and responses have in common. Content is null, text, bytes or a stream of bytes. */
export class Body {
  #content;
  #isUsed = false; // while the content is no stream

  static {
    cloneContent = (message) => message.#clone();
    moveContent = (message) => message.#move();
    leaving = (message) => message.#leave();
  }

  constructor(content) {
    this.#content = content;
  }

  get body() {
    const content = this.#content;
    if (content === null || content instanceof ReadableStream) return content;
    this.#content = streamOf(content);
    if (this.#isUsed) useUp(this.#content);
    return this.#content;
  }

  get bodyUsed() {
    const content = this.#content;
    return content instanceof ReadableStream ? isDisturbed(content) : this.#isUsed;
  }

  /** Throws when it cannot be read any more. */
  #check() {
    if (this.bodyUsed) throw new TypeError(USED);
    if (this.#content?.locked === true) throw new TypeError("this body has a reader already: read from that, or release its lock");
  }

  /** The content, text or bytes, which is used up then; a promise when it is a stream. */
  #take() {
    this.#check();
    const content = this.#content;
    if (content === null) return "";
    if (content instanceof ReadableStream) {
      return takeContent(content) ?? collect(content, isOfHost(content) ? BYTES_MAX : undefined);
    }
    this.#isUsed = true;
    return content;
  }

  #clone() {
    this.#check();
    const content = this.#content;
    if (!(content instanceof ReadableStream)) return content;
    const [kept, given] = content.tee();
    this.#content = kept;
    return given;
  }

  /** The content for another message; this one is used up. */
  #move() {
    this.#check();
    const content = this.#content;
    if (!(content instanceof ReadableStream)) {
      if (content !== null) this.#isUsed = true;
      return content;
    }
    this.#content = streamOf("");
    useUp(this.#content);
    return content;
  }

  #leave() {
    this.#check();
    const content = this.#content;
    return content instanceof ReadableStream ? (takeContent(content) ?? content) : content;
  }

  async text() {
    const content = await this.#take();
    return typeof content === "string" ? content : new TextDecoder().decode(content);
  }

  async json() {
    return parse(await this.text());
  }

  async bytes() {
    const content = await this.#take();
    return typeof content === "string" ? new TextEncoder().encode(content) : content.slice();
  }

  async arrayBuffer() {
    return (await this.bytes()).buffer;
  }

  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }

  async formData() {
    const type = this.headers.get("content-type") ?? "";
    if (isMultipart(type)) return parseMultipart(await this.bytes(), type);
    if (type.toLowerCase().startsWith(FORM_TYPE)) return formDataOf(await this.text());
    throw new TypeError(`formData() reads multipart/form-data and ${FORM_TYPE}, this body is \`${type || "of no type"}\``);
  }
}

/** The content for a second message with the same body. */
export const clonedContent = (message) => cloneContent(message);

/** The content for a message that takes the place of this one. */
export const movedContent = (message) => moveContent(message);

/** Adds the fields by which the host knows the body of a message: text, base64 or a stream, nothing when there is none. */
export function addBody(wire, message) {
  const content = leaving(message);
  if (content === null) return wire;
  if (typeof content === "string") wire.b = content;
  else if (content instanceof ReadableStream) Object.assign(wire, lend(content));
  else wire.B = content.toBase64();
  return wire;
}

/** The content of a message of the host's. */
export function contentFromWire(wire) {
  if (wire.b !== undefined) return wire.b;
  if (wire.S !== undefined) return streamOfHost(wire.S);
  return wire.B === undefined ? null : Uint8Array.fromBase64(wire.B);
}
