"""Connected components equal those of a simple reference on random graphs and columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.connected_components import components_by_value, connected_components, factorize

NAMES = st.sampled_from(["", "a", "b", "c", "d", "é"])


def join_slowly(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """First row of each row's component, by relabelling all rows for each pair."""
    first_rows = list(range(count))
    for one, other in pairs:
        old, new = max(first_rows[one], first_rows[other]), min(first_rows[one], first_rows[other])
        first_rows = [new if row == old else row for row in first_rows]
    return first_rows


@settings(deadline=None)  # the first call imports scipy
@given(st.integers(1, 40), st.data())
def test_components_of_random_graphs_equal_the_reference(count: int, data: st.DataObject) -> None:
    rows = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(rows, rows), max_size=60))  # with loops and repeated pairs
    components = connected_components(count, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    assert components.dtype == np.int64
    assert components.tolist() == join_slowly(count, pairs)


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), max_size=20))
def test_components_by_value_equal_the_reference(rows: list[tuple[str, str]]) -> None:
    pairs = [
        (one, other)
        for other in range(len(rows))
        for one in range(other)
        if any(left == right != "" for left, right in zip(rows[one], rows[other], strict=True))
    ]
    columns = [np.array([row[column] for row in rows], dtype=str) for column in (0, 1)]
    assert components_by_value(columns).tolist() == join_slowly(len(rows), pairs)


@pytest.mark.parametrize("order", ["ascending", "descending", "random"])
def test_a_long_chain_is_one_component_of_its_first_row(order: str) -> None:
    rows = np.arange(20_000)
    rows = {"ascending": rows, "descending": rows[::-1], "random": np.random.default_rng(0).permutation(rows)}[order]
    assert not connected_components(20_000, np.stack([rows[:-1], rows[1:]], axis=1)).any()


def test_no_rows_have_no_components() -> None:
    assert connected_components(0, np.zeros((0, 2), np.int64)).tolist() == []


def test_factorize_links_equal_names_but_not_empty_names() -> None:
    value_ids = factorize(np.array(["b", "", "a", "b", ""]))
    assert value_ids[0] == value_ids[3]
    assert len(set(value_ids.tolist())) == 4
