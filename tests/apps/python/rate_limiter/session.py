from __future__ import annotations

ANN = {"X-Api-Key": "ann"}
BEN = {"X-Api-Key": "ben"}


async def session(visit, app):
    assert (await visit.get("/quote")).status_code == 401
    assert (await visit.post("/quote", headers=ANN)).status_code == 405

    for remaining in (4, 3, 2, 1, 0):
        answer = await visit.get("/quote", headers=ANN)
        assert answer.status_code == 200
        assert answer.headers["x-ratelimit-remaining"] == str(remaining)

    refused = await visit.get("/quote", headers=ANN)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.json()["retry_after"] == int(refused.headers["retry-after"])
    assert (await visit.get("/quote", headers=BEN)).status_code == 200

    await app.restart()

    assert (await visit.get("/quote", headers=ANN)).status_code == 429
    await app.advance("30s")
    half = await visit.get("/quote", headers=ANN)
    assert half.status_code == 429
    assert int(half.headers["retry-after"]) <= 30

    await app.advance("31s")
    assert (await visit.get("/stats")).json() == {"windows": 1}
    assert (await visit.get("/quote", headers=ANN)).headers["x-ratelimit-remaining"] == "4"

    await app.advance("1h")  # one window more was opened by that request, and none by nobody
    assert (await visit.get("/stats")).json() == {"windows": 2}
