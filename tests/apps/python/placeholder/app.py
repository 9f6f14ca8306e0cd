"""Placeholder images: /320x200.png?color=ff8800 or /320x200.svg?text=Hello."""

import hashlib
import re
import struct
import zlib
from functools import lru_cache
from html import escape

from workers import Response, WorkerEntrypoint

PATH = re.compile(r"/(?P<width>\d{1,4})x(?P<height>\d{1,4})\.(?P<kind>png|svg)")
USAGE = "Ask for /WIDTHxHEIGHT.png or .svg, with ?color=rrggbb and ?text=…\n"


def parse_color(text: str) -> tuple[int, int, int]:
    text = text.removeprefix("#")
    if len(text) == 3:
        text = "".join(digit * 2 for digit in text)
    if not re.fullmatch(r"[0-9a-fA-F]{6}", text):
        raise ValueError(f"{text!r} is no color")
    red, green, blue = bytes.fromhex(text)
    return red, green, blue


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@lru_cache(maxsize=64)
def png(width: int, height: int, color: tuple[int, int, int]) -> bytes:
    row = b"\x00" + bytes(color) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join((
        b"\x89PNG\r\n\x1a\n",
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(row * height, level=9)),
        chunk(b"IEND", b""),
    ))


def svg(width: int, height: int, color: tuple[int, int, int], text: str) -> bytes:
    fill = "#{:02x}{:02x}{:02x}".format(*color)
    ink = "#000" if sum(color) > 382 else "#fff"
    size = max(8, min(width, height) // 5)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">
  <rect width="100%" height="100%" fill="{fill}"/>
  <text x="50%" y="50%" fill="{ink}" font-size="{size}" text-anchor="middle">{escape(text)}</text>
</svg>""".encode()


class Default(WorkerEntrypoint):
    async def fetch(self, request):
        if request.path == "/":
            return Response(USAGE)
        if request.method not in ("GET", "HEAD"):
            return Response(USAGE, status=405, headers={"allow": "GET, HEAD"})
        found = PATH.fullmatch(request.path)
        if found is None:
            return Response(USAGE, status=404)
        width, height = int(found["width"]), int(found["height"])
        if not (1 <= width <= 2000 and 1 <= height <= 2000):
            return Response("between 1x1 and 2000x2000, please\n", status=400)
        try:
            color = parse_color(request.query.get("color", "ccc"))
        except ValueError as error:
            return Response(f"{error}\n", status=400)
        if found["kind"] == "png":
            body, content_type = png(width, height, color), "image/png"
        else:
            text = request.query.get("text") or f"{width} × {height}"
            body, content_type = svg(width, height, color, text), "image/svg+xml; charset=utf-8"
        etag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
        headers = {"etag": etag, "cache-control": "public, max-age=86400"}
        if request.headers.get("if-none-match") == etag:
            return Response(None, status=304, headers=headers)
        return Response(body, headers={**headers, "content-type": content_type, "content-length": str(len(body))})
