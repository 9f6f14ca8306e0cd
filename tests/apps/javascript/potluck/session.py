from __future__ import annotations


async def session(visit, app):
    first = await visit.get("/")
    assert first.status_code == 200
    assert first.headers["content-type"].lower() == "text/html; charset=utf-8"
    assert "Nothing to eat yet." in first.text

    added = await visit.post("/dishes", data={"guest": "Zoë", "dish": "Soup <hot> & spicy", "kind": "starter"})
    assert added.status_code == 303
    page = await visit.get(added.headers["location"])
    assert "Soup &lt;hot&gt; &amp; spicy <small>by Zoë</small>" in page.text
    assert "Nothing to eat yet." not in page.text

    await visit.post("/dishes", data={"guest": "Max", "dish": "Bread", "kind": "starter"})
    cake = await visit.post("/dishes", data={"guest": "Max", "dish": "Cake", "kind": "dessert"}, follow_redirects=True)
    assert "starter (2)" in cake.text
    assert "dessert (1)" in cake.text

    wrong = await visit.post("/dishes", data={"guest": " ", "dish": "x" * 81, "kind": "brunch"})
    assert wrong.status_code == 400
    assert wrong.text.count('class="error"') == 3
    assert (await visit.get("/dishes")).status_code == 405
    assert (await visit.get("/menu")).status_code == 404

    await app.restart()

    assert "starter (2)" in (await visit.get("/")).text
    removed = await visit.post("/dishes/1/delete")
    assert removed.status_code == 303
    assert "Soup" not in (await visit.get("/")).text
    assert (await visit.post("/dishes/1/delete")).status_code == 404
    assert (await visit.post("/dishes/99/delete")).status_code == 404
