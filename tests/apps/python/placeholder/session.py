KIND = "entrypoint"

import struct
import zlib


async def session(visit, app):
    assert "WIDTHxHEIGHT" in (await visit.get("/")).text

    image = await visit.get("/3x2.png", params={"color": "f80"})
    assert image.status_code == 200
    assert image.headers["content-type"] == "image/png"
    assert int(image.headers["content-length"]) == len(image.content)
    assert image.content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", image.content[16:24]) == (3, 2)
    start = image.content.index(b"IDAT") + 4
    assert zlib.decompress(image.content[start:-16]) == (b"\x00" + b"\xff\x88\x00" * 3) * 2

    again = await visit.get("/3x2.png?color=%23ff8800", headers={"if-none-match": image.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

    drawing = await visit.get("/640x480.svg", params={"text": "Cats & <dogs>", "color": "000000"})
    assert drawing.headers["content-type"] == "image/svg+xml; charset=utf-8"
    assert "Cats &amp; &lt;dogs&gt;" in drawing.text and 'fill="#fff"' in drawing.text
    assert "640 × 480" in (await visit.get("/640x480.svg")).text

    large = await visit.get("/2000x1500.png")
    assert large.status_code == 200 and large.content.endswith(b"IEND\xaeB`\x82")

    assert (await visit.get("/3x2.png?color=reddish")).text == "'reddish' is no color\n"
    assert (await visit.get("/0x9000.png")).status_code == 400
    assert (await visit.get("/3x2.gif")).status_code == 404
    assert (await visit.post("/3x2.png")).headers["allow"] == "GET, HEAD"
