from __future__ import annotations


async def session(visit, app):
    assert (await visit.get("/api/links")).json() == {"links": []}

    made = await visit.post("/api/links", json={"url": "https://Example.org/a path?q=ü#top"})
    assert made.status_code == 201
    code = made.json()["code"]
    assert len(code) == 6
    assert made.json()["short"].endswith("/" + code)
    assert made.json()["expires"] is None

    click = await visit.get("/" + code)
    assert click.status_code == 302
    assert click.headers["location"] == "https://example.org/a%20path?q=%C3%BC#top"
    await visit.get("/" + code)

    named = await visit.post("/api/links", json={"url": "http://example.com", "alias": "my-page", "ttl": 3600})
    assert named.json()["code"] == "my-page"
    assert named.json()["expires"].endswith("Z")
    again = await visit.post("/api/links", json={"url": "http://example.net", "alias": "my-page"})
    assert again.status_code == 409

    for wrong in ({"url": "no url"}, {"url": "javascript:alert(1)"}, {}, {"url": "http://a.b", "alias": "A b"}):
        assert (await visit.post("/api/links", json=wrong)).status_code == 422
    assert (await visit.post("/api/links", content="url=x")).status_code == 400
    assert (await visit.put("/api/links")).headers["allow"] == "GET, POST"
    assert (await visit.get("/nowhere")).json() == {"error": "No such link"}

    await app.restart()

    clicks = {link["code"]: link["clicks"] for link in (await visit.get("/api/links")).json()["links"]}
    assert clicks == {code: 2, "my-page": 0}
    assert len((await visit.get("/api/links", params={"limit": 1})).json()["links"]) == 1
    assert (await visit.get("/my-page")).headers["location"] == "http://example.com/"
    await app.advance("61m")
    assert (await visit.get("/my-page")).status_code == 410
    assert (await visit.get("/" + code)).status_code == 302

    assert (await visit.delete("/api/links/" + code)).status_code == 204
    assert (await visit.get("/" + code)).status_code == 404
    assert (await visit.delete("/api/links/" + code)).status_code == 404
