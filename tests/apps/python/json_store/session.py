async def session(visit, app):
    apple = {"name": "Äpfel", "color": "red", "size": {"cm": 8, "g": 150}, "tags": ["fruit"]}
    made = await visit.put("/docs/fruit%2Fapple", json=apple)
    assert (made.status_code, made.json()) == (201, apple)
    assert (await visit.put("/docs/fruit%2Fapple", json=apple)).status_code == 200
    await visit.put("/docs/cherry", json={"name": "Cherry", "color": "red", "size": {"cm": 2}})
    await visit.put("/docs/number", json=42)

    headers = {"content-type": "application/merge-patch+json"}
    patch = {"headers": headers, "json": {"size": {"g": None}, "color": "green"}}
    patched = await visit.patch("/docs/fruit%2Fapple", **patch)
    assert patched.json() == {"name": "Äpfel", "color": "green", "size": {"cm": 8}, "tags": ["fruit"]}
    assert patched.headers["etag"] != made.headers["etag"]
    assert (await visit.patch("/docs/fruit%2Fapple", json={})).status_code == 415
    assert (await visit.patch("/docs/nothing", **patch)).status_code == 404

    await app.restart()
    tag = patched.headers["etag"]
    assert (await visit.get("/docs/fruit%2Fapple", headers={"if-none-match": tag})).status_code == 304
    stale = await visit.put("/docs/fruit%2Fapple", json={}, headers={"if-match": made.headers["etag"]})
    assert stale.status_code == 412 and stale.headers["content-type"] == "application/problem+json"
    assert (await visit.get("/docs/number")).json() == 42

    assert (await visit.get("/docs")).json() == ["cherry", "fruit/apple", "number"]
    found = await visit.get("/docs", params=[("$.color", "red"), ("$.color", "green"), ("$.size.cm", "8")])
    assert found.json() == ["fruit/apple"]
    assert (await visit.get("/docs?color=red")).json()["title"] == "Bad path color"

    broken = await visit.put("/docs/x", content=b'{"a": ', headers={"content-type": "application/json"})
    assert broken.status_code == 400 and broken.json()["title"].startswith("Bad JSON")
    assert (await visit.delete("/docs/number")).status_code == 204
    assert (await visit.delete("/docs/number")).status_code == 404
    assert (await visit.request("LOCK", "/docs/number")).status_code == 405
