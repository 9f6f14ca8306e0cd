// Streams that turn text into bytes, bytes into text, and bytes into fewer bytes and back.
//
// Compression is pako's. What a small input may unfold to has no bound of its own: it is unfolded piece by piece, and the
// next piece waits until the reader has taken the last.
import { Deflate, Inflate } from "pako";
import { bytesOf, streamClasses } from "./streams.js";

const { ReadableStream, TransformStream, WritableStream } = streamClasses;

const PIECE_BYTES = 1_024; // unfolds to 1 MiB at most
const CHUNK_BYTES = 65_536;
const NO_FLUSH = 0; // zlib's numbers
const SYNC_FLUSH = 2;
const FINISH = 4;
const WINDOW_BITS = { deflate: 15, "deflate-raw": -15, gzip: 31 };

// ── text ─────────────────────────────────────────────────────────────────────────────────────────────────────

export class TextEncoderStream {
  #transform;

  constructor() {
    const encoder = new TextEncoder();
    let half = ""; // the first half of a character whose second half may begin the next chunk
    this.#transform = new TransformStream({
      transform(chunk, controller) {
        let text = half + String(chunk);
        half = /[\ud800-\udbff]$/.test(text) ? text.at(-1) : "";
        if (half !== "") text = text.slice(0, -1);
        if (text !== "") controller.enqueue(encoder.encode(text));
      },
      flush(controller) {
        if (half !== "") controller.enqueue(encoder.encode(half));
      },
    });
  }

  get encoding() {
    return "utf-8";
  }

  get readable() {
    return this.#transform.readable;
  }

  get writable() {
    return this.#transform.writable;
  }
}

export class TextDecoderStream {
  #decoder;
  #transform;

  constructor(label, options) {
    const decoder = new TextDecoder(label, options);
    const give = (text, controller) => {
      if (text !== "") controller.enqueue(text);
    };
    this.#decoder = decoder;
    this.#transform = new TransformStream({
      transform: (chunk, controller) => give(decoder.decode(checkedBytes(chunk), { stream: true }), controller),
      flush: (controller) => give(decoder.decode(), controller),
    });
  }

  get encoding() {
    return this.#decoder.encoding;
  }

  get fatal() {
    return this.#decoder.fatal;
  }

  get ignoreBOM() {
    return this.#decoder.ignoreBOM;
  }

  get readable() {
    return this.#transform.readable;
  }

  get writable() {
    return this.#transform.writable;
  }
}

function checkedBytes(chunk) {
  const bytes = bytesOf(chunk);
  if (bytes === undefined) throw new TypeError(`this stream takes bytes, not \`${chunk === null ? "null" : typeof chunk}\``);
  return bytes;
}

// ── compression ──────────────────────────────────────────────────────────────────────────────────────────────

export class CompressionStream {
  #pair;

  constructor(format) {
    const windowBits = windowBitsOf(format);
    this.#pair = pairFor(new Deflate({ windowBits, chunkSize: CHUNK_BYTES }));
  }

  get readable() {
    return this.#pair.readable;
  }

  get writable() {
    return this.#pair.writable;
  }
}

export class DecompressionStream {
  #pair;

  constructor(format) {
    const windowBits = windowBitsOf(format);
    this.#pair = pairFor(new Inflate({ windowBits, chunkSize: CHUNK_BYTES }), { checksEnd: true });
  }

  get readable() {
    return this.#pair.readable;
  }

  get writable() {
    return this.#pair.writable;
  }
}

function windowBitsOf(format) {
  const name = String(format);
  if (Object.hasOwn(WINDOW_BITS, name)) return WINDOW_BITS[name];
  throw new TypeError(`\`${name.slice(0, 40)}\` is no format of compression here: use ${Object.keys(WINDOW_BITS).join(", ")}`);
}

/** `{ readable, writable }` around one of pako's machines, which takes a piece only when its last output has been read. */
function pairFor(machine, { checksEnd = false } = {}) {
  let output;
  let sink;
  let isOver = false;
  let drained = Promise.withResolvers();
  const readable = new ReadableStream({
    start(controller) {
      output = controller;
    },
    pull: () => drained.resolve(),
    cancel(reason) {
      isOver = true;
      drained.resolve();
      sink.error(reason);
    },
  });
  machine.onData = (chunk) => output.enqueue(chunk);
  const feed = async (piece, flush) => {
    while (!isOver && output.desiredSize <= 0) {
      drained = Promise.withResolvers();
      await drained.promise;
    }
    if (!isOver) run(machine, piece, flush);
  };
  const fail = (error) => {
    isOver = true;
    output.error(error);
    throw error;
  };
  const writable = new WritableStream({
    start(controller) {
      sink = controller;
    },
    async write(chunk) {
      try {
        const bytes = checkedBytes(chunk).slice();
        for (let place = 0; place < bytes.length && !isOver; place += PIECE_BYTES) {
          await feed(bytes.subarray(place, place + PIECE_BYTES), checksEnd ? SYNC_FLUSH : NO_FLUSH);
        }
      } catch (error) {
        fail(error);
      }
    },
    async close() {
      if (checksEnd && !machine.ended) fail(new TypeError("the compressed data ends too early"));
      if (!checksEnd) await feed(new Uint8Array(), FINISH);
      if (!isOver) output.close();
    },
    abort(reason) {
      isOver = true;
      output.error(reason);
    },
  });
  return { readable, writable };
}

function run(machine, piece, flush) {
  if (machine.ended) throw new TypeError("there is more data after the end of the compressed data");
  machine.push(piece, flush);
  if (machine.err) throw new TypeError(`the compressed data is broken: ${machine.msg}`);
  if (machine.strm.avail_in > 0) throw new TypeError("there is more data after the end of the compressed data");
}
