async def session(visit, app):
    assert (await visit.get("/top")).json() == []

    first = await visit.post("/scores", json={"player": "Ann", "score": 1500, "level": "ice"})
    assert (first.status_code, first.json()) == (201, {"best": True, "rank": 1})
    worse = await visit.post("/scores", json={"player": "Ann", "score": 700, "level": "fire"})
    assert worse.json() == {"best": False, "rank": 1}
    for player, score in [("Ben", 1500), ("Cleo", 900), ("<Dora>", 2000), ("Eve", 10)]:
        await visit.post("/scores", json={"player": player, "score": score})

    assert (await visit.post("/scores", json={"player": "Ann", "score": "many"})).status_code == 422
    assert (await visit.post("/scores", json={"player": "Ann", "score": 10**9})).status_code == 422
    assert (await visit.post("/scores", json=[1, 2])).status_code == 400

    await app.restart()
    top = (await visit.get("/top/4")).json()
    assert [(row["rank"], row["player"]) for row in top] == [(1, "<Dora>"), (2, "Ann"), (2, "Ben"), (4, "Cleo")]
    assert top[1] == {"rank": 2, "position": 2, "player": "Ann", "score": 1500, "games": 2, "average": 1100.0}

    around = (await visit.get("/players/Cleo")).json()
    assert [row["player"] for row in around] == ["Ben", "Cleo", "Eve"]
    nobody = await visit.get("/players/Zoe")
    assert nobody.status_code == 404 and "Zoe" in nobody.json()["error"]

    assert (await visit.get("/levels")).json() == {"fire": [700], "ice": [1500], "none": [2000, 1500, 900, 10]}
    page = (await visit.get("/")).text
    assert "<td>🥇</td><td>&lt;Dora&gt;</td><td>2,000</td>" in page and page.count("🥈") == 2
