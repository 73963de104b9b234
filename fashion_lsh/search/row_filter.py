"""Evaluate a filter on the rows of a catalogue by functions of `pyarrow.compute`.

Nulls follow SQL: a comparison with null is null, `not`, `and` and `or` use three-valued (Kleene) logic, and a row
passes if the condition is true. NaN is null.
"""

from collections.abc import Callable
from difflib import get_close_matches
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

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
from fashion_lsh.search.where import parse, where_error

COMPARE: dict[str, Callable[..., Any]] = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip


def matching_rows(text: str, table: pa.Table) -> np.ndarray:
    """Select the rows of a table that pass a filter: (n,) int64, ascending.

    Raises:
        ValueError: the filter does not follow the grammar (see `where`), a column is unknown, or a column is compared
            with a value of another type; the message shows the position.
    """
    condition = parse(text)
    try:
        mask = _Evaluation(text, table).mask(condition)
    except pa.ArrowException as error:  # for example an integer that the type of the column cannot represent
        raise where_error(text, 0, f"a value cannot be compared with its column ({error})") from error
    return np.flatnonzero(mask.fill_null(False).to_numpy(zero_copy_only=False))


class _Evaluation:
    """Evaluation of the conditions of one filter on one table."""

    def __init__(self, text: str, table: pa.Table) -> None:
        self.text, self.table = text, table

    def mask(self, condition: Condition) -> pa.Array:
        """Evaluate a condition: (N,) boolean with nulls."""
        match condition:
            case Junction(operator, operands):
                combine = pc.and_kleene if operator == "and" else pc.or_kleene
                return reduce(combine, map(self.mask, operands))
            case Negation(operand):
                return pc.invert(self.mask(operand))
            case IsNull(column):
                return pc.is_null(self.column(column))
            case IsTrue(column):
                return self.boolean(column)
            case Membership(column, values):
                return self.membership(column, values)
            case Comparison():
                return self.comparison(condition)

    def boolean(self, column: Column) -> pa.Array:
        values = self.column(column)
        if kind(values.type) not in ("boolean", "null"):
            problem = f"column {column.name!r} ({values.type}) is not a condition; compare it with a value"
            raise where_error(self.text, column.position, problem)
        return values.cast(pa.bool_())

    def comparison(self, condition: Comparison) -> pa.Array:
        left, operator, operand = self.column(condition.column), condition.operator, condition.operand
        if isinstance(operand, Column):
            right: Any = self.column(operand)
        else:
            right = pa.scalar(operand.value)
        self.check_kinds(condition.column, left.type, right.type, operand)
        if operator not in ("=", "!=") and "boolean" in (kind(left.type), kind(right.type)):
            problem = f"column {condition.column.name!r} is true or false; compare it by = or !="
            raise where_error(self.text, condition.column.position, problem)
        common = common_type(left.type, right.type, isinstance(operand, Value))
        return COMPARE[operator](left.cast(common), right.cast(common))

    def membership(self, column: Column, values: tuple[Value, ...]) -> pa.Array:
        cells = self.column(column)
        for value in values:
            self.check_kinds(column, cells.type, pa.scalar(value.value).type, value)
        common = cells.type
        for value in values:
            common = common_type(common, pa.scalar(value.value).type, is_literal=True)
        value_set = pa.array([value.value for value in values]).cast(common)
        cells = cells.cast(common)
        return pc.if_else(pc.is_valid(cells), pc.is_in(cells, value_set=value_set), pa.scalar(None, pa.bool_()))

    def check_kinds(self, column: Column, left: pa.DataType, right: pa.DataType, operand: Column | Value) -> None:
        """Raise ValueError if a column is compared with an operand of another kind."""
        kinds = kind(left), kind(right)
        if kinds[0] != kinds[1] and "null" not in kinds:
            other = f"column {operand.name!r}" if isinstance(operand, Column) else f"the value {operand.value!r}"
            problem = f"column {column.name!r} has {kinds[0]} values, but {other} is a {kinds[1]}"
            raise where_error(self.text, operand.position, problem)

    def column(self, column: Column) -> pa.Array:
        """Return a column, (N,), with null instead of NaN."""
        names = self.table.column_names
        if column.name not in names:
            similar = get_close_matches(column.name, names, cutoff=0.5)
            problem = f"unknown column {column.name[:100]!r}; "
            problem += f"similar columns: {', '.join(similar)}" if similar else f"columns: {', '.join(names)}"
            problem += "; a string has single quotes: 'red'" if column.is_quoted else ""
            raise where_error(self.text, column.position, problem)
        values = self.table[column.name].combine_chunks()
        if types.is_floating(values.type):
            return pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        return values


def kind(dtype: pa.DataType) -> str:
    """Return `number`, `string`, `boolean` or `null`, the types of a catalogue."""
    if types.is_integer(dtype) or types.is_floating(dtype):
        return "number"
    return "string" if types.is_string(dtype) else "boolean" if types.is_boolean(dtype) else "null"


def common_type(left: pa.DataType, right: pa.DataType, is_literal: bool) -> pa.DataType:
    """Type in which a column and its operand are compared; of a literal, a float column keeps its precision."""
    if types.is_null(left):  # a column without values, which has no type yet
        return pa.int64() if types.is_null(right) else right
    if left == right or types.is_null(right) or (is_literal and types.is_floating(left)):
        return left
    return pa.float64()
