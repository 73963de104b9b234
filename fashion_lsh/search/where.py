"""Parse a filter of catalogue rows, for example `price < 50 and color in ('red', 'dark blue')`.

    condition   = conjunction {"or" conjunction}
    conjunction = negation {"and" negation}
    negation    = "not" negation | "(" condition ")" | comparison
    comparison  = column [("=" | "!=" | "<" | "<=" | ">" | ">=") (literal | column)
                  | ["not"] "in" "(" literal {"," literal} ")" | "is" ["not"] "null"]
    literal     = number | 'string' | "true" | "false"
    column      = name | "quoted name"

Keywords may be in upper or lower case. A quote inside quotes is doubled: 'women''s'. A boolean column alone is a
condition. The parser builds a tree and evaluates nothing; see `row_filter` for the evaluation.
"""

import re
from collections.abc import Callable
from typing import Literal, NamedTuple

from fashion_lsh.search.conditions import (
    Column,
    Comparison,
    Condition,
    IsNull,
    IsTrue,
    Junction,
    Membership,
    Negation,
    Value,
)

MAX_LENGTH = 10_000  # characters of a filter
MAX_DEPTH = 50  # nested parentheses and negations
MAX_DIGITS = 50  # characters of a number
CONTEXT = 60  # characters of the filter shown on each side of an error
KEYWORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")

_TOKENS = re.compile(
    r"""(?P<blank>\s+) | (?P<number>[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?) | (?P<name>[^\W\d]\w*)
    | (?P<string>'(?:[^']|'')*') | (?P<quoted>"(?:[^"]|"")*") | (?P<operator>!=|<=|>=|=|<|>) | (?P<mark>[(),])""",
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str  # group of _TOKENS, "keyword" or "end"
    text: str  # keywords in lower case
    position: int


def parse(text: str) -> Condition:
    """Parse a filter.

    Raises:
        ValueError: the text does not follow the grammar, is nested too deeply or too long, or a number is out of range;
            the message shows the position.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"search.where has {len(text):,} characters; pass at most {MAX_LENGTH:,}")
    parser = _Parser(text)
    condition = parser.condition(0)
    if parser.token.kind != "end":
        raise parser.expected("'and', 'or' or the end")
    return condition


def where_error(text: str, position: int, problem: str) -> ValueError:
    """Create an error that shows the surroundings of a position in the filter, with a caret below it."""
    start = max(0, position - CONTEXT)
    shown = "".join(each if each.isprintable() else " " for each in text[start : position + CONTEXT])
    return ValueError(f"search.where: {problem}\n  {shown}\n  {' ' * (position - start)}^")


class _Parser:
    """Recursive-descent parser with one token of look-ahead."""

    def __init__(self, text: str) -> None:
        self.text, self.tokens, self.next = text, _tokenize(text), 0

    @property
    def token(self) -> _Token:
        return self.tokens[self.next]

    def accept(self, *texts: str) -> _Token | None:
        """Consume the next token if it is one of these keywords, operators or marks."""
        if self.token.kind in ("keyword", "operator", "mark") and self.token.text in texts:
            self.next += 1
            return self.tokens[self.next - 1]
        return None

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise self.expected(f"'{text}'")

    def expected(self, what: str) -> ValueError:
        found = "the filter ends here" if self.token.kind == "end" else f"found {self.token.text[:CONTEXT]!r}"
        return where_error(self.text, self.token.position, f"expected {what}, {found}")

    def condition(self, depth: int) -> Condition:
        return self._junction("or", self.conjunction, depth)

    def conjunction(self, depth: int) -> Condition:
        return self._junction("and", self.negation, depth)

    def _junction(
        self, operator: Literal["and", "or"], parse_operand: Callable[[int], Condition], depth: int
    ) -> Condition:
        operands = [parse_operand(depth)]
        while self.accept(operator):
            operands.append(parse_operand(depth))
        return operands[0] if len(operands) == 1 else Junction(operator, tuple(operands))

    def negation(self, depth: int) -> Condition:
        position = self.token.position
        if depth > MAX_DEPTH:
            raise where_error(self.text, position, f"more than {MAX_DEPTH} nested parentheses and negations")
        if self.accept("not"):
            return Negation(self.negation(depth + 1))
        if self.accept("("):
            condition = self.condition(depth + 1)
            self.expect(")")
            return condition
        return self.comparison()

    def comparison(self) -> Condition:
        if self.token.kind in ("number", "string") or self.token.text in ("true", "false", "null"):
            raise self.expected("a column (the value stands on the right)")
        column = self.column()
        if operator := self.accept(*OPERATORS):
            return Comparison(column, operator.text, self.operand())
        if self.accept("is"):
            is_negated = self.accept("not")
            self.expect("null")
            return Negation(IsNull(column)) if is_negated else IsNull(column)
        is_negated = self.accept("not")
        if self.accept("in"):
            membership = Membership(column, self.values())
            return Negation(membership) if is_negated else membership
        if is_negated:
            raise self.expected("'in'")
        return IsTrue(column)

    def values(self) -> tuple[Value, ...]:
        self.expect("(")
        values = [self.value()]
        while self.accept(","):
            values.append(self.value())
        self.expect(")")
        return tuple(values)

    def operand(self) -> Column | Value:
        is_column = self.token.kind in ("name", "quoted")
        return self.column() if is_column else self.value()

    def column(self) -> Column:
        kind, text, position = self.token
        if kind not in ("name", "quoted"):
            raise self.expected("a column")
        self.next += 1
        return Column(_unquote(text) if kind == "quoted" else text, position, kind == "quoted")

    def value(self) -> Value:
        kind, text, position = self.token
        if kind == "number":
            value: float | int | str | bool = self._number(text, position)
        elif kind == "string":
            value = _unquote(text)
        elif kind == "keyword" and text in ("true", "false"):
            value = text == "true"
        elif kind == "keyword" and text == "null":
            raise where_error(self.text, position, "null equals nothing; write 'column is null' or 'is not null'")
        else:
            raise self.expected("a number, a 'string', true or false")
        self.next += 1
        return Value(value, position)

    def _number(self, text: str, position: int) -> int | float:
        number = float(text)
        is_integer = text.lstrip("+-").isdigit()
        if len(text) > MAX_DIGITS or abs(number) == float("inf") or (is_integer and abs(number) >= 2**63):
            raise where_error(self.text, position, "the number is out of range")
        return int(text) if is_integer else number


def _tokenize(text: str) -> list[_Token]:
    """Split a filter into tokens, the last of which is of the kind "end"."""
    tokens, position = [], 0
    while position < len(text):
        match = _TOKENS.match(text, position)
        if match is None:
            is_quote = text[position] in "'\""
            problem = "the quote is not closed" if is_quote else f"unexpected character {text[position]!r}"
            raise where_error(text, position, problem)
        kind, token = str(match.lastgroup), match.group()
        if kind == "name" and token.lower() in KEYWORDS:
            kind, token = "keyword", token.lower()
        if kind != "blank":
            tokens.append(_Token(kind, token, position))
        position = match.end()
    return [*tokens, _Token("end", "", len(text))]


def _unquote(text: str) -> str:
    """Remove the quotes, and undouble the quotes inside."""
    return text[1:-1].replace(2 * text[0], text[0])
