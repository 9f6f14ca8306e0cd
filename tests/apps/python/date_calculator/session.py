KIND = "entrypoint"


async def session(visit, app):
    usage = await visit.get("/")
    assert usage.text.startswith("hello from the house\n")
    assert usage.headers["content-type"].startswith("text/plain")

    between = await visit.get("/between", params={"from": "2024-01-31", "to": "2025-03-01"})
    assert between.json() == {"days": 395, "years": 1, "months": 1, "rest": 1}
    backwards = await visit.get("/between", params={"from": "2024-03-01", "to": "2024-02-28"})
    assert backwards.json() == {"days": -2, "years": 0, "months": 0, "rest": 2}

    clamped = await visit.get("/add", params={"date": "2024-01-31", "months": "1"})
    assert clamped.json() == {"date": "2024-02-29", "weekday": "Thursday"}
    earlier = await visit.get("/add", params={"date": "2024-03-31", "months": "-1", "days": "-29"})
    assert earlier.json()["date"] == "2024-01-31"

    christmas = {"from": "2024-12-23", "to": "2025-01-03", "holidays": "2024-12-25,2025-01-01"}
    assert (await visit.get("/workdays", params=christmas)).json() == {"workdays": 8}

    february = await visit.get("/calendar/2024/2")
    assert "February 2024" in february.text
    assert "29" in february.text

    missing = await visit.get("/between", params={"from": "2024-01-31"})
    assert missing.status_code == 400
    assert missing.json() == {"error": "to is missing"}
    assert (await visit.get("/add", params={"date": "2023-02-29"})).status_code == 400
    assert (await visit.get("/add", params={"date": "2023-02-28", "days": "many"})).status_code == 400
    assert (await visit.get("/add", params={"date": "9999-12-31", "days": "1"})).status_code == 400
    assert (await visit.get("/calendar/2024/13")).status_code == 400
    assert (await visit.post("/add")).status_code == 405
    assert (await visit.get("/tomorrow")).status_code == 404
