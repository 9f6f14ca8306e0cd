from collections.abc import Iterator
from dataclasses import dataclass, field

from .errors import TemplateError
from .filters import FILTERS, to_html


@dataclass
class Expression:
    path: list[str]
    filters: list[str]
    line: int

    def evaluate(self, context):
        value = context
        for step in self.path:
            try:
                value = value[int(step)] if isinstance(value, list) else value[step]
            except (KeyError, IndexError, TypeError, ValueError):
                raise TemplateError(f"{'.'.join(self.path)} is unknown", self.line) from None
        for name in self.filters:
            value = FILTERS[name](value)
        return value


@dataclass
class Block:
    children: list = field(default_factory=list)

    def render(self, context) -> Iterator[str]:
        for child in self.children:
            yield from [child] if isinstance(child, str) else child.render(context)


@dataclass
class Output:
    expression: Expression

    def render(self, context):
        yield to_html(self.expression.evaluate(context))


@dataclass
class If:
    condition: Expression
    then: Block
    otherwise: Block

    def render(self, context):
        yield from (self.then if self.condition.evaluate(context) else self.otherwise).render(context)


@dataclass
class For:
    name: str
    items: Expression
    body: Block
    otherwise: Block

    def render(self, context):
        items = list(self.items.evaluate(context))
        for number, item in enumerate(items, start=1):
            yield from self.body.render({**context, self.name: item, "loop": {"number": number, "total": len(items)}})
        if not items:
            yield from self.otherwise.render(context)
