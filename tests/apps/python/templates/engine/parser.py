import re

from engine.errors import TemplateError
from engine.filters import FILTERS

from . import nodes

TOKEN = re.compile(r"(\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\})", re.DOTALL)
EXPRESSION = re.compile(r"(?P<path>\w+(\.\w+)*)\s*(?P<filters>(\|\s*\w+\s*)*)")


def expression(text: str, line: int) -> nodes.Expression:
    found = EXPRESSION.fullmatch(text.strip())
    if not found:
        raise TemplateError(f"cannot read {text.strip()!r}", line)
    filters = [name.strip() for name in found["filters"].split("|") if name.strip()]
    for name in filters:
        if name not in FILTERS:
            raise TemplateError(f"no filter called {name}", line)
    return nodes.Expression(found["path"].split("."), filters, line)


def parse(source: str) -> nodes.Block:
    root = nodes.Block()
    stack = [(None, root)]
    line = 1
    for token in TOKEN.split(source):
        children = stack[-1][1].children
        if token.startswith("{{"):
            children.append(nodes.Output(expression(token[2:-2], line)))
        elif token.startswith("{%"):
            match token[2:-2].split(maxsplit=3):
                case ["for", name, "in", items]:
                    node = nodes.For(name, expression(items, line), nodes.Block(), nodes.Block())
                    children.append(node)
                    stack.append((node, node.body))
                case ["if", *condition]:
                    node = nodes.If(expression(" ".join(condition), line), nodes.Block(), nodes.Block())
                    children.append(node)
                    stack.append((node, node.then))
                case ["else"] if stack[-1][0] is not None:
                    node, _ = stack.pop()
                    stack.append((node, node.otherwise))
                case ["end"] if len(stack) > 1:
                    stack.pop()
                case words:
                    raise TemplateError(f"unexpected {' '.join(words)!r}", line)
        elif token and not token.startswith("{#"):
            children.append(token)
        line += token.count("\n")
    if len(stack) > 1:
        raise TemplateError("a block does not end", line)
    return root
