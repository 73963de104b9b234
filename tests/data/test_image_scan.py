"""Images are scanned once, exact copies are skipped, and scan results are cached until the file changes."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import image_scan
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import CleanedCatalogue, ImageInfo, clean_catalogue, file_state, scan
from fashion_lsh.io.files import checksum


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with three images, one of them a copy, a text file, and the cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(image_scan, "MIN_CACHED_IMAGES", 0)
    for name, shade in (("a.png", 1), ("b.png", 2), ("a again.png", 1)):
        Image.new("RGB", (30, 20), (shade, 0, 0)).save(tmp_path / name)
    (tmp_path / "text.jpg").write_text("not an image")
    return tmp_path


NAMES = ["a.png", "b.png", "a again.png", "text.jpg", "nothing.png"]


def scan_and_list_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]
) -> tuple[dict[str, ImageInfo], list[str]]:
    """Scan images; return the scan results and the names of the opened files."""
    opened_names: list[str] = []
    original_open = image_scan.open_image
    with monkeypatch.context() as patch:
        patch.setattr(image_scan, "open_image", lambda path: (opened_names.append(path.name), original_open(path))[1])
        return scan(folder, names), sorted(opened_names)


def test_scan_records_size_digest_and_problem(folder: Path) -> None:
    infos = scan(folder, NAMES)
    assert infos["a.png"] == ImageInfo(30, 20, checksum(folder / "a.png"), "", state=file_state(folder / "a.png"))
    assert infos["a.png"].digest == infos["a again.png"].digest != infos["b.png"].digest
    assert "text.jpg: not a readable image" in infos["text.jpg"].problem
    assert infos["nothing.png"].problem == f"{folder / 'nothing.png'}: no such file"


def test_only_new_changed_or_unusable_files_are_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opened_names = scan_and_list_opened(folder, monkeypatch, NAMES)
    assert opened_names == sorted(NAMES)
    bad = ["nothing.png", "text.jpg"]  # opened again, since a repaired file may keep its size and time
    assert scan_and_list_opened(folder, monkeypatch, NAMES) == (before, bad)
    assert scan_and_list_opened(folder, monkeypatch, ["a.png"]) == ({"a.png": before["a.png"]}, [])
    Image.new("RGB", (31, 20)).save(folder / "b.png")
    Image.new("RGB", (8, 8)).save(folder / "nothing.png")
    second, opened_names = scan_and_list_opened(folder, monkeypatch, NAMES)
    assert opened_names == ["b.png", "nothing.png", "text.jpg"]
    assert (second["b.png"].width, second["nothing.png"].problem) == (31, "")


def test_few_images_are_not_cached(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_scan, "MIN_CACHED_IMAGES", 6)
    scan(folder, NAMES)
    assert not (folder / "cache").exists()


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing", None])
def test_a_damaged_cache_is_rebuilt(folder: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = scan(folder, NAMES)
    [cache_file] = (folder / "cache").rglob("*.parquet")
    cache_file.write_bytes(cache_file.read_bytes()[:-9] if damage is None else damage)
    assert scan_and_list_opened(folder, monkeypatch, NAMES) == (before, sorted(NAMES))


def test_an_unwritable_cache_logs_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "cache").write_text("a file instead of a folder")
    assert len(scan(folder, NAMES)) == 5
    assert "all images will be opened again next time" in caplog.text


def test_the_chunk_size_does_not_change_the_result(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = scan(folder, NAMES)
    (folder / "a.png").touch()
    os.utime(folder / "a.png", ns=(1, 1))
    monkeypatch.setattr(image_scan, "CHUNK", 2)
    repeated = scan(folder, NAMES)
    assert {name: info._replace(state="") for name, info in repeated.items()} == {
        name: info._replace(state="") for name, info in first.items()
    }


@pytest.mark.parametrize("cores", [{0}, {2, 5, 7}])
def test_the_pool_has_one_process_per_available_core(
    cores: set[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, pool_sizes = scan(folder, NAMES), []
    original_executor = image_scan.ProcessPoolExecutor
    monkeypatch.setattr(image_scan.os, "sched_getaffinity", lambda process: cores)
    monkeypatch.setattr(
        image_scan,
        "ProcessPoolExecutor",
        lambda count, **more: (pool_sizes.append(count), original_executor(count, **more))[1],
    )
    monkeypatch.setattr(image_scan, "MIN_POOL_IMAGES", 1)
    (folder / "cache").rename(folder / "renamed cache")
    assert scan(folder, NAMES) == expected
    assert pool_sizes == [len(cores)]


def _clean(catalogue: Catalogue, folder: Path) -> CleanedCatalogue:
    return clean_catalogue(catalogue, scan(folder, catalogue.column("image")))


@pytest.mark.parametrize(
    ("splits", "kept"),
    [(("", ""), "a.png"), (("train", "query"), "a again.png"), (("query", "train"), "a.png"),
     (("val", "gallery"), "a again.png"), (("train", "train"), "a.png")],
)  # fmt: skip
def test_the_exact_copy_in_the_test_split_is_kept(folder: Path, splits: tuple[str, str], kept: str) -> None:
    names = ["a.png", "b.png", "a again.png"]
    catalogue = Catalogue.from_columns(
        {"image": names, "category": ["hat", "hat", "bag"], "split": [splits[0], "", splits[1]]}
    )
    cleaned, reasons, _ = _clean(catalogue, folder)
    assert set(cleaned.column("image")) == {"b.png", kept}
    [removed] = {"a.png", "a again.png"} - {kept}
    assert reasons == {removed: f"{removed}: exact copy of {kept}, which is kept"}


def test_garments_of_one_image_are_not_copies(folder: Path) -> None:
    columns = {"id": ["1", "2"], "image": ["a.png", "a.png"], "category": ["hat", "bag"]}
    boxes = dict(zip(("x1", "y1", "x2", "y2"), np.array([[0, 0, 9, 9], [9, 9, 20, 20]], np.float32).T, strict=True))
    cleaned, reasons, _ = _clean(Catalogue.from_columns({**columns, **boxes}), folder)
    assert len(cleaned) == 2
    assert not reasons


def test_the_checksum_depends_only_on_the_content_of_kept_images(folder: Path) -> None:
    catalogue = Catalogue.from_columns({"image": ["a.png", "b.png", "text.jpg"], "category": ["hat"] * 3})
    before = _clean(catalogue, folder).checksum
    (folder / "text.jpg").write_text("still not an image")
    assert _clean(catalogue, folder).checksum == before
    Image.new("RGB", (30, 20), (3, 0, 0)).save(folder / "b.png")
    assert _clean(catalogue, folder).checksum != before


def test_a_copy_is_kept_if_the_box_of_the_other_copy_is_unusable(folder: Path) -> None:
    names = ["a.png", "a again.png"]
    box = {"x1": [90.0, 1.0], "y1": [1.0, 1.0], "x2": [99.0, 9.0], "y2": [9.0, 9.0]}
    catalogue = Catalogue.from_columns({"image": names, "category": ["hat", "hat"], "split": ["query", "train"], **box})
    cleaned, reasons, _ = _clean(catalogue, folder)
    assert cleaned.column("image").tolist() == ["a again.png"]
    assert "outside the image" in reasons["a.png"]


def test_boxes_that_exceed_the_image_are_clipped_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    box = {"x1": [-3.0, 1.0], "y1": [1.0, 1.0], "x2": [99.0, 9.0], "y2": [9.0, 9.0]}
    catalogue = Catalogue.from_columns({"image": ["a.png", "b.png"], "category": ["hat", "hat"], **box})
    cleaned, reasons, _ = _clean(catalogue, folder)
    assert not reasons
    width = Image.open(folder / "a.png").width
    assert cleaned.boxes.tolist() == [[0, 1, width, 9], [1, 1, 9, 9]]
    assert "border: 1" in caplog.text


def test_an_image_that_vanishes_during_the_scan_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_not_found(path: Path) -> str:
        raise FileNotFoundError(f"no {path.name}")

    monkeypatch.setattr(image_scan, "checksum", raise_not_found)
    assert scan(folder, ["a.png"])["a.png"].problem == "no a.png"
