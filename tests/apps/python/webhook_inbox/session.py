import hashlib
import hmac
import json


async def session(visit, app):
    async def deliver(event, *, at=None, key=None, body=None):
        sent = json.dumps(event).encode()
        at = at or now
        signature = hmac.new((key or secret).encode(), b"%d." % at + sent, hashlib.sha256).hexdigest()
        return await visit.post("/hook", content=body or sent, headers={"x-signature": f"t={at},v1={signature}"})

    secret, now = (await visit.get("/secret")).json().values()
    assert len(secret) == 32

    paid = {"id": "evt_1", "type": "paid", "amount": 12.5, "note": "größer"}
    first = await deliver(paid)
    assert (first.status_code, first.json()) == (202, {"received": "evt_1", "duplicate": False})
    assert (await deliver(paid)).json()["duplicate"] is True
    assert (await deliver({"id": "evt_2"})).status_code == 202

    forged = await deliver({"id": "evt_3"}, key="guessed")
    assert (forged.status_code, forged.json()) == (401, {"error": "wrong signature"})
    assert (await deliver({"id": "evt_3"}, body=b'{"id": "evt_4"}')).json() == {"error": "wrong signature"}
    assert (await visit.post("/hook", json=paid)).json() == {"error": "no signature"}
    assert (await visit.post("/hook", headers={"x-signature": "t=now"})).json() == {"error": "malformed signature"}

    await app.restart()
    assert (await visit.get("/secret")).json()["secret"] == secret
    assert (await visit.get("/deliveries")).json() == [
        {"id": "evt_1", "type": "paid", "size": len(json.dumps(paid)), "head": "7B226964"},
        {"id": "evt_2", "type": "unknown", "size": 15, "head": "7B226964"},
    ]
    kept = await visit.get("/deliveries/evt_1")
    assert kept.headers["content-type"] == "application/json" and kept.json() == paid
    assert (await visit.get("/deliveries/evt_3")).status_code == 404

    # What was signed ten minutes ago comes too late.
    await app.advance("10m")
    assert (await deliver({"id": "evt_5"})).json() == {"error": "too old"}
    rejected = (await visit.get("/rejected")).json()
    assert rejected == {"wrong signature": 2, "no signature": 1, "malformed signature": 1, "too old": 1}
