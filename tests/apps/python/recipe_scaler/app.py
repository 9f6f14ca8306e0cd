"""Recipes, scaled to the number of people: fractions for cups, decimals for grams."""

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import total_ordering
from html import escape
from unicodedata import normalize

from workers import DurableObject, Response

AMOUNT = r"(?P<amount>\d+\s+\d+/\d+|\d+/\d+|\d+(?:\.\d+)?)"
LINE = re.compile(rf"{AMOUNT}?\s*(?P<unit>cups?|tsp|tbsp|kg|g|ml|l)?\b\s*(?P<name>.+)", re.IGNORECASE)
METRIC = {"g", "kg", "ml", "l"}
VULGAR = {Fraction(1, 2): "½", Fraction(1, 3): "⅓", Fraction(2, 3): "⅔", Fraction(1, 4): "¼", Fraction(3, 4): "¾"}
LARGER = {"g": ("kg", 1000), "ml": ("l", 1000), "tsp": ("tbsp", 3)}


def parse_amount(text: str) -> Fraction:
    return sum((Fraction(part) for part in text.split()), start=Fraction(0))


@total_ordering
@dataclass(frozen=True, eq=True)
class Ingredient:
    name: str
    amount: Fraction | None = None
    unit: str = ""

    @classmethod
    def parse(cls, line: str) -> "Ingredient":
        line = normalize("NFKC", re.sub(r"(\d)([½⅓⅔¼¾])", r"\1 \2", line)).replace("\N{FRACTION SLASH}", "/").strip()
        found = LINE.fullmatch(line)
        if not found or not found["amount"]:
            return cls(line)
        return cls(found["name"], parse_amount(found["amount"]), (found["unit"] or "").lower())

    def __lt__(self, other: "Ingredient") -> bool:
        return (self.amount is None, self.name.lower()) < (other.amount is None, other.name.lower())

    def scaled(self, factor: Fraction) -> "Ingredient":
        if self.amount is None:
            return self
        amount, unit = self.amount * factor, self.unit
        while unit in LARGER and amount >= LARGER[unit][1]:
            unit, step = LARGER[unit]
            amount /= step
        return Ingredient(self.name, amount, unit)

    def __str__(self) -> str:
        if self.amount is None:
            return self.name
        if self.unit in METRIC:
            exact = Decimal(self.amount.numerator) / Decimal(self.amount.denominator)
            number = f"{exact.quantize(Decimal('0.01'), ROUND_HALF_UP).normalize():f}"
        else:
            whole, rest = divmod(self.amount, 1)
            rest = rest.limit_denominator(16)
            part = VULGAR.get(rest, str(rest)) if rest else ""
            number = f"{whole or ''}{' ' if whole and len(part) > 1 else ''}{part}" or "0"
        return " ".join(filter(None, (number, self.unit, self.name)))


class App(DurableObject):
    async def fetch(self, request):
        name = request.path.strip("/")
        if request.method == "PUT":
            return self.save(name, await request.json())
        recipe = await self.ctx.storage.get(f"recipe:{name}")
        if recipe is None:
            return Response.json({"error": f"no recipe called {name}"}, status=404)
        try:
            people = Fraction(request.query.get("for", str(recipe["serves"])))
        except (ValueError, ZeroDivisionError):
            people = Fraction(0)
        if people <= 0:
            return Response.json({"error": "for how many?"}, status=400)
        factor = people / recipe["serves"]
        ingredients = sorted(Ingredient.parse(line).scaled(factor) for line in recipe["ingredients"])
        if "text/html" in request.headers.get("accept", ""):
            items = "".join(f"<li>{escape(str(ingredient))}" for ingredient in ingredients)
            return Response.html(f"<h1>{escape(name.title())} for {people}</h1><ul>{items}</ul>")
        return Response.json({"factor": str(factor), "ingredients": [str(ingredient) for ingredient in ingredients]})

    def save(self, name: str, data: dict):
        match data:
            case {"serves": int(serves), "ingredients": [str(), *_] as lines} if serves > 0:
                self.ctx.storage.kv.put(f"recipe:{name}", {"serves": serves, "ingredients": lines})
                return Response.json({"saved": name, "ingredients": len(lines)}, status=201)
        return Response.json({"error": "a recipe serves somebody and has ingredients"}, status=422)
