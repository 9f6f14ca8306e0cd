from __future__ import annotations


async def titles(visit):
    board = (await visit.get("/board")).json()
    return {lane: " ".join(card["title"] for card in cards) for lane, cards in board.items()}


async def move(visit, card, lane, before=None):
    answer = await visit.post(f"/cards/{card}/move", json={"lane": lane, "before": before})
    return answer.status_code


async def session(visit, app):
    ids = {}
    for title in "abcd":
        created = await visit.post("/cards", json={"title": title})
        assert created.status_code == 201
        ids[title] = created.json()["id"]
    assert await titles(visit) == {"todo": "a b c d", "doing": "", "done": ""}

    assert await move(visit, ids["d"], "todo", ids["a"]) == 200
    assert await titles(visit) == {"todo": "d a b c", "doing": "", "done": ""}
    assert await move(visit, ids["c"], "todo", ids["b"]) == 200
    assert await move(visit, ids["a"], "doing") == 200
    assert await titles(visit) == {"todo": "d c b", "doing": "a", "done": ""}

    # So often between the same two that the positions come too close.
    for _ in range(40):
        assert await move(visit, ids["c"], "todo", ids["b"]) == 200
        assert await move(visit, ids["d"], "todo", ids["b"]) == 200
    assert (await titles(visit))["todo"] == "c d b"

    assert (await visit.post("/cards", json={"title": "  "})).status_code == 422
    assert (await visit.post("/cards", json={"title": "x", "lane": "later"})).status_code == 422
    assert (await visit.post("/cards", content="{")).status_code == 400
    assert (await visit.get("/cards")).status_code == 405
    assert await move(visit, ids["b"], "somewhere") == 422
    assert await move(visit, ids["b"], "done", ids["a"]) == 409
    assert await move(visit, 999, "done") == 404

    await app.restart()

    assert await titles(visit) == {"todo": "c d b", "doing": "a", "done": ""}
    assert (await visit.delete(f"/cards/{ids['a']}")).status_code == 204
    assert (await visit.delete(f"/cards/{ids['a']}")).status_code == 404
    assert (await titles(visit))["doing"] == ""
