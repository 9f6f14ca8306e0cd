async def session(visit, app):
    ann = (await visit.post("/games")).json()
    url = f"/games/{ann['code']}"
    assert ann["mark"] == "X" and len(ann["code"]) == 6

    async def move(player, cell):
        headers = {"authorization": f"Bearer {player['token']}"}
        return await visit.post(f"{url}/moves", json={"cell": cell}, headers=headers)

    alone = await move(ann, 0)
    assert (alone.status_code, alone.json()["error"]) == (409, "wait for the other player")
    ben = (await visit.post(f"{url}/join")).json()
    assert ben["mark"] == "O" and ben["token"] != ann["token"]
    assert (await visit.post(f"{url}/join")).json() == {"error": "two are playing already"}

    assert (await move(ben, 0)).json() == {"error": "it is not your turn"}
    assert (await move(ann, 4)).json()["rows"] == ["   ", " X ", "   "]
    assert (await move(ben, 4)).json() == {"error": "that cell is not free"}
    assert (await move(ben, 9)).status_code == 409
    assert (await move({"token": "stolen"}, 1)).status_code == 403

    # Ben polls: nothing new, then Ann's move.
    assert (await visit.get(url, params={"since": 2})).status_code == 204
    await move(ben, 0)
    await app.restart()
    assert (await visit.get(url, params={"since": 2})).json() == {
        "rows": ["O  ", " X ", "   "], "turn": "X", "winner": None, "version": 3,
    }

    for player, cell in [(ann, 2), (ben, 1), (ann, 6)]:
        last = await move(player, cell)
    assert last.json()["winner"] == "X"
    assert (await move(ben, 8)).json() == {"error": "the game is over"}
    assert (await visit.get("/games/NOBODY")).status_code == 404
