async def session(visit, app):
    assert "Nothing yet" in (await visit.get("/")).text
    added = await visit.post(
        "/bookmarks", data={"url": "https://example.com/a?b=1&c=2", "title": "<b>A & B</b>", "tags": "Red, c&a ,red"}
    )
    assert added.status_code == 303 and added.headers["location"].endswith("/")
    await visit.post("/bookmarks", data={"url": "https://example.org", "title": "", "tags": "red"})
    page = (await visit.get("/")).text
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in page and "<b>A" not in page
    assert ">example.org</a>" in page  # the host's name stands in for a title
    assert (await visit.get("/api/tags")).json() == {"red": 2, "c&a": 1}

    tagged = (await visit.get("/", params={"tag": "c&a"})).text
    assert "Tagged #c&amp;a" in tagged and "example.org" not in tagged and "example.com" in tagged

    again = await visit.post("/bookmarks", data={"url": "https://example.org/"})
    assert again.status_code == 409
    assert (await visit.post("/bookmarks", data={"url": "not a url"})).status_code == 400
    assert (await visit.post("/bookmarks", data={"url": "javascript:alert(1)"})).status_code == 400

    await app.restart()
    assert (await visit.get("/")).text.count("<li data-id") == 2
    assert (await visit.post("/bookmarks/1/delete")).status_code == 303
    assert (await visit.post("/bookmarks/1/delete")).status_code == 404
    assert (await visit.get("/api/tags")).json() == {"red": 1}
