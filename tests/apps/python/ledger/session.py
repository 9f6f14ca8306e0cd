from __future__ import annotations

import asyncio


def transfer(source, target, amount):
    return {"from": source, "to": target, "amount": amount}


async def session(visit, app):
    for name in ("ann", "ben", "cy"):
        assert (await visit.post("/accounts", json={"name": name})).status_code == 201
    assert (await visit.post("/accounts", json={"name": "ann"})).status_code == 409
    assert (await visit.post("/deposits", json={"account": "ann", "amount": 10_000})).status_code == 201

    moved = await visit.post("/transfers", json={"transfers": [transfer("ann", "ben", 2_500)]})
    assert moved.status_code == 201

    # The second half of this batch cannot be done, so nothing of it is.
    batch = [transfer("ann", "cy", 7_000), transfer("ben", "cy", 9_999)]
    refused = await visit.post("/transfers", json={"transfers": batch})
    assert refused.status_code == 409
    assert refused.json()["error"] == "ben has only 2500"
    assert (await visit.get("/balances")).json() == {"ann": 7_500, "ben": 2_500, "cy": 0}

    nobody = await visit.post("/transfers", json={"transfers": [transfer("ann", "dan", 1)]})
    assert nobody.json()["error"] == "no account dan"
    for amount in (-5, 0, 1.5, "7", True):
        bad = await visit.post("/transfers", json={"transfers": [transfer("ann", "ben", amount)]})
        assert bad.status_code == 400
    assert (await visit.post("/transfers", content="nonsense")).status_code == 400

    # Twenty at once, of which only fifteen can be paid for.
    once = {"transfers": [transfer("ann", "cy", 500)]}
    answers = await asyncio.gather(*(visit.post("/transfers", json=once) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [201] * 15 + [409] * 5

    await app.restart()

    assert (await visit.get("/balances")).json() == {"ann": 0, "ben": 2_500, "cy": 7_500}
    assert (await visit.get("/audit")).json() == {"total": 10_000, "deposited": 10_000, "balanced": True}
    statement = (await visit.get("/statements/ben")).json()
    assert [(entry["source"], entry["target"], entry["amount"]) for entry in statement] == [("ann", "ben", 2_500)]
