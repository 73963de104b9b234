"""Fashion-MNIST: 70,000 grey pictures of real garments, 28 x 28, in ten categories."""

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

# Fashion-MNIST's 0..9 in the words of the 30 categories
CATEGORIES = ("t-shirt", "pants", "sweater", "dress", "coat", "sandals", "shirt", "shoes", "bag", "boots")
IMAGE_SIZE = 28
FILE_PREFIXES = {"train": "train", "test": "t10k"}  # part: how its file names begin
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
TIMEOUT_S = 10.0  # a machine without network says so soon

Arrays = tuple[np.ndarray, np.ndarray]


class FashionMnist:
    """All of Fashion-MNIST, each picture one garment that fills it.

    The published parts are told by the ids: `train-00000` to `train-59999`, `test-00000` to `test-09999`.

    Args:
        root: folder with the four `*-ubyte.gz` files or the same unpacked. None: Debian's folder if it is there,
            otherwise torchvision's download, kept below the user's cache folder.
        official: rows have the published split, of which the test part asks.

    Raises:
        FileNotFoundError: the files are not to be had.
        ValueError: a file is damaged or is another one; names it.
    """

    licence = "MIT (Zalando SE)"
    published = PublishedCounts({"all": 70_000})

    def __init__(self, root: str | None = None, official: bool = False) -> None:
        self.folder, self.official = _find_folder(root), official
        self._parts: dict[str, Arrays] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_parts": None}  # 55 MB that each process reads for itself

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """70,000 rows; those of exactly the same pixels share a group, named by the first of them."""
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
        """(28, 28, 3) uint8 RGB, the garment light on black.

        Raises:
            KeyError: there is no such picture.
        """
        part, _, number = key.partition("-")
        parts = self.parts()
        if part not in parts or not number.isdecimal() or int(number) >= len(parts[part][0]):
            raise KeyError(f"Fashion-MNIST has no picture {key!r}: give one like 'train-00000' or 'test-00000'")
        return np.repeat(parts[part][0][int(number)][:, :, None], 3, axis=2)

    def parts(self) -> dict[str, Arrays]:
        """`train` and `test`: (N, 28, 28) uint8 pictures and (N,) uint8 categories 0..9."""
        if self._parts is None:
            self._parts = {part: read_part(self.folder, part) for part in FILE_PREFIXES}
        return self._parts


def read_part(folder: str | Path, part: str) -> Arrays:
    """`train` or `test` of the files in `folder`: (N, 28, 28) uint8 pictures and (N,) uint8 categories 0..9.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged or is another one; names it.
    """
    paths = [_find_file(Path(folder), name) for name in _file_names(part)]
    images, labels = (read_idx(path, ndim) for path, ndim in zip(paths, (3, 1), strict=True))
    if images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE):
        raise ValueError(
            f"{paths[0]} holds pictures of {images.shape[1:]}: Fashion-MNIST has {IMAGE_SIZE} x {IMAGE_SIZE}"
        )
    if len(labels) != len(images):
        raise ValueError(f"{paths[1]} holds {len(labels)} categories for {len(images)} pictures: fetch both again")
    if len(labels) and labels.max() >= len(CATEGORIES):
        raise ValueError(f"{paths[1]} holds category {labels.max()}: Fashion-MNIST has 0 to {len(CATEGORIES) - 1}")
    return images, labels


def read_idx(path: Path, ndim: int) -> np.ndarray:
    """The uint8 array of `axes` axes in an idx file, gzipped if its name ends in .gz.

    Layout: two zero bytes, 8 (unsigned byte), the number of axes, one big-endian uint32 an axis, the values.

    Raises:
        ValueError: the file is damaged, cut short, or not of this kind; names it.
    """
    content = _read_bytes(path)
    start = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, 8, ndim]):
        raise ValueError(f"{path} begins with {content[:4].hex(' ')!r}: not an idx file of bytes with {ndim} axes")
    shape = [int.from_bytes(content[offset : offset + 4], "big") for offset in range(4, start, 4)]
    expected_size = start + math.prod(shape)
    if len(content) != expected_size:
        raise ValueError(f"{path} has {len(content)} bytes, {shape} asks {expected_size}: remove it and fetch it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}): remove it and fetch it again") from error


def _file_names(part: str) -> tuple[str, str]:
    return f"{FILE_PREFIXES[part]}-images-idx3-ubyte", f"{FILE_PREFIXES[part]}-labels-idx1-ubyte"


def _find_file(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{folder} holds neither {name} nor {name}.gz")


def _has_all_files(folder: Path) -> bool:
    names = [name for part in FILE_PREFIXES for name in _file_names(part)]
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in names)


def _find_folder(root: str | None) -> Path:
    if root is not None:
        if _has_all_files(Path(root)):
            return Path(root)
        raise FileNotFoundError(f"{root} does not hold Fashion-MNIST's four files. {_instructions()}")
    cache = cache_folder()
    downloaded = cache / "FashionMNIST" / "raw"  # torchvision's own choice of names
    for folder in (DEBIAN, downloaded):
        if _has_all_files(folder):
            return folder
    _download(cache)
    return downloaded


def _download(cache: Path) -> None:
    from torchvision.datasets import FashionMNIST  # slow to import, seldom needed

    cache.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=cache) as temporary, socket_timeout(TIMEOUT_S):
            FashionMNIST(root=temporary, download=True)
            shutil.rmtree(cache / "FashionMNIST", ignore_errors=True)  # without the checksums that were just held
            Path(temporary, "FashionMNIST").rename(cache / "FashionMNIST")
    except (OSError, RuntimeError) as error:  # no network, no mirror that answers, a checksum that differs
        raise FileNotFoundError(f"Fashion-MNIST could not be downloaded ({error}). {_instructions()}") from error


def _instructions() -> str:
    return (
        "Three ways to have it: give data.root=<folder with its four *-ubyte or *-ubyte.gz files>; "
        "apt-get install dataset-fashion-mnist; or run once with network, and torchvision downloads it"
    )
