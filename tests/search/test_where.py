"""Grammar and evaluation of filters against a Python evaluator, and messages for invalid and hostile filters."""

import operator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from fashion_lsh.search.row_filter import matching_rows
from fashion_lsh.search.where import KEYWORDS, MAX_DEPTH, MAX_LENGTH, parse

COLUMNS = {  # name -> (type, cells)
    "price": (pa.int64(), st.integers(-3, 3)),
    "list price": (pa.float64(), st.sampled_from([-1.5, 0.0, 0.5, 2.0, float("nan")])),
    "weight": (pa.float32(), st.sampled_from([0.1, 0.2, 2.0, float("nan")])),
    "color": (pa.string(), st.sampled_from(["", "red", "women's", "Größe \n", '"', "zz"])),
    'quo"te': (pa.string(), st.sampled_from(["red", "b"])),
    "sale": (pa.bool_(), st.booleans()),
    "or": (pa.bool_(), st.booleans()),
    "empty": (pa.null(), st.none()),
}
KINDS = {"number": ("price", "list price", "weight"), "string": ("color", 'quo"te'), "boolean": ("sale", "or")}
LITERALS: dict[str, Any] = {
    "number": st.one_of(st.integers(-3, 3), st.sampled_from([-1.5, 0.1, 0.2, 0.5, 2.0, 1e300])),
    "string": COLUMNS["color"][1],
    "boolean": st.booleans(),
}
OPERATORS: dict[str, Any] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
EQUALITY = ("=", "!=")


def literals(kind: str) -> st.SearchStrategy[Value]:
    return st.builds(Value, LITERALS[kind], st.just(0))


def columns(*names: str) -> st.SearchStrategy[Column]:
    return st.builds(Column, st.sampled_from(names), st.just(0))


@st.composite
def comparisons(draw: st.DrawFn) -> Condition:
    kind = draw(st.sampled_from(list(KINDS)))
    column = draw(columns(*KINDS[kind], "empty"))
    form = draw(st.sampled_from(["literal", "column", "in", "null", "true"]))
    if form == "in":
        return Membership(column, tuple(draw(st.lists(literals(kind), min_size=1, max_size=3))))
    if form == "null":
        return IsNull(column)
    if form == "true":
        return IsTrue(draw(columns(*KINDS["boolean"], "empty")))
    compare = draw(st.sampled_from(EQUALITY if kind == "boolean" else list(OPERATORS)))
    return Comparison(column, compare, draw(literals(kind) if form == "literal" else columns(*KINDS[kind], "empty")))


def extend(conditions: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    operands = st.lists(conditions, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Negation, conditions),
        st.builds(Junction, st.sampled_from(["and", "or"]), operands),  # type: ignore[arg-type]
    )


trees = st.recursive(comparisons(), extend, max_leaves=8)


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    count = draw(st.integers(0, 6))
    cells = {
        name: draw(st.lists(st.one_of(values, st.none()), min_size=count, max_size=count))
        for name, (_, values) in COLUMNS.items()
    }
    return pa.table({name: pa.array(cells[name], dtype) for name, (dtype, _) in COLUMNS.items()})


def print_condition(tree: Condition, keyword: Any = str) -> str:
    """Write a condition in the grammar, with all parentheses; `keyword` changes the case of keywords."""
    match tree:
        case Junction(name, operands):
            return f" {keyword(name)} ".join(f"({print_condition(each, keyword)})" for each in operands)
        case Negation(operand):
            return f"{keyword('not')} ({print_condition(operand, keyword)})"
        case IsNull(column):
            return f"{print_name(column)} {keyword('is')} {keyword('null')}"
        case IsTrue(column):
            return print_name(column)
        case Membership(column, values):
            return f"{print_name(column)} {keyword('in')} ({', '.join(print_value(each) for each in values)})"
        case Comparison(column, name, operand):
            right = print_name(operand) if isinstance(operand, Column) else print_value(operand)
            return f"{print_name(column)}{name}{right}"


def print_name(column: Column) -> str:
    if column.name.isidentifier() and column.name not in KEYWORDS:
        return column.name
    return '"' + column.name.replace('"', '""') + '"'


def print_value(value: Value) -> str:
    if isinstance(value.value, str):
        return "'" + value.value.replace("'", "''") + "'"
    return repr(value.value).lower()


def cell(row: dict[str, Any], name: str) -> Any:
    """Cell of a row; NaN is None."""
    return None if row[name] != row[name] else row[name]


def operand_value(row: dict[str, Any], column: Column, operand: Column | Value) -> Any:
    """Value of an operand; a literal has the precision of a float32 column."""
    value = cell(row, operand.name) if isinstance(operand, Column) else operand.value
    if column.name == "weight" and isinstance(operand, Value):
        with np.errstate(over="ignore"):
            return float(np.float32(value))
    return value


def evaluate(tree: Condition, row: dict[str, Any]) -> bool | None:
    """Evaluate a condition on one row by three-valued logic."""
    match tree:
        case Junction(name, operands):
            values = [evaluate(each, row) for each in operands]
            decisive = name == "or"
            return decisive if decisive in values else None if None in values else not decisive
        case Negation(operand):
            value = evaluate(operand, row)
            return None if value is None else not value
        case IsNull(column):
            return cell(row, column.name) is None
        case IsTrue(column):
            return cell(row, column.name)
        case Membership(column, values):
            left = cell(row, column.name)
            return None if left is None else left in [operand_value(row, column, each) for each in values]
        case Comparison(column, name, operand):
            left, right = cell(row, column.name), operand_value(row, column, operand)
            return None if left is None or right is None else OPERATORS[name](left, right)


@given(trees, tables(), st.sampled_from([str, str.upper, str.title]))
@settings(max_examples=250, deadline=None)
def test_printed_conditions_select_the_rows_of_a_python_evaluator(tree: Condition, table: pa.Table, case: Any) -> None:
    rows = matching_rows(print_condition(tree, case), table)
    assert rows.dtype == np.int64
    assert rows.tolist() == [number for number, row in enumerate(table.to_pylist()) if evaluate(tree, row) is True]


def without_positions(tree: Any) -> Any:
    match tree:
        case Column():
            return tree.name
        case Value():
            return tree.value
        case Junction(name, operands):
            return name, [without_positions(each) for each in operands]
        case Negation(operand):
            return "not", without_positions(operand)
        case IsNull() | IsTrue():
            return type(tree).__name__, tree.column.name
        case Membership(column, values):
            return column.name, [each.value for each in values]
        case Comparison(column, name, operand):
            return column.name, name, without_positions(operand)


@given(trees)
@settings(max_examples=100, deadline=None)
def test_parsing_is_the_inverse_of_printing(tree: Condition) -> None:
    assert without_positions(parse(print_condition(tree))) == without_positions(tree)


@pytest.mark.parametrize(("text", "same"), [
    ("a or b and c", "a or (b and c)"), ("not a and b", "(not a) and b"), ("not a = 1 or b", "(not (a = 1)) or b"),
    ("a not in (1)", "not (a in (1))"), ("a is not null", "not (a is null)"), ("a=1and b", "a = 1 and b"),
    ("a\n=\t-1.5e+1", "a = -15.0"), ("a = .5", "a = 0.5"), ("größe = 1", '"größe" = 1'), ("NOT NOT a", "not (not a)"),
])  # fmt: skip
def test_precedence_and_short_forms(text: str, same: str) -> None:
    assert without_positions(parse(text)) == without_positions(parse(same))


TABLE = pa.table({"price": [1, 2], "color": ["red", "blue"], "sale": [True, False], "list price": [1.5, 2.5]})


@pytest.mark.parametrize(("text", "position", "named"), [
    ("", 0, "ends here"), ("price", 0, "'price'"), ("price <", 7, "ends here"), ("prize < 5", 0, "'prize'.*price"),
    ("colour = 'red'", 0, "'colour'.*color"), ('color = "red"', 8, "'red'.*single quotes"),
    ("color < 5", 8, "'color'.*string.*5"), ("price = '5'", 8, "'price'.*number.*'5'"), ("color = 'red", 8, "quote"),
    ("price = 5; drop table garments", 9, "';'"), ("price = 5 -- comment", 10, "'-'"), ("price == 5", 7, "'='"),
    ("price <> 5", 7, "'>'"), ("price = null", 8, "is null"), ("5 > price", 0, "'5'"), ("price = 1e999", 8, "range"),
    ("price = 9223372036854775808", 8, "range"), ("price = " + "9" * 5_000, 8, "range"), ("sale < true", 0, "'sale'"),
    ("price in ()", 10, "'\\)'"), ("price in (1, 'a')", 13, "'a'"), ("price in (1", 11, "ends here"),
    ("price is 5", 9, "'5'"), ("price not 5", 10, "'in'"), ("color", 0, "'color'"), ("price = color", 8, "'color'"),
    ("sale or", 7, "ends here"), ("sale)", 4, "'\\)'"), ("(sale", 5, "ends here"), ("sale sale", 5, "'sale'"),
    ("price = 1 or price", 13, "'price'"), ("union = 1", 0, "'union'"), ("__import__('os')", 10, "'\\('"),
])  # fmt: skip
def test_errors_name_the_problem_and_show_its_position(text: str, position: int, named: str) -> None:
    with pytest.raises(ValueError, match=rf"^search\.where: .*{named}") as raised:
        matching_rows(text, TABLE)
    _, shown, caret = str(raised.value).split("\n")
    assert caret.index("^") - 2 == position
    assert text.startswith(shown[2:])


def test_error_in_a_long_filter_shows_its_surroundings() -> None:
    text = "price = 1 or " * 100 + "price ! 2\n" + " or sale" * 100
    with pytest.raises(ValueError, match=r"'!'") as raised:
        parse(text)
    _, shown, caret = str(raised.value).split("\n")
    assert shown[caret.index("^")] == "!"
    assert len(shown) < 130


@pytest.mark.parametrize("nested", ["(" * 10 + "{}" + ")" * 10, "not (" * 10 + "{}" + ")" * 10])
def test_nesting_is_limited_and_not_a_recursion_error(nested: str) -> None:
    text = "sale"
    for _ in range(MAX_DEPTH // 20):
        text = nested.format(text)
    assert matching_rows(text, TABLE).tolist() == [0]
    for depth in (6, 100):
        deep = text
        for _ in range(depth):
            deep = nested.format(deep)
        with pytest.raises(ValueError, match=rf"search\.where: .*{MAX_DEPTH}|search\.where .*{MAX_LENGTH:,}"):
            parse(deep)


def test_longest_filter_is_evaluated_and_a_longer_one_rejected() -> None:
    text = "price=1 or " * (MAX_LENGTH // 11 - 1) + "sale"
    assert matching_rows(text, TABLE).tolist() == [0]
    with pytest.raises(ValueError, match=f"{MAX_LENGTH:,}"):
        parse(text + " " * MAX_LENGTH)


def assert_evaluated_or_rejected(text: str) -> None:
    try:
        rows = matching_rows(text, TABLE)
    except ValueError as error:
        assert str(error).startswith("search.where")  # noqa: PT017
    else:
        assert set(rows.tolist()) <= {0, 1}


@given(st.text(st.sampled_from("ab1.'\"()=<>!,; \t\n-+eE_é\0") | st.characters(exclude_categories=["Cs"]), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_is_evaluated_or_rejected_with_a_value_error(text: str) -> None:
    assert_evaluated_or_rejected(text)


@given(st.lists(st.sampled_from(["and", "or", "not", "in", "is", "null", "true", "(", ")", ",", "=", "<", "price",
                                 '"list price"', "sale", "color", "1", "'red'"]), max_size=12))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_words_of_the_grammar_are_evaluated_or_rejected_with_a_value_error(words: list[str]) -> None:
    assert_evaluated_or_rejected(" ".join(words))


@pytest.mark.parametrize(("text", "column"), [
    ("i < 2.5", pa.array([2**60 + 1, 3])),
    ("n in (1, 'a')", pa.array([None, None])),
])  # fmt: skip
def test_values_that_a_column_cannot_represent_are_refused_with_a_position(text: str, column: pa.Array) -> None:
    with pytest.raises(ValueError, match="where") as raised:
        matching_rows(text, pa.table({text[0]: column}))
    assert text in str(raised.value)
