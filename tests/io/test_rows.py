"""Selection of evenly spaced rows."""

import pytest

from fashion_lsh.io.rows import evenly_spaced


@pytest.mark.parametrize(("rows", "count", "expected"), [(5, 9, [0, 1, 2, 3, 4]), (5, 0, [0]), (9, 3, [0, 4, 8])])
def test_rows_are_evenly_spaced(rows: int, count: int, expected: list[int]) -> None:
    assert evenly_spaced(rows, count).tolist() == expected
