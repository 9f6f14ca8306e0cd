"""A small template engine: {{ name|filter }}, {% for x in xs %}, {% if x %}, {% else %}, {% end %}."""

from .errors import TemplateError
from .filters import FILTERS, filter_function
from .parser import parse

__all__ = ["FILTERS", "Template", "TemplateError", "filter_function"]


class Template:
    def __init__(self, source: str):
        self.root = parse(source)

    def render(self, **context) -> str:
        return "".join(self.root.render(context))
