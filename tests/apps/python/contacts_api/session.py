from __future__ import annotations


async def session(visit, app):
    empty = await visit.get("/contacts")
    assert empty.status_code == 200
    assert empty.json() == {"count": 0, "contacts": []}

    created = await visit.post("/contacts", json={"name": "Ada", "email": "ada@example.org"})
    assert created.status_code == 201
    location = created.headers["location"]
    assert created.json()["favourite"] is False
    assert (await visit.get(location)).json() == created.json()

    broken = await visit.post("/contacts", content="{not json", headers={"content-type": "application/json"})
    assert broken.status_code == 400
    assert (await visit.post("/contacts", json=["Ada"])).status_code == 400
    missing = await visit.post("/contacts", json={"name": "Bob"})
    assert missing.status_code == 422
    assert missing.json()["error"] == "missing: email"
    assert (await visit.post("/contacts", json={"name": "Bob", "email": "bob"})).status_code == 422
    taken = await visit.post("/contacts", json={"name": "Other Ada", "email": "ada@example.org"})
    assert taken.status_code == 409

    await visit.post("/contacts", json={"name": "Bob", "email": "bob@example.org"})
    patched = await visit.patch(location, json={"favourite": True, "email": "lovelace@example.org"})
    assert patched.json()["favourite"] is True

    wrong = await visit.put("/contacts", json={})
    assert wrong.status_code == 405
    assert wrong.headers["allow"] == "GET, POST"

    await app.restart()

    kept = (await visit.get("/contacts")).json()
    assert [(c["name"], c["email"]) for c in kept["contacts"]] == [
        ("Ada", "lovelace@example.org"),
        ("Bob", "bob@example.org"),
    ]
    assert (await visit.get("/contacts", params={"name": "Bo"})).json()["count"] == 1

    deleted = await visit.delete(location)
    assert deleted.status_code == 204
    assert deleted.content == b""
    assert (await visit.get(location)).status_code == 404
