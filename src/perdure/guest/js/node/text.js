// node:querystring, node:string_decoder and node:url: what URLs and decoders of the web do under older names.
import { TextDecoder } from "../decoder.js";
import { URL, URLSearchParams } from "../url.js";
import { Buffer } from "./buffer.js";

const KEYS_MAX = 1_000;

// ── querystring ──────────────────────────────────────────────────────────────────────────────────────────────

function unescape(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

const escape = (text) => encodeURIComponent(text);

function parseQuery(text, separator = "&", equals = "=", { maxKeys = KEYS_MAX, decodeURIComponent: decode = unescape } = {}) {
  const values = Object.create(null);
  const parts = String(text ?? "").split(separator);
  for (const part of maxKeys > 0 ? parts.slice(0, maxKeys) : parts) {
    if (part === "") continue;
    const place = part.indexOf(equals);
    const [name, value] = place < 0 ? [part, ""] : [part.slice(0, place), part.slice(place + equals.length)];
    const key = decode(name.replaceAll("+", " "));
    const item = decode(value.replaceAll("+", " "));
    values[key] = values[key] === undefined ? item : [values[key], item].flat();
  }
  return values;
}

const textOf = (value) => (["string", "number", "bigint", "boolean"].includes(typeof value) ? String(value) : "");

function writeQuery(values, separator = "&", equals = "=", { encodeURIComponent: encode = escape } = {}) {
  return Object.entries(values ?? {})
    .flatMap(([name, value]) => [value].flat().map((item) => encode(name) + equals + encode(textOf(item))))
    .join(separator);
}

export const querystring = { decode: parseQuery, encode: writeQuery, escape, parse: parseQuery, stringify: writeQuery, unescape };

// ── string_decoder ───────────────────────────────────────────────────────────────────────────────────────────

class StringDecoder {
  #decoder;
  #rest = Buffer.alloc(0);
  #group; // how many bytes make whole characters

  constructor(encoding = "utf8") {
    this.encoding = String(encoding).toLowerCase().replace("utf-8", "utf8");
    if (!Buffer.isEncoding(this.encoding)) throw new TypeError(`Unknown encoding: ${encoding}`);
    if (this.encoding === "utf8") this.#decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    else if (["ucs2", "ucs-2", "utf16le", "utf-16le"].includes(this.encoding)) this.#decoder = new TextDecoder("utf-16le", { ignoreBOM: true });
    this.#group = this.encoding.startsWith("base64") ? 3 : 1;
  }

  write(bytes) {
    if (typeof bytes === "string") return bytes;
    if (this.#decoder !== undefined) return this.#decoder.decode(bytes, { stream: true });
    const all = Buffer.concat([this.#rest, bytes]);
    const whole = all.length - (all.length % this.#group);
    this.#rest = all.subarray(whole);
    return all.toString(this.encoding, 0, whole);
  }

  end(bytes) {
    const text = bytes === undefined ? "" : this.write(bytes);
    if (this.#decoder !== undefined) return text + this.#decoder.decode();
    const last = this.#rest.toString(this.encoding);
    this.#rest = Buffer.alloc(0);
    return text + last;
  }
}

export const stringDecoder = { StringDecoder };

// ── url ──────────────────────────────────────────────────────────────────────────────────────────────────────

const BASE = "perdure-relative://x";

/** The parts of a URL by their older names; null where one is missing. */
function parseUrl(text, parsesQuery = false) {
  const isAbsolute = URL.canParse(text);
  const url = new URL(text, BASE);
  const path = isAbsolute || text.startsWith("/") ? url.pathname : url.pathname.slice(1);
  const query = url.search === "" ? null : url.search.slice(1);
  const auth = url.username === "" ? null : unescape(url.username) + (url.password === "" ? "" : `:${unescape(url.password)}`);
  const authority = isAbsolute ? { protocol: url.protocol, slashes: text.includes("//"), auth, host: url.host, port: url.port || null, hostname: url.hostname } : {};
  return {
    protocol: null, slashes: null, auth: null, host: null, port: null, hostname: null, ...authority,
    hash: url.hash || null, search: url.search || null, query: parsesQuery ? parseQuery(query) : query, pathname: path || null,
    path: path + url.search || null, href: isAbsolute ? url.href : path + url.search + url.hash,
  };
}

function formatUrl(parts) {
  if (typeof parts === "string" || parts instanceof URL) return String(parts);
  const { auth, hash, pathname = "", port, protocol, query } = parts;
  const host = parts.host ?? (parts.hostname ? parts.hostname + (port ? `:${port}` : "") : "");
  const search = parts.search ?? (query ? `?${typeof query === "string" ? query : writeQuery(query)}` : "");
  const scheme = protocol ? `${protocol.replace(/:?$/, ":")}${host === "" && !parts.slashes ? "" : "//"}` : "";
  return `${scheme}${auth ? `${auth}@` : ""}${host}${pathname}${search && search.replace(/^\??/, "?")}${hash ? hash.replace(/^#?/, "#") : ""}`;
}

function resolveUrl(from, to) {
  const url = new URL(to, new URL(from, BASE));
  return url.href.startsWith(BASE) ? url.href.slice(BASE.length) : url.href;
}

function fileURLToPath(given) {
  const url = new URL(given);
  if (url.protocol !== "file:") throw new TypeError("The URL must be of scheme file");
  return decodeURIComponent(url.pathname);
}

export const url = {
  URL, URLSearchParams, fileURLToPath, format: formatUrl, parse: parseUrl, resolve: resolveUrl,
  domainToASCII: (domain) => URL.parse(`http://${domain}`)?.hostname ?? "",
  pathToFileURL: (path) => new URL(`file://${encodeURI(path).replaceAll("?", "%3F").replaceAll("#", "%23")}`),
};
