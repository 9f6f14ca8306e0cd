import csv
import gzip
import io
import json


async def session(visit, app):
    lines = [json.dumps({"sensor": f"Fühler {n % 3}", "value": n / 2}, ensure_ascii=False) for n in range(175)]

    async def upload():
        text = "\n".join(lines).encode()
        for at in range(0, len(text), 777):  # cuts characters and lines
            yield text[at : at + 777]

    sent = await visit.post("/readings", content=upload())
    assert sent.status_code == 201 and sent.json() == {"accepted": 175, "errors": []}
    mixed = b'{"sensor": "x"}\n\nnonsense\n{"sensor": "say \\"hi\\"", "value": 1}\n'
    partly = await visit.post("/readings", content=mixed)
    assert partly.status_code == 207
    assert partly.json() == {
        "accepted": 1, "errors": [{"line": 1, "error": "TypeError"}, {"line": 3, "error": "SyntaxError"}],
    }
    await app.restart()

    async with visit.stream("GET", "/export.ndjson") as response:
        assert response.status_code == 200 and response.headers["content-type"] == "application/x-ndjson"
        rows = [json.loads(line) async for line in response.aiter_lines()]
    assert [row["id"] for row in rows] == list(range(1, 177))
    assert rows[4] == {"id": 5, "sensor": "Fühler 1", "value": 2}
    some = await visit.get("/export.ndjson", params={"sensor": "Fühler 2"})
    assert len(some.text.splitlines()) == 58
    assert (await visit.get("/export.ndjson?sensor=none")).text == ""

    packed = await visit.get("/export.ndjson.gz")
    assert packed.content[:2] == b"\x1f\x8b" and "export.ndjson.gz" in packed.headers["content-disposition"]
    assert [json.loads(line) for line in gzip.decompress(packed.content).decode().splitlines()] == rows

    table = list(csv.DictReader(io.StringIO((await visit.get("/export.csv")).text)))
    assert len(table) == 176 and table[-1] == {"id": "176", "sensor": 'say "hi"', "value": "1"}
    summary = (await visit.get("/summary")).json()
    assert summary["Fühler 0"] == {"n": 59, "mean": 43.5}
    assert (await visit.get("/export.xml")).status_code == 404
