// Streams between this guest and its host. Whoever receives one pulls it, chunk by chunk: the host reads ours with events,
// we read the host's with operations. The numbers are the sender's.
import { waitUntil } from "./life.js";
import { startOperation } from "./operations.js";
import { checkedChunk, isDisturbed, streamClasses, useUp } from "./streams.js";

const { ReadableStream } = streamClasses;
const CHUNK_BYTES = 65_536; // STREAM_CHUNK_BYTES_MAX in perdure.limits
const encoder = new TextEncoder();

let lastNumber = 0;
const lent = new Map(); // what the host may read: its reader, and what is left of a chunk that was too large
const ofHost = new WeakMap();
const collected = new FinalizationRegistry((state) => cancelAtHost(state));

/** A stream of the host's. */
export function streamOfHost(number) {
  const state = { number, isOver: false };
  const stream = new ReadableStream({
    type: "bytes",
    pull: (controller) => pullFromHost(state, controller),
    cancel: () => cancelAtHost(state),
  });
  ofHost.set(stream, state);
  collected.register(stream, state);
  return stream;
}

async function pullFromHost(state, controller) {
  let chunk;
  try {
    chunk = await startOperation("stream", { n: state.number, act: "read" });
  } catch (error) {
    state.isOver = true;
    throw error;
  }
  if (chunk === null) {
    state.isOver = true;
    controller.close();
    controller.byobRequest?.respond(0);
  } else {
    controller.enqueue(typeof chunk === "string" ? encoder.encode(chunk) : Uint8Array.fromBase64(chunk[1]));
  }
}

/** Tells the host that nobody wants the rest, once. */
function cancelAtHost(state) {
  if (state.isOver) return;
  state.isOver = true;
  startOperation("stream", { n: state.number, act: "cancel" }).catch(() => {});
}

/** Whether it comes from the host, which makes of it what it likes. */
export const isOfHost = (stream) => ofHost.has(stream);

/** Lets the host read a stream that nobody has begun to read: the field of a message that says so. */
export function lend(stream) {
  const state = ofHost.get(stream);
  if (state !== undefined && !state.isOver && !isDisturbed(stream)) {
    state.isOver = true; // From now on it is the host's alone.
    useUp(stream);
    return { R: state.number };
  }
  lent.set(++lastNumber, { reader: stream.getReader(), rest: undefined });
  return { S: lastNumber };
}

/** An event: the host reads one, or wants no more of some. */
export function streamEvent({ n, act }) {
  if (act === "read") return readLent(n);
  for (const number of n) cancelLent(number);
  return null;
}

async function readLent(number) {
  const entry = lent.get(number);
  if (entry === undefined) throw new TypeError("this stream has ended, or was cancelled");
  try {
    entry.rest ??= await nextChunk(entry.reader);
  } catch (error) {
    lent.delete(number);
    entry.reader.cancel(error).catch(() => {});
    throw error;
  }
  if (entry.rest === undefined) {
    lent.delete(number);
    return null;
  }
  const chunk = entry.rest.subarray(0, CHUNK_BYTES);
  entry.rest = entry.rest.length > CHUNK_BYTES ? entry.rest.subarray(CHUNK_BYTES) : undefined;
  return ["bytes", chunk.toBase64()];
}

async function nextChunk(reader) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return undefined;
    const bytes = checkedChunk(value);
    if (bytes.length > 0) return bytes;
  }
}

function cancelLent(number) {
  const entry = lent.get(number);
  if (entry === undefined) return;
  lent.delete(number);
  waitUntil(entry.reader.cancel());
}
