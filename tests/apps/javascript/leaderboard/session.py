async def session(visit, app):
    assert (await visit.get("/top")).json() == []
    assert (await visit.post("/undo")).status_code == 409
    scores = [("Zed", 50), ("Ann", 70.5), ("Ben", 70.5), ("Ann", 12), ("Dr. Ö", -3)]
    for name, points in scores:
        answer = await visit.post("/scores", json={"name": name, "points": points})
        assert answer.status_code == 201
    assert (await visit.post("/scores", json={"name": "Ann", "points": 12})).json() == {"best": 70.5, "record": False}

    await app.restart()
    top = (await visit.get("/top")).json()
    assert [(entry["rank"], entry["name"]) for entry in top] == [(1, "Ann"), (1, "Ben"), (3, "Zed")]
    assert top[0] == {"rank": 1, "name": "Ann", "best": 70.5, "plays": 3, "recent": [70.5, 12, 12]}
    assert (await visit.get("/players/Dr. Ö")).json()["rank"] == 4
    about = (await visit.get("/about")).json()
    assert about == {"types": [True, True, True], "since": True, "undo": True}

    assert (await visit.put("/banned/Ann")).json() == {"banned": ["Ann"]}
    assert [entry["name"] for entry in (await visit.get("/top?n=9")).json()] == ["Ben", "Zed", "Dr. Ö"]
    banned = await visit.post("/scores", json={"name": "Ann", "points": 1000})
    assert banned.status_code == 403 and banned.json()["error"] == "Ann is banned"
    assert (await visit.post("/undo")).json() == {"players": 4}
    await app.restart()
    assert (await visit.get("/top?n=1")).json()[0]["name"] == "Ann"
    assert (await visit.post("/undo")).status_code == 409

    assert (await visit.post("/scores", json={"name": "Ann", "points": "many"})).status_code == 400
    assert (await visit.get("/players/Nobody")).json() == {"error": "no player Nobody"}
    assert (await visit.delete("/top")).status_code == 404
