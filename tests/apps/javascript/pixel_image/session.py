KIND = "entrypoint"

import struct
import zlib


def decoded(content):
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        data = content[at + 4 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size) == (zlib.crc32(data),)
        chunks[data[:4]] = data[4:]
        at += 12 + size
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = zlib.decompress(chunks[b"IDAT"])
    step = width * 3 + 1
    return [rows[y * step + 1 : (y + 1) * step] for y in range(height)]


async def session(visit, app):
    image = await visit.get("/gradient.png", params={"w": 3, "h": 2, "from": "ff0000", "to": "0000FF"})
    assert image.status_code == 200 and image.headers["content-type"] == "image/png"
    assert image.headers["content-length"] == str(len(image.content))
    assert image.headers["cache-control"] == "public, max-age=3600"
    rows = decoded(image.content)
    assert len(rows) == 2 and rows[0] == rows[1]
    assert rows[0] == bytes([255, 0, 0, 128, 0, 128, 0, 0, 255])

    checker = decoded((await visit.get("/checker.png?w=128&h=64")).content)
    assert len(checker) == 64 and all(len(row) == 3 * 128 for row in checker)
    assert checker[0][:15] == b"\xff" * 12 + b"\0" * 3 and checker[4][:3] == b"\0" * 3

    too_large = await visit.get("/gradient.png?w=129")
    assert too_large.status_code == 400 and too_large.text == "w must be from 1 to 128"
    assert (await visit.get("/gradient.png?h=1.5")).status_code == 400
    assert (await visit.get("/gradient.png?from=red")).text == "red is not a color"
    assert (await visit.get("/toString.png")).status_code == 404
    assert "Try /gradient.png" in (await visit.get("/")).text
