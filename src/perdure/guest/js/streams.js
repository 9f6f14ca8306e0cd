// The streams of the Streams standard. The classes are those of web-streams-polyfill; this is what bodies need of them.
import {
  ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream, ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest, ReadableStreamDefaultController, ReadableStreamDefaultReader, TransformStream,
  TransformStreamDefaultController, WritableStream, WritableStreamDefaultController, WritableStreamDefaultWriter,
} from "web-streams-polyfill";

const CHUNK_BYTES = 65_536;
const encoder = new TextEncoder();
const contents = new WeakMap(); // of streams that were made from content, so that it need not be put together again

export const streamClasses = {
  ByteLengthQueuingStrategy, CountQueuingStrategy, ReadableByteStreamController, ReadableStream, ReadableStreamBYOBReader,
  ReadableStreamBYOBRequest, ReadableStreamDefaultController, ReadableStreamDefaultReader, TransformStream,
  TransformStreamDefaultController, WritableStream, WritableStreamDefaultController, WritableStreamDefaultWriter,
};

/** Somebody has read from it, or has cancelled it. */
export const isDisturbed = (stream) => stream._disturbed;

/** The bytes of a buffer or of a view of one, not copied; undefined for anything else. */
export function bytesOf(value) {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  return ArrayBuffer.isView(value) ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : undefined;
}

/** A stream of bytes with this content, which is text or bytes that nobody changes. */
export function streamOf(content) {
  let bytes;
  let place = 0;
  const stream = new ReadableStream({
    type: "bytes",
    pull(controller) {
      bytes ??= typeof content === "string" ? encoder.encode(content) : content;
      if (place < bytes.length) controller.enqueue(bytes.slice(place, (place += CHUNK_BYTES)));
      if (place < bytes.length) return;
      controller.close();
      controller.byobRequest?.respond(0);
    },
  });
  contents.set(stream, content);
  return stream;
}

/** The content of a stream that nobody has begun to read, if it was made from some: the stream is used up then. */
export function takeContent(stream) {
  if (isDisturbed(stream) || stream.locked) return undefined;
  const content = contents.get(stream);
  if (content !== undefined) useUp(stream);
  return content;
}

/** Makes `stream` one that has been read. */
export const useUp = (stream) => void stream.getReader().cancel();

/** Reads `stream` to its end: the bytes. Throws when they are more than `bytesMax`, or no bytes. */
export async function collect(stream, bytesMax = Infinity) {
  const reader = stream.getReader();
  const chunks = [];
  let size = 0;
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      const chunk = checkedChunk(step.value);
      size += chunk.length;
      if (size > bytesMax) throw tooLarge(bytesMax);
      chunks.push(chunk);
    }
  } catch (error) {
    reader.cancel(error).catch(() => {});
    throw error;
  }
  return joined(chunks, size);
}

function tooLarge(bytesMax) {
  const advice = "read it bit by bit, `for await (const chunk of message.body)`";
  const error = new RangeError(`the body has more than ${bytesMax} bytes, the most that is read at once: ${advice}`);
  return Object.defineProperty(error, "name", { value: "BodyTooLargeError", configurable: true, writable: true });
}

/** The bytes of a chunk, which must be some. */
export function checkedChunk(value) {
  const bytes = bytesOf(value);
  if (bytes !== undefined) return bytes;
  const kind = value === null ? "null" : typeof value;
  const advice = kind === "string" ? ": pipe it through a TextEncoderStream, or enqueue new TextEncoder().encode(text)" : "";
  throw new TypeError(`the stream of a body gives bytes, this one gave \`${kind}\`${advice}`);
}

/** Chunks of bytes as one. */
export function joined(chunks, size = chunks.reduce((total, chunk) => total + chunk.length, 0)) {
  if (chunks.length === 1) return chunks[0];
  const bytes = new Uint8Array(size);
  let place = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, place);
    place += chunk.length;
  }
  return bytes;
}
