from datetime import date, timedelta


async def session(visit, app):
    zone = await visit.put("/zone", content="Pacific/Auckland")
    assert zone.json() == {"zone": "Pacific/Auckland", "summer_offset": "+1200"}
    assert (await visit.put("/zone", content="Mars/Olympus")).status_code == 400

    made = await visit.post("/habits", json={"name": "Run"})
    assert (made.status_code, made.json()) == (201, {"name": "Run", "current": 0, "longest": 0})
    assert (await visit.post("/habits", json={"name": " "})).status_code == 400

    today = date.fromisoformat((await visit.get("/today")).json()["today"])
    for days in (7, 6, 5, 4, 2, 1):
        answer = await visit.post("/habits/Run/checks", content=str(today - timedelta(days=days)))
        assert answer.status_code == 200
    assert answer.json() == {"name": "Run", "current": 2, "longest": 4}
    # Twice on one day is once.
    await visit.post("/habits/Run/checks")
    assert (await visit.post("/habits/run/checks")).json()["current"] == 3

    assert (await visit.post("/habits/Run/checks", content=str(today + timedelta(days=2)))).status_code == 422
    assert (await visit.post("/habits/Run/checks", content="yesterday")).status_code == 400
    assert (await visit.post("/habits/Sing/checks")).status_code == 404

    await app.restart()
    assert (await visit.get("/habits")).json() == [{"name": "Run", "current": 3, "longest": 4}]

    # Two days later the streak is broken.
    await app.advance("48h")
    later = date.fromisoformat((await visit.get("/today")).json()["today"])
    assert later == today + timedelta(days=2)
    assert (await visit.get("/habits")).json()[0]["current"] == 0
