"""Read and write named arrays in one .npz file."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fashion_lsh.io.files import atomic_write

# Errors that numpy raises for damaged files.
READ_ERRORS = (
    ValueError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write compressed arrays. Object arrays are stored as fixed-width strings, so that reading never unpickles."""
    fixed_width = {name: values.astype(str) if values.dtype == object else values for name, values in arrays.items()}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **fixed_width)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of a file: name -> array of any shape.

    Raises:
        FileNotFoundError, PermissionError: the file is missing or not readable.
        ValueError: the file is damaged; the message contains numpy's error.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (FileNotFoundError, PermissionError):
        raise
    except READ_ERRORS as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
