KIND = "entrypoint"

TABLE = 'name,price,note\r\n"Tea, green",2.50,"he said ""yes"""\r\nSalt,007,\r\nÖl,-3,true\r\n'


async def session(visit, app):
    table = await visit.post("/", content=TABLE.encode())
    assert table.status_code == 200 and table.headers["content-type"] == "application/json; charset=utf-8"
    assert table.headers["x-rows"] == "3"
    assert table.json() == [
        {"name": "Tea, green", "price": 2.5, "note": 'he said "yes"'},
        {"name": "Salt", "price": "007", "note": None},
        {"name": "Öl", "price": -3, "note": True},
    ]
    accept = {"accept": "image/png, text/html;q=0.5, text/markdown;q=0.9"}
    markdown = await visit.post("/", content=b"a|b,c\n1,2", headers=accept)
    assert markdown.text == "| a b | c |\n| --- | --- |\n| 1 | 2 |"

    upload = {"file": ("Größen.csv", "\ufeffa;b\n1 < 2;\"x\ny\"\n".encode(), "text/csv")}
    page = await visit.post("/", data={"separator": ";"}, files=upload, headers={"accept": "text/html"})
    assert page.text == "<table><tr><th>a</th><th>b</th></tr>\n<tr><td>1 &lt; 2</td><td>x\ny</td></tr></table>"
    assert page.headers["x-source"] == "Gr%C3%B6%C3%9Fen.csv"

    open_quote = await visit.post("/", content=b'a,b\n"1,2')
    assert open_quote.status_code == 422 and open_quote.text == "a quote is not closed\n"
    assert (await visit.post("/", content=b"a\n1,2")).text == "row 1 has 2 fields\n"
    assert (await visit.post("/", content=b"")).text == "it is empty\n"
    nothing = await visit.post("/", files={"other": (None, "text")})
    assert nothing.status_code == 422 and nothing.text == "no file in the form\n"
    assert (await visit.post("/", content=b"a", headers={"accept": "image/png"})).status_code == 406
    got = await visit.get("/")
    assert got.status_code == 405 and got.headers["allow"] == "POST"
