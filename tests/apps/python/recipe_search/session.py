from __future__ import annotations

RECIPES = [
    {"title": "Tomato soup", "body": "Roast the tomatoes, then blend them with basil.", "tags": "soup,vegan"},
    {"title": "Pancakes", "body": "Whisk eggs, flour and milk. Serve with tomato chutney.", "tags": "sweet"},
    {"title": "Crème brûlée <classic>", "body": "Cream, yolks, sugar; baking slowly.", "tags": "sweet,french"},
]


async def search(visit, query, **params):
    answer = await visit.get("/search", params={"q": query, **params})
    assert answer.status_code == 200
    return [result["title"] for result in answer.json()["results"]]


async def session(visit, app):
    for recipe in RECIPES:
        assert (await visit.post("/recipes", data=recipe)).status_code == 201
    assert (await visit.post("/recipes", data={"title": "Nothing in it"})).status_code == 400

    assert await search(visit, "tomato") == ["Tomato soup", "Pancakes"]  # a hit in the title counts for more
    assert await search(visit, "creme brulee") == ["Crème brûlée <classic>"]
    assert await search(visit, "bake") == ["Crème brûlée <classic>"]  # the stem of "baking"
    assert await search(visit, "unicorn") == []
    assert await search(visit, 'flour" OR') == []  # taken as words, not as syntax

    excerpt = (await visit.get("/search", params={"q": "basil"})).json()["results"][0]["excerpt"]
    assert "<b>basil</b>" in excerpt

    assert await search(visit, "tags:sweet NOT title:pan*", mode="advanced") == ["Crème brûlée <classic>"]
    broken = await visit.get("/search", params={"q": '"never closed', "mode": "advanced"})
    assert broken.status_code == 400
    assert "cannot search" in broken.json()["error"]
    assert (await visit.get("/search")).status_code == 400

    await app.restart()

    assert await search(visit, "tomato") == ["Tomato soup", "Pancakes"]
    page = await visit.get("/")
    assert "Crème brûlée &lt;classic&gt;" in page.text
    assert (await visit.delete("/recipes/1")).status_code == 204
    assert (await visit.delete("/recipes/1")).status_code == 404
    assert await search(visit, "tomato") == ["Pancakes"]
