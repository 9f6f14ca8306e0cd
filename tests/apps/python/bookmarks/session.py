async def session(visit, app):
    assert "Nothing here yet" in (await visit.get("/")).text

    first = {"url": "https://sqlite.org/fts5.html", "title": "FTS5 & more", "tags": "SQL, docs"}
    answer = await visit.post("/bookmarks", data=first)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    await visit.post("/bookmarks", data={"url": "https://docs.python.org/3/", "tags": "python docs"})

    page = (await visit.get("/", params={"tag": "sql"})).text
    assert "FTS5 &amp; more" in page and "docs.python.org" not in page

    bad = await visit.post("/bookmarks", data={"url": "javascript:alert(1)"})
    assert bad.status_code == 400 and "http(s)" in bad.json()["error"]

    await app.restart()
    bookmarks = (await visit.get("/bookmarks.json")).json()
    assert [bookmark["host"] for bookmark in bookmarks] == ["docs.python.org", "sqlite.org"]
    assert bookmarks[0]["title"] == "https://docs.python.org/3/"
    assert (await visit.get("/tags")).json() == {"docs": 2, "python": 1, "sql": 1}

    # The same address again changes the bookmark.
    await visit.post("/bookmarks", data={"url": "https://docs.python.org/3/", "title": "Python", "tags": "Python"})
    bookmarks = (await visit.get("/bookmarks.json?tag=python")).json()
    assert [(bookmark["title"], bookmark["tags"]) for bookmark in bookmarks] == [("Python", ["python"])]

    # Its tags go with a bookmark.
    path = f"/bookmarks/{bookmarks[0]['id']}"
    assert (await visit.delete(path)).status_code == 204
    assert (await visit.delete(path)).status_code == 404
    assert (await visit.get("/tags")).json() == {"docs": 1, "sql": 1}
