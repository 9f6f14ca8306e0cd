async def session(visit, app):
    batch = [{"type": "tick" if n % 2 else "tock", "n": n, "who": {"name": "Ünal"}} for n in range(1, 24)]
    added = await visit.post("/streams/my clock/events", json=batch)
    assert added.status_code == 201 and added.json()["ids"] == list(range(1, 24))
    other = await visit.post("/streams/door/events", json={"type": "opened"})
    assert other.json() == {"ids": [24]}

    first = await visit.get("/streams/my clock/events")
    assert [event["n"] for event in first.json()["events"]] == list(range(23, 13, -1))
    assert first.json()["events"][0]["who"] == {"name": "Ünal"}
    await visit.post("/streams/my clock/events", json={"type": "tock", "n": 99})  # does not shift the pages after
    await app.restart()
    second = await visit.get(first.headers["link"].split(">")[0].lstrip("<"))
    assert [event["n"] for event in second.json()["events"]] == list(range(13, 3, -1))
    third = await visit.get("/streams/my clock/events", params={"cursor": second.json()["next"]})
    assert [event["id"] for event in third.json()["events"]] == [3, 2, 1]
    assert third.json()["next"] is None and "link" not in third.headers

    tocks = (await visit.get("/streams/my clock/events", params={"type": "tock", "limit": 2})).json()
    assert [event["n"] for event in tocks["events"]] == [99, 22]
    assert (await visit.get("/streams")).json() == [
        {"stream": "door", "events": 1}, {"stream": "my clock", "events": 24},
    ]
    assert (await visit.get("/streams/door/events/24")).json()["data"] == {}
    assert (await visit.get("/streams/door/events/1")).status_code == 404

    bad = await visit.get("/streams/door/events", params={"cursor": "garbage!"})
    assert bad.status_code == 400 and bad.headers["content-type"] == "application/problem+json"
    assert (await visit.post("/streams/door/events", json=[{"type": "x"}, {"kind": "y"}])).status_code == 422
    wrong = await visit.delete("/streams/door/events")
    assert wrong.status_code == 405 and wrong.headers["allow"] == "POST, GET"
    assert (await visit.get("/streams/door/events/abc")).json()["title"] == "No such page"
