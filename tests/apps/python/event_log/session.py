async def session(visit, app):
    one = await visit.post("/events", json={"message": "started", "version": [1, 2]})
    assert (one.status_code, one.json()) == (201, {"ids": [1]})
    many = [{"message": f"request {n}", "user": "ann" if n % 2 else "ben"} for n in range(1, 51)]
    many[29]["level"] = "error"
    assert (await visit.post("/events", json=many)).json()["ids"] == list(range(2, 52))

    # All of them, or none.
    bad = await visit.post("/events", json=[{"message": "good"}, {"text": "bad"}])
    assert (bad.status_code, bad.json()) == (400, {"error": "event 1 has no message"})
    bad = await visit.post("/events", json=[{"message": "good"}, {"message": "bad", "level": "loud"}])
    assert bad.json() == {"error": "unknown level 'loud'"}

    await app.restart()
    page = (await visit.get("/events")).json()
    assert [event["id"] for event in page["events"]] == list(range(51, 31, -1))

    seen, answer = [], await visit.get("/events", params={"limit": 8})
    while True:
        seen += [event["id"] for event in answer.json()["events"]]
        if answer.json()["next"] is None:
            break
        assert answer.links["next"]["rel"] == "next"
        answer = await visit.get(answer.links["next"]["url"])
    assert seen == list(range(51, 0, -1))
    assert answer.json()["events"][-1]["data"] == {"version": [1, 2]} and "link" not in answer.headers

    errors = (await visit.get("/events?level=warning")).json()["events"]
    assert [(event["message"], event["level"]) for event in errors] == [("request 30", "error")]
    assert (await visit.get("/count")).json() == {"ann": 25, "ben": 25, "nobody": 1}
    assert (await visit.get("/count?user=ann")).json() == {"ann": 25}

    assert (await visit.get("/events?cursor=!!!")).json() == {"error": "bad cursor"}
    assert (await visit.get("/events?limit=many")).status_code == 400
