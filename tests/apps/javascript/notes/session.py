from __future__ import annotations

SOURCE = """# Über *lists*

- one & two
- **three** `<four>`

See [the manual](https://example.org/a?b=c), not [this](javascript:alert(1)).

```js
if (a < b) { **c** }
```
"""


async def session(visit, app):
    assert "<em>No notes yet.</em>" in (await visit.get("/")).text

    saved = await visit.post("/notes", data={"title": "Crème, brûlée!", "source": SOURCE})
    assert saved.status_code == 303
    assert saved.headers["location"].endswith("/notes/creme-brulee")

    page = (await visit.get(saved.headers["location"])).text
    assert "<title>Crème, brûlée!</title>" in page
    assert "<h1>Über <em>lists</em></h1>" in page
    assert "<ul><li>one &amp; two</li><li><strong>three</strong> <code>&lt;four&gt;</code></li></ul>" in page
    assert '<a href="https://example.org/a?b=c">the manual</a>' in page
    assert 'href="javascript' not in page
    assert '<pre><code class="js">if (a &lt; b) { **c** }\n</code></pre>' in page

    await visit.post("/notes", data={"title": "Crème, brûlée!", "source": "Only *this* now"})
    unnamed = await visit.post("/notes", data={"title": " ", "source": "x"})
    assert unnamed.status_code == 422
    assert "A note needs a title." in unnamed.text

    await app.restart()

    now = await visit.get("/notes/creme-brulee")
    assert "Only <em>this</em> now" in now.text
    assert "Version 2" in now.text
    raw = await visit.get("/notes/creme-brulee/raw", params={"version": 1})
    assert raw.headers["content-type"] == "text/markdown; charset=utf-8"
    assert raw.text.replace("\r\n", "\n") == SOURCE
    assert (await visit.get("/notes/creme-brulee", params={"version": 3})).status_code == 404
    assert (await visit.get("/notes/nothing")).status_code == 404
    assert '<li><a href="/notes/creme-brulee">Crème, brûlée!</a></li>' in (await visit.get("/")).text
