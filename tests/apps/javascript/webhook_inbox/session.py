import hashlib
import hmac
import json


async def session(visit, app):
    made = await visit.post("/sources", json={"name": "shop"})
    assert made.status_code == 201 and made.json()["hook"] == "/hooks/shop"
    secret = made.json()["secret"].encode()
    assert len(secret) == 64
    assert (await visit.post("/sources", json={"name": "shop"})).status_code == 409
    assert (await visit.post("/sources", json={"name": "a/b"})).status_code == 400

    async def deliver(body, delivery, key=secret, to="/hooks/shop"):
        signature = "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()
        return await visit.post(to, content=body, headers={"x-signature-256": signature, "x-delivery": delivery})

    paid = json.dumps({"event": "order.paid", "café": "€ 5"}, ensure_ascii=False).encode()
    assert (await deliver(paid, "d1")).json() == {"id": "d1", "duplicate": False}
    await app.restart()
    again = await deliver(paid, "d1")
    assert again.status_code == 200 and again.json()["duplicate"] is True
    assert (await deliver(b'{"x": 1}', "d2")).status_code == 202

    forged = await deliver(paid, "d3", key=b"guessed")
    assert forged.status_code == 403 and forged.text == "Signature does not match"
    assert (await visit.post("/hooks/shop", content=paid)).status_code == 401
    odd = await visit.post("/hooks/shop", content=paid, headers={"x-signature-256": "sha256=abc"})
    assert odd.status_code == 401
    assert (await deliver(paid, "d4", to="/hooks/other")).status_code == 404
    assert (await deliver(b"{", "d5")).text == "Not JSON: SyntaxError"
    assert (await deliver(b'"\xff"', "d6")).text == "Not JSON: TypeError"

    inbox = (await visit.get("/inbox/shop")).json()
    assert inbox == [
        {"id": "d1", "event": "order.paid", "size": len(paid)},
        {"id": "d2", "event": None, "size": 8},
    ]
    body = await visit.get("/inbox/shop/d1")
    assert body.content == paid and body.headers["x-bytes"] == str(len(paid))
    assert (await visit.get("/inbox/other/d1")).status_code == 404
