async def session(visit, app):
    assert (await visit.get("/flags")).json() == []
    await visit.put("/flags/new-ui", json={"enabled": True, "rules": [{"attribute": "plan", "in": ["pro", "team"]}]})
    await visit.put("/flags/half", json={"enabled": True, "rollout": 50})
    saved = await visit.put("/flags/dark", json={"enabled": False, "rollout": 100})
    assert saved.status_code == 200 and saved.json() == {"enabled": False, "rollout": 100, "key": "dark"}

    async def evaluated(user, **attributes):
        answer = await visit.post("/evaluate", json={"user": user, "attributes": attributes})
        return answer.json()

    ann = await evaluated("ann", plan="pro")
    assert ann["new-ui"] == {"on": True, "reason": "Targeted"}
    assert ann["dark"] == {"on": False, "reason": "Off"}
    assert (await evaluated("ben", plan="free"))["new-ui"] == {"on": False, "reason": "Default"}
    before = {user: (await evaluated(user))["half"]["on"] for user in map(str, range(60))}
    assert 10 < sum(before.values()) < 50

    await app.restart()
    assert {user: (await evaluated(user))["half"]["on"] for user in map(str, range(60))} == before
    await visit.put("/flags/half", json={"enabled": True, "rollout": 100})
    assert (await evaluated("0"))["half"] == {"on": True, "reason": "Rollout"}

    wrong = await visit.put("/flags/half", json={"enabled": "yes"})
    assert wrong.status_code == 400 and wrong.json()["error"] == "enabled must be true or false"
    assert (await visit.put("/flags/half", json={"enabled": True, "rollout": 101})).status_code == 400
    assert (await visit.put("/flags/Half", json={"enabled": True})).json()["error"] == "bad key Half"
    assert (await visit.put("/flags/half", content=b"{enabled")).status_code == 400
    assert (await visit.get("/flags/half")).json()["rollout"] == 100
    assert (await visit.delete("/flags/half")).status_code == 204
    gone = await visit.delete("/flags/half")
    assert gone.status_code == 404 and gone.json()["error"] == "no flag half"
    assert [flag["key"] for flag in (await visit.get("/flags")).json()] == ["dark", "new-ui"]
    assert (await visit.post("/flags/half", json={})).status_code == 404
