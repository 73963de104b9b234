"""Fashion-MNIST: 70,000 greyscale images of 28 x 28 pixels, with one garment of ten categories each."""

import gzip
import math
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.image_files import PublishedCounts
from fashion_lsh.io.downloads import socket_timeout
from fashion_lsh.io.files import cache_folder

# category of labels 0 to 9; the names are among the 30 categories
CATEGORIES = ("t-shirt", "pants", "sweater", "dress", "coat", "sandals", "shirt", "shoes", "bag", "boots")
IMAGE_SIZE = 28
FILE_PREFIXES = {"train": "train", "test": "t10k"}  # part -> prefix of the file names
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TIMEOUT_S = 10.0  # short, so that a download without network fails quickly

Arrays = tuple[np.ndarray, np.ndarray]  # images, labels


class FashionMnist:
    """Fashion-MNIST: one garment per image, without boxes.

    Ids contain the published part: `train-00000` to `train-59999`, `test-00000` to `test-09999`.

    Args:
        root: Folder with the four `*-ubyte.gz` files, or the same files unpacked. None: the folder of the Debian
            package if present, otherwise a torchvision download in the user's cache folder.
        official: Whether the published split is used; test images are queries.

    Raises:
        FileNotFoundError: The files are missing and cannot be downloaded.
        ValueError: A file is damaged or has an unexpected format.
    """

    licence = "MIT (Zalando SE)"
    published = PublishedCounts({"all": 70_000})

    def __init__(self, root: str | None = None, official: bool = False) -> None:
        self.folder, self.official = _find_folder(root), official
        self._parts: dict[str, Arrays] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": None}  # not pickled (55 MB); each process reads the files again

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return one row per image; images with identical pixels form a group, named after the first image."""
        ids: list[str] = []
        groups: list[str] = []
        names: list[str] = []
        first_id: dict[bytes, str] = {}
        for part, (images, labels) in self.parts().items():
            part_ids = [f"{part}-{number:05d}" for number in range(len(images))]
            ids += part_ids
            groups += [first_id.setdefault(image.tobytes(), name) for image, name in zip(images, part_ids, strict=True)]
            names += [CATEGORIES[label] for label in labels]
        source = ["fashion_mnist"] * len(ids)
        columns = {"id": ids, "image": ids, "category": names, "group": groups, "source": source}
        if self.official:
            columns["split"] = ["query" if name.startswith("test") else "train" for name in ids]
        return Catalogue.from_columns(columns).filter(filters)

    def image(self, key: str) -> np.ndarray:
        """Return an image by key, (28, 28, 3) uint8 RGB: a light garment on black.

        Raises:
            KeyError: The key is unknown.
        """
        part, _, number = key.partition("-")
        parts = self.parts()
        if part not in parts or not number.isdecimal() or int(number) >= len(parts[part][0]):
            raise KeyError(f"unknown Fashion-MNIST image {key!r}; use a key like 'train-00000' or 'test-00000'")
        return np.repeat(parts[part][0][int(number)][:, :, None], 3, axis=2)

    def parts(self) -> dict[str, Arrays]:
        """Return part -> images (N, 28, 28) uint8 and labels (N,) uint8 0..9, for the parts `train` and `test`."""
        if self._parts is None:
            self._parts = {part: read_part(self.folder, part) for part in FILE_PREFIXES}
        return self._parts


def read_part(folder: str | Path, part: str) -> Arrays:
    """Read images (N, 28, 28) uint8 and labels (N,) uint8 0..9 of the part `train` or `test` from a folder.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file is damaged or has an unexpected format.
    """
    paths = [_find_file(Path(folder), name) for name in _file_names(part)]
    images, labels = (read_idx(path, ndim) for path, ndim in zip(paths, (3, 1), strict=True))
    if images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(
            f"{paths[0]}: images of size {images.shape[1:]}, expected {IMAGE_SIZE} x {IMAGE_SIZE}; "
            "use the files of Fashion-MNIST"
        )
    if len(labels) != len(images):
        raise ValueError(f"{paths[1]}: {len(labels)} labels for {len(images)} images; download both files again")
    if len(labels) and labels.max() >= len(CATEGORIES):
        raise ValueError(
            f"{paths[1]}: label {labels.max()} is not in 0..{len(CATEGORIES) - 1}; use the files of Fashion-MNIST"
        )
    return images, labels


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """Read a uint8 array with `ndim` axes from an idx file; a file whose name ends in .gz is decompressed.

    The header contains two zero bytes, the byte 8 (type uint8), the number of axes, and the length of each axis as a
    big-endian uint32.

    Raises:
        ValueError: The file is damaged or truncated, or not a uint8 idx file with `ndim` axes.
    """
    content = _read_bytes(path)
    start = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, 8, ndim]):
        raise ValueError(
            f"{path}: header {content[:4].hex(' ')!r} is not that of a uint8 idx file with {ndim} axes; "
            "delete the file and download it again"
        )
    shape = [int.from_bytes(content[offset : offset + 4], "big") for offset in range(4, start, 4)]
    expected_size = start + math.prod(shape)
    if len(content) != expected_size:
        raise ValueError(
            f"{path}: {len(content)} bytes, but shape {shape} needs {expected_size}; delete the file and download it "
            "again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged or truncated ({error}); delete the file and download it again") from error


def _file_names(part: str) -> tuple[str, str]:
    return f"{FILE_PREFIXES[part]}-images-idx3-ubyte", f"{FILE_PREFIXES[part]}-labels-idx1-ubyte"


def _find_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder}: neither {name} nor {name}.gz found; copy one of them there")


def _missing_files(folder: Path) -> list[str]:
    names = [name for part in FILE_PREFIXES for name in _file_names(part)]
    return [name for name in names if not ((folder / name).is_file() or (folder / f"{name}.gz").is_file())]


def _find_folder(root: str | None) -> Path:
    if root is not None:
        if missing := _missing_files(Path(root)):
            raise FileNotFoundError(f"data.root={root}: missing files: {', '.join(missing)}; {_instructions()}")
        return Path(root)
    cache = cache_folder()
    downloaded = cache / "FashionMNIST" / "raw"  # folder names of torchvision
    for folder in (DEBIAN, downloaded):
        if not _missing_files(folder):
            return folder
    _download(cache)
    return downloaded


def _download(cache: Path) -> None:
    from torchvision.datasets import FashionMNIST  # imported here, because torchvision is slow to import

    cache.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=cache) as temporary, socket_timeout(TIMEOUT_S):
            FashionMNIST(root=temporary, download=True)
            shutil.rmtree(cache / "FashionMNIST", ignore_errors=True)  # may exist from an incomplete download
            Path(temporary, "FashionMNIST").rename(cache / "FashionMNIST")
    except (OSError, RuntimeError) as error:  # for example no network, no mirror or a wrong checksum
        raise FileNotFoundError(f"Fashion-MNIST could not be downloaded ({error}); {_instructions()}") from error


def _instructions() -> str:
    return (
        "set data.root=<folder with the four *-ubyte or *-ubyte.gz files>, or run "
        '"apt-get install dataset-fashion-mnist", or run once with network access (torchvision downloads the files)'
    )
