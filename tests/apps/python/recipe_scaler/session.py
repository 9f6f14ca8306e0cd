async def session(visit, app):
    lines = ["1 1/2 cups Flour", "250 g butter", "1½ tsp salt", "2 Eggs", "0.7 l milk"]
    lines += ["love & patience", "1/3 cup sugar"]
    saved = await visit.put("/cake", json={"serves": 4, "ingredients": lines})
    assert (saved.status_code, saved.json()) == (201, {"saved": "cake", "ingredients": 7})
    assert (await visit.put("/air", json={"serves": 4, "ingredients": []})).status_code == 422
    assert (await visit.put("/air", json={"serves": "four", "ingredients": ["air"]})).status_code == 422

    await app.restart()
    same = (await visit.get("/cake")).json()
    assert same["factor"] == "1"
    assert same["ingredients"] == [
        "250 g butter", "2 Eggs", "1½ cups Flour", "0.7 l milk", "1½ tsp salt", "⅓ cup sugar", "love & patience",
    ]
    more = (await visit.get("/cake", params={"for": 20})).json()
    assert more["ingredients"] == [
        "1.25 kg butter", "10 Eggs", "7½ cups Flour", "3.5 l milk", "2½ tbsp salt", "1⅔ cup sugar", "love & patience",
    ]
    fewer = (await visit.get("/cake?for=3/2")).json()
    assert fewer["factor"] == "3/8"
    assert fewer["ingredients"][:3] == ["93.75 g butter", "¾ Eggs", "9/16 cups Flour"]

    page = await visit.get("/cake", headers={"accept": "text/html"})
    assert "<h1>Cake for 4</h1>" in page.text and "<li>love &amp; patience" in page.text
    assert (await visit.get("/cake?for=nobody")).json() == {"error": "for how many?"}
    assert (await visit.get("/cake?for=-1")).status_code == 400
    assert (await visit.get("/pie")).status_code == 404
