async def session(visit, app):
    assert (await visit.get("/stats")).json() == {"pastes": 0, "views": None}

    short = await visit.post("/", data={"content": "if a < b:\n    print('ü')\n", "title": "Code", "expires": "10m"})
    assert short.status_code == 201 and short.headers["location"] == "/" + short.json()["id"]
    long = await visit.post("/", data={"content": "stays for a while", "expires": "7d"})

    page = await visit.get(short.headers["location"])
    assert "<h1>Code</h1>" in page.text and "   1  if a &lt; b:" in page.text and "1 views" in page.text
    raw = await visit.get("/raw" + short.headers["location"])
    assert raw.text == "if a < b:\n    print('ü')\n"
    assert raw.headers["content-type"].lower().startswith("text/plain")

    assert (await visit.post("/", data={"content": "x", "expires": "soon"})).status_code == 400
    assert (await visit.post("/", data={"title": "empty"})).status_code == 400
    assert (await visit.post("/", data={"content": "x" * 100_001})).status_code == 413
    assert (await visit.get("/stats")).json() == {"pastes": 2, "views": 2}

    await app.advance("9m")
    assert (await visit.get(short.headers["location"])).status_code == 200
    await app.restart()
    await app.advance("2m")
    gone = await visit.get(short.headers["location"])
    assert gone.status_code == 404 and "expired" in gone.text
    assert (await visit.get(long.headers["location"])).status_code == 200

    await app.advance("8d")
    assert (await visit.get("/stats")).json() == {"pastes": 0, "views": None}
