"""Fashion-MNIST reader: file formats, published split, download, and the embedded selection of images."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision

from fashion_lsh.cli import check
from fashion_lsh.data.datasets import fashion_mnist, open_dataset
from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES, FashionMnist, read_idx, read_part
from fashion_lsh.data.datasets.shop_street.embedded.pack import choose, is_unique, pack

FILE_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def encode_idx(array: np.ndarray) -> bytes:
    header = b"\0\0\x08" + bytes([array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_parts(folder: Path, counts: dict[str, int], compressed: bool = True, seed: int = 0) -> dict[str, tuple]:
    """Write noise images in the file format of Fashion-MNIST; return the images and labels of each part."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    parts = {}
    for part, count in counts.items():
        parts[part] = rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count) % 10
        for name, array in zip(FILE_NAMES[part], parts[part], strict=True):
            path = folder / (f"{name}.gz" if compressed else name)
            path.write_bytes(gzip.compress(encode_idx(array)) if compressed else encode_idx(array))
    return parts


@pytest.mark.parametrize("compressed", [True, False])
def test_every_image_is_a_row_and_can_be_read(tmp_path, compressed):
    parts = write_parts(tmp_path, {"train": 30, "test": 12}, compressed)
    source = FashionMnist(str(tmp_path))
    catalogue = source.catalogue()
    assert list(catalogue.column("id")[[0, 29, 30, 41]]) == ["train-00000", "train-00029", "test-00000", "test-00011"]
    assert set(catalogue.column("split")) == {""}
    assert np.isnan(catalogue.boxes).all()
    for key, category in zip(catalogue.column("image"), catalogue.column("category"), strict=True):
        part, number = key.split("-")
        image = source.image(key)
        assert image.shape == (28, 28, 3)
        assert all((image[:, :, channel] == parts[part][0][int(number)]).all() for channel in range(3))
        assert CATEGORIES[parts[part][1][int(number)]] == category


def test_the_published_split_is_optional(tmp_path, capsys):
    write_parts(tmp_path, {"train": 30, "test": 20})
    assert set(FashionMnist(tmp_path).catalogue().column("split")) == {""}
    rows = open_dataset("fashion_mnist_official", str(tmp_path), 0).catalogue()
    assert rows.column("split").tolist() == ["train"] * 30 + ["query"] * 20
    assert check.main(["fashion_mnist", str(tmp_path)]) == 0
    assert "-69,950" in capsys.readouterr().out
    assert check.main(["fashion_mnist", str(tmp_path / "nothing")]) == 1


def test_equal_images_share_a_group(tmp_path):
    images, _ = write_parts(tmp_path, {"train": 10, "test": 10})["test"]
    images_with_copies = images.copy()
    images_with_copies[[3, 7]] = read_part(tmp_path, "train")[0][5]
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode_idx(images_with_copies)))
    catalogue = FashionMnist(str(tmp_path)).catalogue()
    groups = dict(zip(catalogue.column("id"), catalogue.column("group"), strict=True))
    assert {name for name, group in groups.items() if group != name} == {"test-00003", "test-00007"}
    assert groups["test-00003"] == groups["test-00007"] == "train-00005"


@pytest.mark.parametrize("key", ["train-00030", "valid-00000", "train-", "train--0001", "", "00001"])
def test_an_unknown_image_raises(tmp_path, key):
    write_parts(tmp_path, {"train": 30, "test": 12})
    with pytest.raises(KeyError, match="unknown Fashion-MNIST image"):
        FashionMnist(str(tmp_path)).image(key)


def test_a_pickled_source_contains_no_pixels(tmp_path):
    parts = write_parts(tmp_path, {"train": 30, "test": 12})
    source = FashionMnist(str(tmp_path))
    source.image("train-00004")
    pickled = pickle.dumps(source)
    assert len(pickled) < 1000
    assert (pickle.loads(pickled).image("train-00004")[:, :, 0] == parts["train"][0][4]).all()


CORRUPTIONS = {
    "truncated gzip": lambda content: content[:-200],
    "not gzip": lambda content: b"<html>" + content,
    "truncated content": lambda content: gzip.compress(gzip.decompress(content)[:-1]),
    "extended content": lambda content: gzip.compress(gzip.decompress(content) + b"\0"),
    "other header": lambda content: gzip.compress(b"\0\0\x0d\x03" + gzip.decompress(content)[4:]),
    "labels instead of images": lambda content: gzip.compress(encode_idx(np.zeros(30))),
    "other image size": lambda content: gzip.compress(encode_idx(np.zeros((30, 14, 56)))),
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_a_damaged_file_raises(tmp_path, corruption):
    write_parts(tmp_path, {"train": 30, "test": 12})
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(CORRUPTIONS[corruption](path.read_bytes()))
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz"):
        FashionMnist(str(tmp_path)).catalogue()


@pytest.mark.parametrize("labels", [np.zeros(29), np.full(30, 10)])
def test_inconsistent_labels_raise(tmp_path, labels):
    write_parts(tmp_path, {"train": 30, "test": 12})
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode_idx(labels)))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte\.gz: "):
        FashionMnist(str(tmp_path)).catalogue()


def test_idx_headers_are_big_endian(tmp_path):
    (tmp_path / "numbers").write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
    assert read_idx(tmp_path / "numbers", 2).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_folder_without_the_files_raises_with_instructions(tmp_path):
    write_parts(tmp_path, {"train": 30})
    with pytest.raises(FileNotFoundError, match=r"root=.*apt-get install dataset-fashion-mnist.*downloads"):
        FashionMnist(str(tmp_path))


def test_files_are_read_from_debian_the_cache_or_a_download(tmp_path, monkeypatch):
    counts = {"train": 10, "test": 10}
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    raw = tmp_path / "cache" / "fashion_lsh" / "FashionMNIST" / "raw"
    download_roots = []

    def download(root: str, download: bool) -> None:
        download_roots.append(root)
        write_parts(Path(root) / "FashionMNIST" / "raw", counts)

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", download)
    assert FashionMnist().folder == raw
    assert FashionMnist().folder == raw
    assert [Path(root).parent for root in download_roots] == [
        raw.parents[1]
    ]  # the download folder is next to the target, so that the download can be renamed
    assert sorted(path.name for path in raw.parents[1].iterdir()) == ["FashionMNIST"]
    write_parts(tmp_path / "debian", counts)
    assert FashionMnist().folder == tmp_path / "debian"


@pytest.mark.parametrize("error", [OSError("no route"), RuntimeError("Error downloading"), TimeoutError("timed out")])
def test_a_failed_download_raises_with_instructions(tmp_path, monkeypatch, error):
    def raise_error(**arguments: object) -> None:
        raise error

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", raise_error)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist"):
        FashionMnist()


def test_an_interrupted_download_leaves_no_files(tmp_path, monkeypatch):
    def interrupt(root: str, download: bool) -> None:
        write_parts(Path(root) / "FashionMNIST" / "raw", {"train": 10})
        raise KeyboardInterrupt

    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", interrupt)
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        FashionMnist()
    assert not list((tmp_path / "fashion_lsh").iterdir())


def test_pack_chooses_unique_images_by_a_fixed_seed():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (400, 28, 28), np.uint8)
    labels, test = np.tile(np.arange(10), 40), np.arange(400) >= 300
    images[50] = images[310]  # duplicate images are not selected
    images[61, 3:] = 0  # leaves 84 bright pixels, which are too few
    counts = {"train": 20, "test": 7}
    rows = choose(images, labels, test, counts)
    assert (np.bincount(labels[rows[:200]]) == 20).all()
    assert not test[rows[:200]].any()
    assert (np.bincount(labels[rows[200:]]) == 7).all()
    assert test[rows[200:]].all()
    assert len(set(rows)) == 270
    assert (rows == choose(images, labels, test, counts)).all()
    larger_selection = choose(images, labels, test, {"train": 29, "test": 9})
    assert not {50, 61, 310} & set(larger_selection)


def test_is_unique_equals_a_comparison_of_all_pairs():
    images = np.random.default_rng(2).integers(0, 2, (60, 2, 2), np.uint8)
    expected = [sum((image == other).all() for other in images) == 1 for image in images]
    assert is_unique(images).tolist() == expected


def test_packing_twice_gives_the_same_file(tmp_path):
    write_parts(tmp_path, {"train": 6100, "test": 1050})
    pack(tmp_path, tmp_path / "one.npz")
    pack(tmp_path, tmp_path / "two.npz")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    with np.load(tmp_path / "one.npz") as data:
        assert data["images"].shape == (7000, 28, 28)
        assert data["test"].sum() == 1000
