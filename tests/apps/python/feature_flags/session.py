async def session(visit, app):
    assert (await visit.get("/flags")).json() == {}

    made = await visit.put("/flags/dark-mode", json={"enabled": True, "percent": 0, "users": ["ann"]})
    assert made.json() == {"name": "dark-mode", "enabled": True, "percent": 0, "users": ["ann"]}
    await visit.put("/flags/checkout", json={"enabled": True, "percent": 30})
    await visit.put("/flags/beta", json={})

    assert (await visit.get("/evaluate", params={"user": "ann"})).json()["dark-mode"] is True
    ben = (await visit.get("/evaluate", params={"user": "ben"})).json()
    assert list(ben) == ["beta", "checkout", "dark-mode"]
    assert ben["dark-mode"] is False and ben["beta"] is False

    lucky = []
    for number in range(60):
        flags = (await visit.get("/evaluate", params={"user": f"user {number}"})).json()
        lucky += [number] if flags["checkout"] else []
    assert 5 <= len(lucky) <= 35

    assert (await visit.put("/flags/beta", json={"percent": 101})).json() == {"error": "percent is from 0 to 100"}
    wrong = await visit.put("/flags/beta", json={"colour": "red"})
    assert wrong.status_code == 400 and "colour" in wrong.json()["error"]
    assert (await visit.patch("/flags/nothing", json={"enabled": True})).status_code == 404

    changed = await visit.patch("/flags/checkout", json={"percent": 100})
    assert changed.json() == {"name": "checkout", "enabled": True, "percent": 100, "users": []}

    await app.restart()
    assert (await visit.get("/evaluate?user=user%2059")).json()["checkout"] is True
    assert (await visit.delete("/flags/beta")).status_code == 204
    assert (await visit.delete("/flags/beta")).status_code == 404
    assert list((await visit.get("/flags")).json()) == ["checkout", "dark-mode"]
    log = (await visit.get("/log")).json()
    assert log == ["set dark-mode", "set checkout", "set beta", "changed checkout", "deleted beta"]
