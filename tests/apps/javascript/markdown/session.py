KIND = "entrypoint"

TEXT = """# Ünder <Scores> #

Some *slanted*, **bold** and `**code** <b>` text
that goes on. [A link](https://example.com/?a=1&b=2) and [a trap](javascript:alert(1)

- one **two**
- 3 * 4 * 5
1) first
2. second

> quoted ~~not~~
> # inner

```python
if a < b:

    print("# no heading")
```
***
![pic](/a.png)
"""


async def session(visit, app):
    async def rendered(text, path="/"):
        answer = await visit.post(path, content=text.encode(), headers={"content-type": "text/markdown; charset=utf-8"})
        assert answer.status_code == 200
        return answer

    home = await visit.get("/")
    assert home.text == (
        '<h1 id="markdown">Markdown</h1>\n'
        "<p><em>hello from the house</em>, <strong>POST</strong> some <code>text/markdown</code>.</p>"
    )
    page = (await rendered(TEXT)).text
    assert '<h1 id="ünder-scores">Ünder &lt;Scores&gt;</h1>' in page
    assert "<em>slanted</em>, <strong>bold</strong> and <code>**code** &lt;b&gt;</code> text\nthat goes on." in page
    assert '<a href="https://example.com/?a=1&amp;b=2">A link</a>' in page
    assert 'href="javascript' not in page and "a trap" in page
    bullets = "<ul><li>one <strong>two</strong></li><li>3 * 4 * 5</li></ul>"
    assert f"{bullets}\n<ol><li>first</li><li>second</li></ol>" in page
    assert '<blockquote><p>quoted <del>not</del></p><h1 id="inner">inner</h1></blockquote>' in page
    code = '<pre><code class="language-python">if a &lt; b:\n\n    print(&quot;# no heading&quot;)</code></pre>'
    assert code + '\n<hr>\n<p><img src="/a.png" alt="pic"></p>' in page

    outline = (await rendered(TEXT.replace("\n", "\r\n"), "/outline")).json()
    assert outline == {"blocks": 8, "headings": ["1 Ünder <Scores>"]}
    assert (await rendered("")).text == ""
    assert (await rendered("<script>alert(1)</script>")).text == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"
    assert (await visit.post("/", json={"text": "x"})).status_code == 415
    assert (await visit.get("/outline")).status_code == 404
