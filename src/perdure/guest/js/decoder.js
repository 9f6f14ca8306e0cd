// TextDecoder: the C extension reads Unicode, `@exodus/bytes` the encodings of one byte, such as latin1.
import { NativeTextDecoder as Native } from "./natives.js"; // before the libraries
import { normalizeEncoding } from "@exodus/bytes/encoding-lite.js";
import { createSinglebyteDecoder } from "@exodus/bytes/single-byte.js";
import { bytesOf } from "./streams.js";

const UNICODE = new Set(["utf-8", "utf-16le", "utf-16be"]);
const SEVERAL_BYTES = new Set(["big5", "euc-jp", "euc-kr", "gb18030", "gbk", "iso-2022-jp", "replacement", "shift_jis"]);

export class TextDecoder extends Native {
  #legacy; // the name and the function of an encoding that is not Unicode

  constructor(label = "utf-8", options = {}) {
    const name = label === "utf-8" ? label : nameOf(String(label));
    const isUnicode = UNICODE.has(name);
    super(isUnicode ? name : "utf-8", options ?? {});
    if (!isUnicode) this.#legacy = { name, decode: createSinglebyteDecoder(name, !options?.fatal) };
  }

  get encoding() {
    return this.#legacy?.name ?? super.encoding;
  }

  decode(input, options) {
    if (this.#legacy === undefined) return input === undefined ? super.decode() : super.decode(input, options ?? {});
    if (input === undefined) return "";
    const bytes = bytesOf(input);
    if (bytes === undefined) throw new TypeError("decode() takes bytes: an ArrayBuffer or a view of one");
    return this.#legacy.decode(bytes);
  }
}

function nameOf(label) {
  const name = normalizeEncoding(label);
  if (name !== null && !SEVERAL_BYTES.has(name)) return name;
  throw new RangeError(`\`${label.slice(0, 40)}\` is no encoding known here: Unicode is, and the encodings of one byte`);
}

// A standard class shows its members as its own: copy those that are only inherited here.
for (const key of Reflect.ownKeys(Native.prototype)) {
  if (Object.hasOwn(TextDecoder.prototype, key)) continue;
  Object.defineProperty(TextDecoder.prototype, key, Object.getOwnPropertyDescriptor(Native.prototype, key));
}
