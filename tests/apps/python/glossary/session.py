TERMS = {
    "café": "A place where coffee is served",
    "Coroutine": "A function whose execution can be suspended and resumed, as with await",
    "Cursor": "What walks over the rows of a query",
    "Transaction": "A group of writes that happen together or not at all & never by half",
    "C/C++": "Two languages that are not one",
}


async def session(visit, app):
    for term, definition in TERMS.items():
        path = "/terms/" + term.replace("/", "%2F")
        assert (await visit.put(path, content=definition)).status_code == 204

    assert (await visit.get("/terms/cursor")).json() == {"term": "Cursor", "definition": TERMS["Cursor"]}
    assert (await visit.get("/terms/C%2FC++")).json()["term"] == "C/C++"
    unknown = await visit.get("/terms/Corutine")
    assert (unknown.status_code, unknown.json()["did_you_mean"]) == (404, ["Coroutine"])

    await app.restart()
    assert (await visit.get("/complete", params={"q": "c"})).json() == ["C/C++", "Coroutine", "Cursor", "café"]
    assert (await visit.get("/complete", params={"q": "CAFE"})).json() == ["café"]
    assert (await visit.get("/complete", params={"q": "rows"})).json() == []

    found = (await visit.get("/search", params={"q": "rows of a que"})).json()
    assert [row["term"] for row in found] == ["Cursor"]
    assert "[query]" in found[0]["snippet"]
    assert (await visit.get("/search", params={"q": "cursor"})).json()[0]["marked"] == "<b>Cursor</b>"
    assert (await visit.get("/search", params={"q": '"^ XOR *'})).json() == []

    # A new definition replaces the old one in the index, too.
    await visit.put("/terms/Cursor", content="A mark on the screen")
    assert (await visit.get("/search", params={"q": "walks"})).json() == []
    assert (await visit.get("/search", params={"q": "screen"})).json()[0]["term"] == "Cursor"
    assert (await visit.delete("/terms/Transaction")).status_code == 204
    assert (await visit.get("/search", params={"q": "writes"})).json() == []
    assert "<h2>T</h2>" not in (await visit.get("/")).text
