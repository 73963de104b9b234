"""Tree of a parsed filter (see `where`)."""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Column(NamedTuple):
    """Name of a column; `is_quoted`: written as "name". `position`: offset in the text of the filter, as below."""

    name: str
    position: int
    is_quoted: bool = False


class Value(NamedTuple):
    """Literal: a number, string or boolean."""

    value: float | int | str | bool
    position: int


@dataclass(frozen=True)
class Comparison:
    """Comparison of a column with a literal or another column."""

    column: Column
    operator: str
    operand: Column | Value


@dataclass(frozen=True)
class Membership:
    """`column in (…)`."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True)
class IsNull:
    """`column is null`."""

    column: Column


@dataclass(frozen=True)
class IsTrue:
    """Boolean column as a condition."""

    column: Column


@dataclass(frozen=True)
class Negation:
    """`not condition`."""

    operand: "Condition"


@dataclass(frozen=True)
class Junction:
    """Two or more conditions, combined by `and` or by `or`."""

    operator: Literal["and", "or"]
    operands: tuple["Condition", ...]


Condition = Comparison | Membership | IsNull | IsTrue | Negation | Junction
