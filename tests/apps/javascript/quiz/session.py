from __future__ import annotations


async def play(visit, player, choices):
    game = (await visit.post("/games", data={"player": player})).json()
    for choice in choices:
        answer = await visit.post(f"/games/{game['id']}", json={"choice": choice})
        assert answer.status_code == 200
        game = {**answer.json(), "id": game["id"]}
    return game


async def session(visit, app):
    assert (await visit.get("/")).text == "hello from the house, here are 3 questions\n"

    started = await visit.post("/games", data={"player": "Ann"})
    assert started.status_code == 201
    path = f"/games/{started.json()['id']}"
    assert started.json()["question"] == {"text": "What is 0.1 + 0.2 === 0.3?", "options": ["true", "false"]}

    right = await visit.post(path, json={"choice": 1})
    assert right.json()["correct"] is True
    assert right.json()["score"] == 1

    for wrong in (3, -1, 1.5, "2", None):
        refused = await visit.post(path, json={"choice": wrong})
        assert refused.status_code == 422
        assert refused.json() == {"error": "choice must be from 0 to 2"}

    await app.restart()

    assert (await visit.get(path)).json()["answered"] == 1
    await visit.post(path, json={"choice": 2})
    last = await visit.post(path, json={"choice": 0})
    assert last.json() == {"correct": True, "player": "Ann", "score": 3, "answered": 3, "question": None}
    assert (await visit.post(path, json={"choice": 0})).status_code == 409

    assert (await play(visit, "Ben", [1, 2, 1]))["score"] == 2
    assert (await play(visit, "Cy", [0, 0, 1]))["score"] == 0
    slow = await play(visit, "Dee", [1])
    assert (await visit.get("/scores")).json() == [
        {"player": "Ann", "score": 3, "grade": "perfect"},
        {"player": "Ben", "score": 2, "grade": "good"},
        {"player": "Cy", "score": 0, "grade": "try again"},
    ]

    await app.advance("11m")
    assert (await visit.post(f"/games/{slow['id']}", json={"choice": 2})).status_code == 410
    assert (await visit.get("/games")).status_code == 405
    assert (await visit.post("/games", data={"name": "Eve"})).status_code == 400
    assert (await visit.get("/games/nothing")).status_code == 404
