KIND = "entrypoint"

FAST, SLOW = {"name": "fast", "ms": 5}, {"name": "slow", "ms": 60_000}
BROKEN = {"name": "broken", "ms": 1, "fails": True}


async def session(visit, app):
    async def asked(mode, **options):
        return await visit.post(f"/{mode}", json=options)

    everything = (await asked("all", services=[FAST, SLOW, BROKEN], timeout=300)).json()
    assert everything[0] == "fast" and everything[2] == "Error: broken is broken"
    assert everything[1].startswith("TimeoutError: ")

    fastest = (await asked("fastest", services=[SLOW, BROKEN, FAST], timeout=5000)).json()
    assert fastest == {"winner": "fast", "stopped": ["slow"]}
    none = (await asked("fastest", services=[SLOW, BROKEN], timeout=100)).json()
    assert none == {"winner": None, "errors": ["TimeoutError", "Error"]}

    third = await asked("retry", succeedsAt=3)
    assert third.status_code == 200 and third.json() == {"attempt": 3, "value": "made it", "waited": True}
    never = await asked("retry", succeedsAt=9)
    assert never.status_code == 502 and never.json() == {
        "name": "AggregateError", "message": "gave up after 3 attempts",
        "errors": ["Error: no 1", "Error: no 2", "Error: no 3"], "isError": True,
    }
    late = await asked("retry", succeedsAt=9, attempts=50, delay=40, timeout=200)
    assert late.status_code == 504 and late.json()["name"] == "TimeoutError"

    network = await asked("network")
    assert network.status_code == 502 and network.json()["isError"] is True
    unknown = await asked("forever")
    assert unknown.status_code == 404 and unknown.json() == ["all", "fastest", "retry", "network"]
    broken = await visit.post("/all", content=b"{")
    assert broken.status_code == 502 and broken.json()["name"] == "SyntaxError"
