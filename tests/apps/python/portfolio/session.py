async def session(visit, app):
    assert (await visit.get("/portfolio")).json() == {"cash": "0.00", "positions": []}

    assert (await visit.put("/quotes/acme", content="12.50")).json() == {"symbol": "ACME", "price": 1250}
    await visit.put("/quotes/zeta", content="100")
    assert (await visit.post("/deposit", json={"amount": "1000.10"})).json() == {"cash": "1000.10"}

    bought = await visit.post("/buy", json={"symbol": "acme", "shares": 40})
    assert bought.json() == {"cash": "500.10", "shares": 40}
    poor = await visit.post("/buy", json={"symbol": "zeta", "shares": 6})
    assert (poor.status_code, poor.json()) == (409, {"error": "not enough cash"})
    # The cash from a sale that is refused is not kept.
    short = await visit.post("/sell", json={"symbol": "acme", "shares": 41})
    assert (short.status_code, short.json()) == (409, {"error": "you have only 40 of ACME"})
    assert (await visit.post("/buy", json={"symbol": "nix", "shares": 1})).json() == {"error": "no quote for NIX"}
    assert (await visit.post("/buy", json={"symbol": "acme", "shares": -1})).status_code == 400
    assert (await visit.put("/quotes/acme", content="a lot")).status_code == 400

    await app.restart()
    await visit.post("/sell", json={"symbol": "acme", "shares": 10})
    await visit.put("/quotes/acme", content="11.00")
    assert (await visit.get("/portfolio")).json() == {
        "cash": "625.10",
        "positions": [{"symbol": "ACME", "shares": 30, "value": "330.00", "gain": "-45.00"}],
    }
    assert (await visit.get("/trades")).json() == [{"symbol": "ACME", "shares": -10}, {"symbol": "ACME", "shares": 40}]
