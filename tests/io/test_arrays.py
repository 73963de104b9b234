"""Arrays come back as they were, and a damaged file is said to be damaged, whatever numpy makes of it."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.io.arrays import read_arrays, write_arrays

ARRAYS = {
    "names": np.array(["coat", "hat, \u00e9t\u00e9"], dtype=object),
    "codes": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "scores": np.array([0.5, np.nan], dtype=np.float32),
}


def alike(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(
        values.tolist() == other[name].tolist() or np.array_equal(values, other[name], equal_nan=True)
        for name, values in one.items()
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "kept.npz", ARRAYS)
    return tmp_path / "kept.npz"


def test_arrays_come_back(path: Path) -> None:
    assert alike(read_arrays(path), ARRAYS)


def test_a_file_that_is_not_there_is_no_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "kept.npz")


def test_a_changed_byte_is_noticed_or_harmless(path: Path) -> None:
    whole, before, damaged = path.read_bytes(), read_arrays(path), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            found = read_arrays(path)
        except ValueError:
            damaged += 1
            continue
        assert all(alike({name: found[name]}, {name: before[name]}) for name in found.keys() & before.keys())
    assert damaged > len(whole) / 2


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_file_that_is_cut_short_is_damaged(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"\w+: "):
        read_arrays(path)
