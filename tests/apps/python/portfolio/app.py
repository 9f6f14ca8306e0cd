"""A stock portfolio: trades in the house's database, the cash in our own."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from workers import DurableObject, Response


class TradeError(Exception):
    pass


@dataclass
class Position:
    symbol: str
    shares: int
    cost: int
    price: int

    @property
    def gain(self) -> Decimal:
        return Decimal(self.shares * self.price - self.cost) / 100

    def as_json(self) -> dict:
        value = Decimal(self.shares * self.price) / 100
        return {"symbol": self.symbol, "shares": self.shares, "value": f"{value:.2f}", "gain": f"{self.gain:+.2f}"}


def cents(amount) -> int:
    return int((Decimal(str(amount)) * 100).to_integral_value())


class App(DurableObject):
    async def on_start(self):
        self.db = self.env.DB
        await self.db.execute("CREATE TABLE IF NOT EXISTS quotes (symbol TEXT PRIMARY KEY, price INTEGER NOT NULL)")
        await self.db.execute(
            """CREATE TABLE IF NOT EXISTS trades (
                id INTEGER PRIMARY KEY, symbol TEXT NOT NULL REFERENCES quotes(symbol),
                shares INTEGER NOT NULL CHECK (shares <> 0), price INTEGER NOT NULL
            )"""
        )

    async def fetch(self, request):
        try:
            return Response.json(await self.answer(request))
        except TradeError as error:
            return Response.json({"error": str(error)}, status=409)
        except (KeyError, InvalidOperation, ValueError) as error:
            return Response.json({"error": f"bad request: {error!r}"}, status=400)

    async def answer(self, request):
        match request.method, request.path.strip("/").split("/"):
            case "PUT", ["quotes", symbol]:
                price = cents(await request.text())
                await self.db.execute("INSERT OR REPLACE INTO quotes VALUES (?, ?)", symbol.upper(), price)
                return {"symbol": symbol.upper(), "price": price}
            case "POST", ["deposit"]:
                self.add_cash(cents((await request.json())["amount"]))
                return {"cash": self.cash}
            case "POST", ["buy" | "sell" as side]:
                data = await request.json()
                shares = int(data["shares"])
                if shares <= 0:
                    raise ValueError("a positive number of shares")
                return await self.trade(data["symbol"].upper(), shares if side == "buy" else -shares)
            case "GET", ["portfolio"]:
                positions = await self.positions()
                return {"cash": self.cash, "positions": [position.as_json() for position in positions]}
            case "GET", ["trades"]:
                return await self.db.query("SELECT symbol, shares FROM trades ORDER BY id DESC LIMIT ?", 50)
        raise ValueError("no such page")

    @property
    def cash(self) -> str:
        return f"{Decimal(self.ctx.storage.kv.get('cash', 0)) / 100:.2f}"

    def add_cash(self, amount: int) -> None:
        cash = self.ctx.storage.kv.get("cash", 0) + amount
        if cash < 0:
            raise TradeError("not enough cash")
        self.ctx.storage.kv.put("cash", cash)

    async def trade(self, symbol: str, shares: int) -> dict:
        async with self.ctx.storage.transaction():
            quotes = await self.db.query("SELECT price FROM quotes WHERE symbol = ?", symbol)
            if not quotes:
                raise TradeError(f"no quote for {symbol}")
            price = quotes[0]["price"]
            self.add_cash(-shares * price)
            held = await self.db.query("SELECT COALESCE(SUM(shares), 0) AS n FROM trades WHERE symbol = ?", symbol)
            if held[0]["n"] + shares < 0:
                raise TradeError(f"you have only {held[0]['n']} of {symbol}")
            await self.db.execute("INSERT INTO trades (symbol, shares, price) VALUES (?, ?, ?)", symbol, shares, price)
        return {"cash": self.cash, "shares": held[0]["n"] + shares}

    async def positions(self) -> list[Position]:
        rows = await self.db.query(
            """SELECT symbol, SUM(shares) AS shares, SUM(shares * t.price) AS cost, q.price
               FROM trades t JOIN quotes q USING (symbol) GROUP BY symbol HAVING SUM(shares) > 0 ORDER BY symbol"""
        )
        return [Position(**row) for row in rows]
