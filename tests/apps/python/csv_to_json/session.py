KIND = "entrypoint"

CSV = 'name;age;score;joined;active\r\n"Müller; Ann";34;1.5;24.12.2025;true\r\nBen;;-2.25;1.2.2026;FALSE\r\n'


async def session(visit, app):
    assert "hello from the house" in (await visit.get("/")).text

    answer = await visit.post("/convert", content=CSV, headers={"content-type": "text/csv"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [
        {"name": "Müller; Ann", "age": 34, "score": 1.5, "joined": "2025-12-24", "active": True},
        {"name": "Ben", "age": None, "score": -2.25, "joined": "2026-02-01", "active": False},
    ]
    assert "Müller" in answer.text
    plain = await visit.post("/convert?types=no", content=CSV)
    assert plain.json()[1]["age"] == "" and plain.json()[0]["score"] == "1.5"

    upload = {"file": ("people.csv", b"\xef\xbb\xbfa,b\n1,2\n", "text/csv")}
    filed = await visit.post("/convert", files=upload, data={"types": "1"})
    assert filed.json() == [{"a": 1, "b": 2}]
    assert filed.headers["content-disposition"] == 'attachment; filename="people.json"'
    untyped = await visit.post("/convert", files=upload)
    assert untyped.json() == [{"a": "1", "b": "2"}]

    ragged = await visit.post("/convert", content="a,b\n1,2\n3,4,5\n")
    assert (ragged.status_code, ragged.text) == (422, "line 3: expected 2 fields\n")
    assert (await visit.post("/convert", content="")).text == "there is no header\n"
    assert (await visit.post("/convert", content=b"a,b\n\xff,\xfe\n")).status_code == 415
    assert (await visit.get("/convert")).status_code == 405
