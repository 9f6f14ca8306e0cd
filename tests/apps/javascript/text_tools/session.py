KIND = "entrypoint"

import gzip  # noqa: E402


async def session(visit, app):
    about = await visit.get("/")
    assert about.text.splitlines() == ["hello from the house", "POST text to: upper, rot13, numbered, gzip"]

    shouted = await visit.post("/upper", content="Grüße, naïve 🌍".encode())
    assert shouted.status_code == 200
    assert shouted.text == "GRÜSSE, NAÏVE 🌍"
    assert shouted.headers["content-type"] == "text/plain; charset=utf-8"
    assert (await visit.post("/rot13", content="Why did the chicken…")).text == "Jul qvq gur puvpxra…"
    assert (await visit.post("/rot13+rot13", content="There and back")).text == "There and back"
    assert (await visit.post("/numbered", content="one\ntwo\n\nfour")).text == "  1  one\n  2  two\n  3  \n  4  four\n"

    text = "many lines\n" * 20_000
    packed = await visit.post("/upper+gzip", content=text)
    assert packed.headers["content-type"] == "application/gzip"
    assert len(packed.content) < 10_000
    assert gzip.decompress(packed.content).decode() == text.upper()

    async def pieces():
        for _ in range(50):
            yield "ä\n".encode() * 100

    counted = await visit.post("/count", content=pieces())
    assert counted.json() == {"bytes": 15_000, "lines": 5_000}

    assert (await visit.get("/countdown", params={"from": 2})).text == "2...\n1...\nlift-off\n"
    assert (await visit.get("/countdown", params={"from": 2.5})).status_code == 400
    assert (await visit.get("/upper")).status_code == 405
    unknown = await visit.post("/upper+lower", content="x")
    assert unknown.status_code == 404
    assert unknown.json() == {"error": "unknown tool: lower"}
