import asyncio


async def session(visit, app):
    game = "/games/first-one"
    assert (await visit.get(game)).status_code == 404
    ann = (await visit.post(f"{game}/join", json={"name": "Ann"})).json()
    ann_headers = {"authorization": f"Bearer {ann['token']}"}
    early = await visit.post(f"{game}/move", json={"cell": 0}, headers=ann_headers)
    assert early.status_code == 409 and early.json()["error"] == "wait for the other player"
    ben = (await visit.post(f"{game}/join", json={"name": "Ben"})).json()
    ben_headers = {"authorization": f"Bearer {ben['token']}"}
    assert (ann["sign"], ben["sign"]) == ("X", "O")
    assert (await visit.post(f"{game}/join", json={"name": "Eve"})).status_code == 409

    async def move(headers, cell):
        return await visit.post(f"{game}/move", json={"cell": cell}, headers=headers)

    assert (await move(ben_headers, 0)).json()["error"] == "it is not your turn"
    assert (await visit.get(f"{game}?since=2")).status_code == 204  # nothing new
    polled, moved = await asyncio.gather(visit.get(f"{game}?since=2", headers=ben_headers), move(ann_headers, 4))
    assert moved.json()["board"] == "....X...."
    assert polled.status_code == 200
    assert polled.json() == {
        "board": "....X....", "names": {"X": "Ann", "O": "Ben"}, "version": 3, "turn": "O", "winner": None, "you": "O",
    }
    assert (await move(ben_headers, 4)).status_code == 422
    assert (await move(ben_headers, 9)).json()["error"] == "that cell is not free"

    await app.restart()
    for headers, cell in ((ben_headers, 0), (ann_headers, 2), (ben_headers, 1)):
        assert (await move(headers, cell)).status_code == 200
    last = (await move(ann_headers, 6)).json()
    assert last["board"] == "OOX.X.X.." and last["winner"] == "X" and last["turn"] is None
    assert (await move(ben_headers, 8)).json()["error"] == "the game is over"
    assert (await visit.get(game)).json()["you"] is None
    assert (await move({}, 8)).status_code == 403
