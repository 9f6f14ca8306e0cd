"""A double-entry ledger. Amounts are whole cents; money is moved, never made, except by deposits."""

from datetime import UTC, datetime

from workers import DurableObject, Response


class Refused(Exception):
    pass


class App(DurableObject):
    def __init__(self, ctx, env):
        super().__init__(ctx, env)
        self.sql = ctx.storage.sql
        self.sql.exec("""
            CREATE TABLE IF NOT EXISTS accounts (
                name TEXT PRIMARY KEY,
                balance INTEGER NOT NULL DEFAULT 0 CHECK (balance >= 0)
            );
            CREATE TABLE IF NOT EXISTS entries (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                at TEXT NOT NULL,
                source TEXT,
                target TEXT NOT NULL REFERENCES accounts(name),
                amount INTEGER NOT NULL CHECK (amount > 0)
            );
        """)

    async def fetch(self, request):
        route = (request.method, request.path)
        try:
            if route == ("POST", "/accounts"):
                return self.open_account(await request.json())
            if route == ("POST", "/deposits"):
                body = await request.json()
                self.move_all([{"from": None, "to": body["account"], "amount": body["amount"]}])
                return Response.json({"ok": True}, status=201)
            if route == ("POST", "/transfers"):
                transfers = (await request.json())["transfers"]
                self.move_all(transfers)
                return Response.json({"ok": True, "moved": len(transfers)}, status=201)
        except (ValueError, KeyError, TypeError):
            return Response.json({"error": "malformed request"}, status=400)
        except Refused as error:
            return Response.json({"error": str(error)}, status=409)
        if route == ("GET", "/balances"):
            rows = self.sql.exec("SELECT name, balance FROM accounts ORDER BY name")
            return Response.json({row["name"]: row["balance"] for row in rows})
        if route == ("GET", "/audit"):
            return Response.json(self.audit())
        if request.path.startswith("/statements/"):
            name = request.path.rsplit("/", 1)[1]
            rows = self.sql.exec("SELECT * FROM entries WHERE source = ?1 OR target = ?1 ORDER BY id", name).to_array()
            return Response.json(rows)
        return Response.json({"error": "not found"}, status=404)

    def open_account(self, body):
        if self.sql.exec("SELECT count(*) AS n FROM accounts WHERE name = ?", body["name"]).one()["n"]:
            raise Refused("account exists")
        self.sql.exec("INSERT INTO accounts (name) VALUES (?)", body["name"])
        return Response.json({"name": body["name"], "balance": 0}, status=201)

    def move_all(self, transfers):
        """All of the transfers, or none."""
        with self.ctx.storage.transaction_sync():
            for transfer in transfers:
                self.move(transfer["from"], transfer["to"], transfer["amount"])

    def move(self, source, target, amount):
        if not isinstance(amount, int) or isinstance(amount, bool) or amount <= 0:
            raise ValueError("amounts are positive whole cents")
        # The target first: when the source has too little, this is what must be undone.
        update = "UPDATE accounts SET balance = balance + ? WHERE name = ? RETURNING balance"
        if not self.sql.exec(update, amount, target).all():
            raise Refused(f"no account {target}")
        if source is not None:
            balance = self.sql.exec("SELECT balance FROM accounts WHERE name = ?", source).scalar()
            if balance is None:
                raise Refused(f"no account {source}")
            if balance < amount:
                raise Refused(f"{source} has only {balance}")
            self.sql.exec("UPDATE accounts SET balance = balance - ? WHERE name = ?", amount, source)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        insert = "INSERT INTO entries (at, source, target, amount) VALUES (?, ?, ?, ?)"
        self.sql.exec(insert, now, source, target, amount)

    def audit(self):
        total = self.sql.exec("SELECT COALESCE(SUM(balance), 0) AS n FROM accounts").one()["n"]
        deposited = self.sql.exec("SELECT COALESCE(SUM(amount), 0) AS n FROM entries WHERE source IS NULL").one()["n"]
        return {"total": total, "deposited": deposited, "balanced": total == deposited}
