async def session(visit, app):
    for name in ("Ann", "Ben", " Zoë "):
        people = await visit.post("/people", json={"name": name})
        assert people.status_code == 201
    assert people.json() == ["Ann", "Ben", "Zoë"]
    nobody = await visit.post("/people", json={})
    assert nobody.status_code == 422 and nobody.json()["field"] == "name"

    dinner = await visit.post("/expenses", json={"payer": "Ann", "amount": "100", "what": "dinner"})
    assert dinner.status_code == 201 and dinner.json() == {"id": 1, "what": "dinner"}
    assert (await visit.get("/balances")).json() == {"Ann": "66.66", "Ben": "-33.33", "Zoë": "-33.33"}

    await app.restart()
    await visit.post("/expenses", json={"payer": "Ben", "amount": 12.5, "shared": ["Ben", "Zoë"]})
    assert (await visit.get("/balances")).json() == {"Ann": "66.66", "Ben": "-27.08", "Zoë": "-39.58"}
    transfers = (await visit.get("/settle")).json()
    assert transfers == [
        {"from": "Zoë", "to": "Ann", "amount": "39.58"},
        {"from": "Ben", "to": "Ann", "amount": "27.08"},
    ]

    stranger = await visit.post("/expenses", json={"payer": "Eve", "amount": "1"})
    assert stranger.status_code == 422 and stranger.json()["error"] == "Eve is not in the group"
    wrong = await visit.post("/expenses", json={"payer": "Ann", "amount": "12,50"})
    assert wrong.status_code == 422 and wrong.json() == {"error": '"12,50" is not an amount', "field": "amount"}
    assert (await visit.get("/nowhere")).status_code == 404
    assert (await visit.get("/settle")).json() == transfers
