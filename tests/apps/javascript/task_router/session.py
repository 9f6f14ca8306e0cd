import base64


async def session(visit, app):
    def key(user):
        return {"authorization": "Key " + base64.b64encode(user.encode()).decode()}

    health = await visit.get("/health", headers={"x-request-id": "abc"})
    assert health.json() == {"ok": True, "requests": 1, "greeting": "hello from the house", "id": "abc"}
    assert health.headers["x-request-id"] == "abc"
    denied = await visit.get("/tasks")
    assert denied.status_code == 401 and denied.json()["error"] == "an API key is needed"
    assert denied.headers["access-control-allow-origin"] == "https://app.example"

    for title in ("wash up", "read"):
        made = await visit.post("/tasks", json={"title": title}, headers=key("ann"))
        assert made.status_code == 201
    assert made.headers["location"] == "/tasks/2" and made.headers["x-request-id"].startswith("r")
    await visit.post("/tasks", json={"title": "secret"}, headers=key("ben"))
    assert (await visit.put("/tasks/1/done", headers=key("ann"))).json() == {"id": 1, "title": "wash up", "done": True}

    await app.restart()
    assert (await visit.get("/health")).json()["requests"] == 1  # a new instance
    mine = (await visit.get("/tasks/", headers=key("ann"))).json()
    assert [task["id"] for task in mine["done"]] == [1] and [task["id"] for task in mine["open"]] == [2]
    assert (await visit.get("/tasks/3", headers=key("ann"))).status_code == 404
    await visit.post("/tasks", json={"title": "third"}, headers=key("ann"))
    newest = (await visit.get("/tasks?newest", headers=key("ann"))).json()
    assert [task["id"] for task in newest["open"]] == [4, 2]

    assert (await visit.post("/tasks", content=b"{", headers=key("ann"))).json()["error"] == "that is no JSON"
    assert (await visit.post("/tasks", json={}, headers=key("ann"))).status_code == 422
    assert (await visit.put("/tasks/1", headers=key("ann"))).status_code == 405
    bug = await visit.post("/tasks/1/explode", headers=key("ann"))
    assert bug.status_code == 500 and bug.json()["error"] == "internal error" and bug.json()["id"]
    preflight = await visit.options("/tasks")
    assert preflight.status_code == 204 and "DELETE" in preflight.headers["access-control-allow-methods"]
    assert (await visit.delete("/tasks/1", headers=key("ann"))).status_code == 204
    assert (await visit.get("/tasks/1", headers=key("ann"))).status_code == 404
