INVOICE = """<h1>{{ customer.name|upper }} ({{ customer.name | initials }})</h1>
{# a comment
   over lines #}
{% for item in items %}<p>{{ loop.number }}/{{ loop.total }} {{ item.0 }}: {{ item.1|money }}</p>
{% else %}<p>nothing</p>
{% end %}{% if note %}<i>{{ note }}</i>{% else %}-{% end %}"""


async def session(visit, app):
    assert (await visit.put("/invoice", content=INVOICE)).status_code == 204
    order = {"customer": {"name": "Ann & Söhne"}, "items": [["Tea", 1234.5], ["<Milk>", 2]], "note": None}
    page = await visit.post("/invoice", json=order)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.startswith("<h1>ANN &amp; SÖHNE (A&amp;S)</h1>")
    assert "<p>1/2 Tea: 1,234.50</p>\n<p>2/2 &lt;Milk&gt;: 2.00</p>" in page.text
    assert page.text.endswith("-") and "comment" not in page.text

    await app.restart()
    page = await visit.post("/invoice", json={"customer": {"name": "Ben"}, "items": [], "note": "thanks"})
    assert "<p>nothing</p>" in page.text and page.text.endswith("<i>thanks</i>")

    missing = await visit.post("/invoice", json={"customer": {}, "items": []})
    assert (missing.status_code, missing.text) == (400, "line 1: customer.name is unknown")
    assert (await visit.post("/receipt", json={})).status_code == 404
    wrong = await visit.put("/bad", content="one\n\n{{ x|shout }}")
    assert wrong.json() == {"error": "line 3: no filter called shout", "line": 3}
    assert (await visit.put("/bad", content="{% if x %}")).json()["error"] == "line 1: a block does not end"
    assert (await visit.put("/bad", content="{% end %}")).json()["error"] == "line 1: unexpected 'end'"

    listed = (await visit.get("/")).json()
    assert listed["templates"] == ["invoice"]
    assert listed["filters"] == ["initials", "join", "len", "money", "safe", "upper"]
