// Draws small PNG images without any library: /gradient.png?w=64&h=48&from=ff0000&to=0000ff
const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

function chunk(type, data) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function png(width, height, pixel) {
  const rows = new Uint8Array((width * 3 + 1) * height);
  for (let y = 0, at = 0; y < height; y++) {
    rows[at++] = 0;
    for (let x = 0; x < width; x++, at += 3) rows.set(pixel(x, y), at);
  }
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint8(8, 8);
  header.setUint8(9, 2);
  return new Blob(
    [
      SIGNATURE,
      chunk("IHDR", new Uint8Array(header.buffer)),
      chunk("IDAT", await deflate(rows)),
      chunk("IEND", new Uint8Array()),
    ],
    { type: "image/png" },
  );
}

class Color {
  static #pattern = /^#?(?<r>[\da-f]{2})(?<g>[\da-f]{2})(?<b>[\da-f]{2})$/i;

  static parse(text) {
    const groups = Color.#pattern.exec(text)?.groups;
    if (!groups) throw new RangeError(`${text} is not a color`);
    return [groups.r, groups.g, groups.b].map((hex) => parseInt(hex, 16));
  }

  static mix(a, b, t) {
    return a.map((value, i) => Math.round(value + (b[i] - value) * t));
  }
}

const painters = {
  gradient: ({ w, from, to }) => (x) => Color.mix(from, to, w > 1 ? x / (w - 1) : 0),
  checker: ({ from, to }) => (x, y) => ((x >> 2) + (y >> 2)) % 2 ? to : from,
};

export default {
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const name = /^\/(?<name>\w+)\.png$/.exec(pathname)?.groups.name;
    if (!Object.hasOwn(painters, name ?? "")) return new Response("Try /gradient.png or /checker.png", { status: 404 });
    try {
      const [w, h] = ["w", "h"].map((key) => {
        const n = Number(searchParams.get(key) ?? 32);
        if (!Number.isInteger(n) || n < 1 || n > 128) throw new RangeError(`${key} must be from 1 to 128`);
        return n;
      });
      const from = Color.parse(searchParams.get("from") ?? "ffffff");
      const to = Color.parse(searchParams.get("to") ?? "#000000");
      const image = await png(w, h, painters[name]({ w, h, from, to }));
      return new Response(image, {
        headers: { "content-length": String(image.size), "cache-control": "public, max-age=3600" },
      });
    } catch (error) {
      if (error instanceof RangeError) return new Response(error.message, { status: 400 });
      throw error;
    }
  },
};
