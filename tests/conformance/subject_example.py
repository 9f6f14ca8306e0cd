"""The smallest subject: what a topic's own file looks like."""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201

import time

from perdure import DurableObject


class Subject(DurableObject):
    def add(self, amount):
        total = self.ctx.storage.kv.get("total", 0) + amount
        self.ctx.storage.kv.put("total", total)
        return total

    def now(self):
        return int(time.time() * 1000)
