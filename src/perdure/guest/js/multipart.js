// Forms with files: multipart/form-data, read and written.
//
// What is read comes from anywhere: parts and their heads are bounded, and it is read in one pass.
import { contentOfBlob, File, fileOf } from "./blob.js";
import { TextDecoder } from "./decoder.js";
import { FormData } from "./form.js";
import { joined } from "./streams.js";

const PARTS_MAX = 10_000;
const HEAD_BYTES_MAX = 16_384;
const TYPE = /^multipart\/form-data\s*(?:;|$)/i;
const BOUNDARY = /;\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))/i;
const CRLF = [13, 10];
const encoder = new TextEncoder();
const decoder = new TextDecoder();

export const isMultipart = (type) => TYPE.test(type);

// ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────

/** `{ content, type }` of a form. */
export function serializeMultipart(form) {
  const boundary = `----PerdureFormBoundary${crypto.randomUUID().replaceAll("-", "")}`;
  const chunks = [];
  for (const [name, value] of form) {
    const disposition = `--${boundary}\r\nContent-Disposition: form-data; name="${escaped(withLineEndings(name))}"`;
    if (value instanceof File) {
      const type = value.type === "" ? "application/octet-stream" : value.type;
      chunks.push(encoder.encode(`${disposition}; filename="${escaped(value.name)}"\r\nContent-Type: ${type}\r\n\r\n`));
      chunks.push(contentOfBlob(value), encoder.encode("\r\n"));
    } else {
      chunks.push(encoder.encode(`${disposition}\r\n\r\n${withLineEndings(value)}\r\n`));
    }
  }
  chunks.push(encoder.encode(`--${boundary}--\r\n`));
  return { content: joined(chunks), type: `multipart/form-data; boundary=${boundary}` };
}

const withLineEndings = (text) => text.replace(/\r\n|\r|\n/g, "\r\n");
const escaped = (text) => text.replaceAll("\n", "%0A").replaceAll("\r", "%0D").replaceAll('"', "%22");

// ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

/** The form in a body of this type. Throws a TypeError that says what is wrong with it. */
export function parseMultipart(bytes, type) {
  const match = BOUNDARY.exec(type);
  if (match === null) throw new TypeError("the type multipart/form-data of this body names no boundary");
  const delimiter = encoder.encode(`--${match[1] ?? match[2]}`);
  const form = new FormData();
  const parts = new Reader(bytes);
  if (!parts.skip(delimiter)) {
    if (!parts.skipPast([...CRLF, ...delimiter])) throw malformed("it has no boundary");
  }
  for (let count = 0; !parts.skip([45, 45]); count++) {
    if (count >= PARTS_MAX) throw new TypeError(`a form has at most ${PARTS_MAX} parts`);
    parts.skipSpace();
    if (!parts.skip(CRLF)) throw malformed("a boundary is not at the end of its line");
    const head = headOf(parts);
    const content = parts.upTo([...CRLF, ...delimiter]);
    if (content === undefined) throw malformed("it ends inside of a part");
    append(form, head, content);
  }
  return form;
}

const malformed = (why) => new TypeError(`this body is no multipart/form-data: ${why}`);

/** Reads bytes from the front to the end. */
class Reader {
  #bytes;
  #place = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  skip(expected) {
    for (let index = 0; index < expected.length; index++) {
      if (this.#bytes[this.#place + index] !== expected[index]) return false;
    }
    this.#place += expected.length;
    return true;
  }

  skipSpace() {
    while (this.#bytes[this.#place] === 32 || this.#bytes[this.#place] === 9) this.#place++;
  }

  skipPast(pattern) {
    return this.upTo(pattern) !== undefined;
  }

  /** The bytes before `pattern`, which is skipped; undefined when it does not come, or only after `bytesMax`. */
  upTo(pattern, bytesMax = Infinity) {
    const start = this.#place;
    for (let from = start; ; from++) {
      const found = this.#bytes.indexOf(pattern[0], from);
      if (found < 0 || found - start > bytesMax) return undefined;
      this.#place = found;
      if (this.skip(pattern)) return this.#bytes.subarray(start, found);
      from = found;
    }
  }
}

/** `{ name, filename, type }` from the lines before a part's content. */
function headOf(parts) {
  const head = {};
  for (let left = HEAD_BYTES_MAX; !parts.skip(CRLF); ) {
    const bytes = parts.upTo(CRLF, left);
    if (bytes === undefined) throw malformed(`the head of a part has no end, or more than ${HEAD_BYTES_MAX} bytes`);
    left -= bytes.length + 2;
    const line = decoder.decode(bytes);
    const colon = line.indexOf(":");
    if (colon < 1) throw malformed("a line of a part's head is not `name: value`");
    const value = line.slice(colon + 1).trim();
    switch (line.slice(0, colon).trim().toLowerCase()) {
      case "content-disposition":
        Object.assign(head, namesIn(value));
        break;
      case "content-type":
        head.type = value;
        break;
      default: // Others say nothing that a form keeps.
    }
  }
  if (head.name === undefined) throw malformed("a part has no name");
  return head;
}

function namesIn(disposition) {
  if (!/^form-data\s*(?:;|$)/i.test(disposition)) throw malformed("a part is no form-data");
  const names = {};
  for (const [, key, quoted, token] of disposition.matchAll(/;\s*(name|filename)=(?:"([^"]*)"|([^\s";]+))/gi)) {
    names[key.toLowerCase()] ??= unescaped(quoted ?? token);
  }
  return names;
}

const unescaped = (text) => text.replace(/%0A/gi, "\n").replace(/%0D/gi, "\r").replace(/%22/g, '"');

function append(form, { name, filename, type }, content) {
  if (filename === undefined) form.append(name, decoder.decode(content));
  else form.append(name, fileOf(content.slice(), filename, { type: type ?? "text/plain" }));
}
