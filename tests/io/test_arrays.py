"""Reading and writing arrays, and rejection of damaged files."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.io.arrays import read_arrays, write_arrays

ARRAYS = {
    "names": np.array(["coat", "hat, \u00e9t\u00e9"], dtype=object),
    "codes": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "scores": np.array([0.5, np.nan], dtype=np.float32),
}


def arrays_are_equal(arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return arrays.keys() == expected.keys() and all(
        values.tolist() == expected[name].tolist() or np.array_equal(values, expected[name], equal_nan=True)
        for name, values in arrays.items()
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_arrays(tmp_path / "arrays.npz", ARRAYS)
    return tmp_path / "arrays.npz"


def test_arrays_round_trip(path: Path) -> None:
    assert arrays_are_equal(read_arrays(path), ARRAYS)


def test_a_missing_file_raises_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "arrays.npz")


def test_a_changed_byte_is_rejected_or_leaves_the_arrays_unchanged(path: Path) -> None:
    content, original, num_rejected = path.read_bytes(), read_arrays(path), 0
    for index in range(len(content)):
        path.write_bytes(content[:index] + bytes([content[index] ^ 255]) + content[index + 1 :])
        try:
            loaded = read_arrays(path)
        except ValueError:
            num_rejected += 1
            continue
        assert all(
            arrays_are_equal({name: loaded[name]}, {name: original[name]}) for name in loaded.keys() & original.keys()
        )
    assert num_rejected > len(content) / 2


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_rejected(path: Path, fraction: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    with pytest.raises(ValueError, match=r"\w+: "):
        read_arrays(path)
