async def session(visit, app):
    async def add(kind, delay=0, **args):
        answer = await visit.post("/jobs", json={"kind": kind, "args": args, "delay_s": delay})
        assert answer.status_code == 202
        return answer.headers["location"]

    async def state(job):
        return (await visit.get(job)).json()

    unknown = await visit.post("/jobs", json={"kind": "fly"})
    assert (unknown.status_code, unknown.json()["kinds"]) == (400, ["flaky", "middle", "reverse"])
    assert (await visit.get("/stats")).json() == {"waiting": 0, "done": 0, "dead": 0, "alarm": None}

    many = [await add("reverse", text=f"job {number}") for number in range(12)]
    await app.advance("2s")
    assert [(await state(job))["result"] for job in many] == [f"job {number}"[::-1] for number in range(12)]

    later = await add("middle", delay=3600, numbers=[3, 1, 2])
    flaky = await add("flaky", works_at=2)
    hopeless = await add("flaky", works_at=99)
    wrong = await add("reverse", words="?")
    await app.advance("5s")
    assert await state(flaky) == {
        "state": "waiting", "attempts": 1, "error": "ConnectionError: attempt 1 failed", "result": None,
    }
    assert (await state(wrong))["error"].startswith("TypeError: reverse() got an unexpected keyword")

    await app.restart()
    assert (await visit.get("/stats")).json()["waiting"] == 4
    await app.advance("3m")
    assert (await state(flaky))["result"] == "worked at attempt 2"
    await app.advance("20m")
    dead = await state(hopeless)
    assert (dead["state"], dead["attempts"]) == ("dead", 3)
    assert (await state(later))["state"] == "waiting"

    await app.advance("40m")
    assert await state(later) == {"state": "done", "attempts": 1, "error": None, "result": 2}
    assert (await visit.get("/stats")).json() == {"waiting": 0, "done": 14, "dead": 2, "alarm": None}
    assert (await visit.get("/jobs/99")).status_code == 404
