TERMS = {
    "Facet": "A child object with a database of its own.",
    "Café": "A place for coffee & <cake>.",
    "Journal": "Where every write goes first, before the database of an object sees it; it makes writes durable.",
    "Database": "Tables, and what looks after them.",
}


async def session(visit, app):
    for term, meaning in TERMS.items():
        added = await visit.post("/terms", data={"term": term, "meaning": meaning})
        assert added.status_code == 303
    assert added.headers["location"].endswith("/?q=Database")
    everything = (await visit.get("/search.json")).json()
    assert [row["term"] for row in everything] == ["Café", "Database", "Facet", "Journal"]

    await app.restart()
    found = (await visit.get("/search.json", params={"q": "databas"})).json()
    assert found[0]["term"] == "\x01Database\x02"  # a term counts more than a meaning
    assert {row["term"] for row in found[1:]} == {"Facet", "Journal"}
    journal = next(row["meaning"] for row in found if row["term"] == "Journal")
    assert "\x01database\x02" in journal and "…" in journal

    page = (await visit.get("/", params={"q": "CAFE"})).text
    assert "<dt><mark>Café</mark></dt>" in page and "<p>1 term</p>" in page
    assert "coffee &#38; &#60;cake&#62;." in page
    assert "<p>0 terms</p>" in (await visit.get("/", params={"q": 'quo"te AND'})).text
    either = (await visit.get("/search.json", params={"q": "cake OR tables", "raw": "1"})).json()
    assert len(either) == 2
    wrong = await visit.get("/search.json", params={"q": 'cake AND "', "raw": "1"})
    assert wrong.status_code == 400 and wrong.json()["error"]

    await visit.post("/terms", data={"term": "FACET", "meaning": "A side of a gem."})
    assert [row["term"] for row in (await visit.get("/search.json?q=gem")).json()] == ["Facet"]
    assert (await visit.get("/search.json?q=child")).json() == []
    assert (await visit.delete("/terms/Café")).status_code == 204
    assert (await visit.delete("/terms/Café")).status_code == 404
    assert (await visit.get("/search.json?q=coffee")).json() == []
    assert (await visit.post("/terms", data={"term": "x"})).status_code == 400
