from __future__ import annotations

STOCK = (
    "\ufeffsku,name,quantity,price\r\n"
    'A1,"Bolt, small",10,0.25\r\nB2,"Nut ""M4""",many,0.10\r\nC3,Schraube ä,3,1.10\r\n'
)


async def session(visit, app):
    assert "multipart/form-data" in (await visit.get("/")).text
    assert (await visit.get("/value")).json() == {"value": "0.00"}

    result = await visit.post("/import", files={"file": ("stock.csv", STOCK.encode(), "text/csv")})
    assert result.status_code == 200
    assert result.json() == {"file": "stock.csv", "imported": 2, "errors": [{"line": 3, "sku": "B2"}]}
    assert (await visit.get("/value")).json() == {"value": "5.80"}

    again = "sku,name,quantity,price\nA1,Bolt,20,0.25\n"
    await visit.post("/import", files={"file": ("more.csv", again.encode(), "text/csv")})

    link = (await visit.get("/share", params={"minutes": 5})).json()["url"]
    assert (await visit.get(link)).text.startswith("sku,name,quantity,price")
    assert (await visit.get(link + "0")).status_code == 403
    assert (await visit.get("/shared.csv")).status_code == 403

    await app.restart()

    assert (await visit.get(link)).status_code == 200

    exported = await visit.get("/export.csv")
    assert exported.headers["content-type"] == "text/csv; charset=utf-8"
    assert 'filename="stock.csv"' in exported.headers["content-disposition"]
    assert exported.text.splitlines() == ["sku,name,quantity,price", "A1,Bolt,20,0.25", "C3,Schraube ä,3,1.10"]

    wrong_columns = await visit.post("/import", files={"file": ("x.csv", b"sku,label\n1,2\n", "text/csv")})
    assert wrong_columns.status_code == 400
    assert wrong_columns.json() == {"error": "missing columns: name, quantity, price"}
    latin = await visit.post("/import", files={"file": ("latin.csv", "sku,näme\n".encode("latin-1"), "text/csv")})
    assert latin.json() == {"error": "latin.csv is not UTF-8"}
    assert (await visit.post("/import", data={"file": "just text"})).status_code == 400
    assert (await visit.post("/import", files={"other": ("x.csv", b"1", "text/csv")})).status_code == 400
    assert (await visit.get("/import")).status_code == 405

    await app.advance("6m")
    assert (await visit.get(link)).status_code == 410
