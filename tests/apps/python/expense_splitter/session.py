async def session(visit, app):
    people = await visit.put("/people", json=["Cleo", "Ann", "Ben", "Ann"])
    assert people.json() == ["Ann", "Ben", "Cleo"]

    first = await visit.post("/expenses", json={"payer": "Ann", "amount": "100", "what": "Hut <2 nights>"})
    assert (first.status_code, first.json()) == (201, {"total": "100.00"})
    await visit.post("/expenses", json={"payer": "Ben", "amount": 1234.5, "what": "Train"})

    wrong = await visit.post("/expenses", json={"payer": "Dora", "amount": 3})
    assert wrong.status_code == 422 and "Dora" in wrong.json()["error"]
    assert (await visit.post("/expenses", json={"payer": "Ann", "amount": "a lot"})).status_code == 400
    assert (await visit.post("/expenses", json={"amount": 1})).status_code == 400
    assert (await visit.post("/expenses", json={"payer": "Ann", "amount": -5})).status_code == 422

    await app.restart()
    balances = (await visit.get("/balances")).json()
    assert balances == {"Ann": "-344.84", "Ben": "789.67", "Cleo": "-444.83"}
    assert (await visit.get("/settlement")).json() == [
        {"from": "Cleo", "to": "Ben", "amount": "444.83"},
        {"from": "Ann", "to": "Ben", "amount": "344.84"},
    ]
    page = await visit.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "Hut &lt;2 nights&gt;" in page.text and "1,334.50 €" in page.text
