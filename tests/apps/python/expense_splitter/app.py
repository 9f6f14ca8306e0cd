"""Split the expenses of a trip: who owes whom how much."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from html import escape

from workers import DurableObject, Response

CENT = Decimal("0.01")


@dataclass(frozen=True)
class Transfer:
    debtor: str
    creditor: str
    amount: Decimal

    def as_json(self) -> dict[str, str]:
        return {"from": self.debtor, "to": self.creditor, "amount": f"{self.amount:.2f}"}


def shares(amount: Decimal, people: list[str]) -> dict[str, Decimal]:
    """Equal shares to the cent; the first ones pay the cents that are left."""
    base = (amount / len(people)).quantize(CENT, rounding=ROUND_DOWN)
    left = int((amount - base * len(people)) / CENT)
    return {person: base + (CENT if position < left else 0) for position, person in enumerate(people)}


def settle(balances: dict[str, Decimal]) -> list[Transfer]:
    """Few transfers: whoever owes most pays whoever gets most."""
    balances = {person: balance for person, balance in balances.items() if balance}
    transfers = []
    while balances:
        debtor = min(balances, key=lambda person: (balances[person], person))
        creditor = max(balances, key=lambda person: (balances[person], person))
        amount = min(-balances[debtor], balances[creditor])
        transfers.append(Transfer(debtor, creditor, amount))
        balances[debtor] += amount
        balances[creditor] -= amount
        balances = {person: balance for person, balance in balances.items() if balance}
    return transfers


class App(DurableObject):
    def on_start(self):
        self.ctx.storage.sql.exec(
            "CREATE TABLE IF NOT EXISTS expenses (id INTEGER PRIMARY KEY, payer TEXT, amount TEXT, what TEXT)"
        )

    async def fetch(self, request):
        route = f"{request.method} {request.path}"
        if route == "PUT /people":
            people = sorted(set(await request.json()))
            self.ctx.storage.kv.put("people", people)
            return Response.json(people)
        if route == "POST /expenses":
            return self.add_expense(await request.json())
        if route == "GET /settlement":
            return Response.json([transfer.as_json() for transfer in settle(self.balances())])
        if route == "GET /balances":
            return Response.json({person: str(balance) for person, balance in self.balances().items()})
        if route == "GET /":
            return self.page()
        return Response.json({"error": f"no {route}"}, status=404)

    @property
    def people(self) -> list[str]:
        return self.ctx.storage.kv.get("people", [])

    def add_expense(self, data):
        try:
            payer, what = data["payer"], data.get("what", "something")
            amount = Decimal(str(data["amount"])).quantize(CENT)
        except (KeyError, InvalidOperation) as error:
            return Response.json({"error": f"bad expense: {error!r}"}, status=400)
        if payer not in self.people:
            return Response.json({"error": f"{payer} is not one of you"}, status=422)
        if amount <= 0:
            return Response.json({"error": "an expense costs something"}, status=422)
        self.ctx.storage.sql.exec(
            "INSERT INTO expenses (payer, amount, what) VALUES (?, ?, ?)", payer, str(amount), what
        )
        return Response.json({"total": str(self.total())}, status=201)

    def expenses(self):
        return self.ctx.storage.sql.exec("SELECT * FROM expenses ORDER BY id").all()

    def total(self) -> Decimal:
        return sum((Decimal(expense["amount"]) for expense in self.expenses()), start=Decimal(0))

    def balances(self) -> dict[str, Decimal]:
        balances: dict[str, Decimal] = defaultdict(Decimal)
        for expense in self.expenses():
            amount = Decimal(expense["amount"])
            balances[expense["payer"]] += amount
            for person, share in shares(amount, self.people).items():
                balances[person] -= share
        return dict(sorted(balances.items()))

    def page(self):
        rows = "".join(
            f"<tr><td>{escape(e['what'])}</td><td>{escape(e['payer'])}</td><td>{Decimal(e['amount']):,.2f} €</td>"
            for e in self.expenses()
        )
        return Response.html(f"<h1>Expenses</h1><table>{rows}</table><p>Total: {self.total():,.2f} €</p>")
