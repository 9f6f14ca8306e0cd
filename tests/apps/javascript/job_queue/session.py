async def session(visit, app):
    async def add(**job):
        answer = await visit.post("/jobs", json=job)
        assert answer.status_code == 202 and answer.json()["state"] == "queued"
        return f"/jobs/{answer.json()['id']}"

    assert (await visit.get("/")).json() == {"jobs": [], "alarm": False}
    total = await add(kind="sum", payload={"numbers": [1, 2, 3.5]})
    loud = await add(kind="shout", payload={"text": "straße"}, delay=3600)
    await app.advance("10s")
    done = (await visit.get(total)).json()
    assert done["state"] == "done" and done["result"] == 6.5 and done["attempts"] == 1
    assert (await visit.get(loud)).json()["state"] == "queued"

    await app.restart()
    await app.advance("59m")
    assert (await visit.get(loud)).json()["result"] is None
    await app.advance("2m")
    assert (await visit.get(loud)).json()["result"] == "STRASSE"
    assert (await visit.get("/")).json()["alarm"] is False

    flaky = await add(kind="flaky", payload={"failures": 2})
    hopeless = await add(kind="flaky", payload={"failures": 9})
    broken = await add(kind="shout")
    await app.advance("5s")
    once = (await visit.get(flaky)).json()
    assert once["state"] == "queued" and once["error"] == "Error: attempt 1 failed" and once["attempts"] == 1
    await app.advance("10m")
    assert (await visit.get(flaky)).json()["result"] == "done at attempt 3"
    failed = (await visit.get("/?state=failed")).json()["jobs"]
    assert [f"/jobs/{job['id']}" for job in failed] == [hopeless, broken]
    assert (await visit.get(broken)).json()["error"].startswith("TypeError")

    later = await add(kind="sum", payload={"numbers": []}, delay=60)
    assert (await visit.delete(later)).status_code == 204
    assert (await visit.delete(total)).status_code == 409
    assert (await visit.get(later)).status_code == 404
    assert (await visit.post("/jobs", json={"kind": "constructor"})).status_code == 400
