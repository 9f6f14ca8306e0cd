"""Formulas: + - * / ^, parentheses, cells, and functions of ranges. A recursive descent parser."""

import re

from functions import FUNCTIONS

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|([A-Z][1-9][0-9]?:[A-Z][1-9][0-9]?)|([A-Z]+\d*)|(.))")


class FormulaError(Exception):
    pass


def evaluate(text, sheet):
    parser = Parser(text.upper().strip(), sheet)
    result = parser.sum()
    if parser.peek():
        raise FormulaError("#SYNTAX")
    return round(result, 10) if isinstance(result, float) else result


class Parser:
    def __init__(self, text, sheet):
        self.tokens = [match.groups() for match in TOKEN.finditer(text)]
        self.position = 0
        self.sheet = sheet

    def peek(self):
        if self.position >= len(self.tokens):
            return ""
        return next(group for group in self.tokens[self.position] if group)

    def take(self, *wanted):
        token = self.peek()
        if not token or (wanted and token not in wanted):
            raise FormulaError("#SYNTAX")
        self.position += 1
        return token

    def sum(self):
        value = self.product()
        while self.peek() in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self):
        value = self.power()
        while self.peek() in ("*", "/"):
            value = value * self.power() if self.take() == "*" else value / self.power()
        return value

    def power(self):
        base = self.atom()
        if self.peek() == "^":
            self.take()
            return base ** self.power()
        return base

    def atom(self):
        token = self.take()
        if token == "-":
            return -self.atom()
        if token == "(":
            value = self.sum()
            self.take(")")
            return value
        if token[0].isdigit():
            return float(token) if "." in token else int(token)
        if token in FUNCTIONS:
            return self.call(FUNCTIONS[token])
        if re.fullmatch(r"[A-Z][1-9][0-9]?", token):
            return as_number(self.sheet.value(token))
        raise FormulaError("#NAME" if token.isalnum() else "#SYNTAX")

    def call(self, function):
        self.take("(")
        arguments = []
        while self.peek() != ")":
            if arguments:
                self.take(",", ";")
            if ":" in self.peek():
                arguments.extend(self.sheet.block(*self.take().split(":")))
            else:
                arguments.append(self.sum())
        self.take(")")
        for argument in arguments:
            if isinstance(argument, str) and argument.startswith("#"):
                raise FormulaError(argument)
        return function([argument for argument in arguments if not isinstance(argument, str)])


def as_number(value):
    if isinstance(value, str):
        if value.startswith("#"):
            raise FormulaError(value)
        if value:
            raise FormulaError("#VALUE")
        return 0
    return value
