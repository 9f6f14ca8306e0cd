import gzip
import json


async def session(visit, app):
    assert (await visit.get("/export.ndjson")).text == ""

    async def upload():
        for number in range(1800):
            record = {"sensor": f"s{number % 3}", "at": "2026-05-01T12:00:00+02:00", "value": number / 2}
            line = json.dumps(record).encode() + b"\n"
            yield line[:20]
            yield line[20:]
        yield b'\n{"sensor": "s0", "at": "noon", "value": 1}\nno json\n{"sensor": "s9", "at": "2026-01-01T00:00Z"}\n'
        yield '{"sensor": "ü", "at": "2026-01-01T00:00Z", "value": "7"}'.encode()

    answer = await visit.post("/import", content=upload())
    assert answer.json() == {"imported": 1801, "bad_lines": [1802, 1803, 1804]}

    await app.restart()
    async with visit.stream("GET", "/export.ndjson") as export:
        assert export.headers["content-type"] == "application/x-ndjson"
        records = [json.loads(line) async for line in export.aiter_lines()]
    assert len(records) == 1801
    assert records[1] == {"sensor": "s1", "at": "2026-05-01T10:00:00Z", "value": 0.5}
    assert records[-1] == {"sensor": "ü", "at": "2026-01-01T00:00:00Z", "value": 7.0}

    packed = await visit.get("/export.ndjson.gz?sensor=s2")
    assert packed.headers["content-disposition"] == "attachment; filename=export-s2.ndjson.gz"
    lines = gzip.decompress(packed.content).decode().splitlines()
    assert len(lines) == 600 and all('"s2"' in line for line in lines)

    summary = (await visit.get("/summary")).json()
    assert summary["s0"] == {"n": 600, "low": 0.0, "high": 898.5, "total": 269550.0}
    assert list(summary) == ["s0", "s1", "s2", "ü"]

    assert (await visit.delete("/")).status_code == 204
    assert (await visit.get("/summary")).json() == {}
    assert (await visit.post("/import", content=b"")).json() == {"imported": 0, "bad_lines": []}
