"""Pictures are opened once, copies are told, and what was seen is remembered until the file changes."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import image_scan as scanning
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.image_scan import Seen, Usable, cleaned, scan, state_of
from fashion_lsh.io.files import checksum


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pictures, one of them a copy, and a text; what is seen of them is kept beside them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(scanning, "FEW", 0)
    for name, shade in (("a.png", 1), ("b.png", 2), ("a again.png", 1)):
        Image.new("RGB", (30, 20), (shade, 0, 0)).save(tmp_path / name)
    (tmp_path / "text.jpg").write_text("no picture")
    return tmp_path


NAMES = ["a.png", "b.png", "a again.png", "text.jpg", "nothing.png"]


def opened(folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> tuple[dict[str, Seen], list[str]]:
    """What a scan gives, and the names of the files that it opened."""
    asked: list[str] = []
    real = scanning.open_picture
    with monkeypatch.context() as patch:
        patch.setattr(scanning, "open_picture", lambda path: (asked.append(path.name), real(path))[1])
        return scan(folder, names), sorted(asked)


def test_each_picture_is_seen_as_it_is(folder: Path) -> None:
    seen = scan(folder, NAMES)
    assert seen["a.png"] == Seen(30, 20, checksum(folder / "a.png"), "", state=state_of(folder / "a.png"))
    assert seen["a.png"].digest == seen["a again.png"].digest != seen["b.png"].digest
    assert "text.jpg: no readable picture" in seen["text.jpg"].problem
    assert seen["nothing.png"].problem == f"{folder / 'nothing.png'}: no such file"


def test_only_what_is_new_or_changed_is_opened_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, files = opened(folder, monkeypatch, NAMES)
    assert files == sorted(NAMES)
    bad = ["nothing.png", "text.jpg"]  # they may be mended, and that need not change size or time
    assert opened(folder, monkeypatch, NAMES) == (first, bad)
    assert opened(folder, monkeypatch, ["a.png"]) == ({"a.png": first["a.png"]}, [])
    Image.new("RGB", (31, 20)).save(folder / "b.png")
    Image.new("RGB", (8, 8)).save(folder / "nothing.png")
    again, files = opened(folder, monkeypatch, NAMES)
    assert files == ["b.png", "nothing.png", "text.jpg"]
    assert (again["b.png"].width, again["nothing.png"].problem) == (31, "")


def test_few_pictures_leave_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scanning, "FEW", 6)
    scan(folder, NAMES)
    assert not (folder / "cache").exists()


@pytest.mark.parametrize("damage", [b"", b"PAR1 nothing", None])
def test_memory_that_is_damaged_is_made_anew(
    folder: Path, damage: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan(folder, NAMES)
    [kept] = (folder / "cache").rglob("*.parquet")
    kept.write_bytes(kept.read_bytes()[:-9] if damage is None else damage)
    assert opened(folder, monkeypatch, NAMES) == (first, sorted(NAMES))


def test_memory_that_cannot_be_written_is_told_and_stops_nothing(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "cache").write_text("a file where a folder is wanted")
    assert len(scan(folder, NAMES)) == 5
    assert "all pictures will be opened again next time" in caplog.text


def test_chunks_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = scan(folder, NAMES)
    (folder / "a.png").touch()
    os.utime(folder / "a.png", ns=(1, 1))
    monkeypatch.setattr(scanning, "CHUNK", 2)
    assert {name: seen._replace(state="") for name, seen in scan(folder, NAMES).items()} == {
        name: seen._replace(state="") for name, seen in whole.items()
    }


@pytest.mark.parametrize("cores", [{0}, {2, 5, 7}])
def test_there_are_as_many_processes_as_cores_that_may_be_used(
    cores: set[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, started = scan(folder, NAMES), []
    real = scanning.ProcessPoolExecutor
    monkeypatch.setattr(scanning.os, "sched_getaffinity", lambda process: cores)
    monkeypatch.setattr(
        scanning, "ProcessPoolExecutor", lambda count, **more: (started.append(count), real(count, **more))[1]
    )
    monkeypatch.setattr(scanning, "MANY", 1)
    (folder / "cache").rename(folder / "forgotten")
    assert scan(folder, NAMES) == few
    assert started == [len(cores)]


def _usable(made: Catalogue, folder: Path) -> Usable:
    return cleaned(made, scan(folder, made.column("picture")))


@pytest.mark.parametrize(
    ("splits", "kept"),
    [(("", ""), "a.png"), (("train", "query"), "a again.png"), (("query", "train"), "a.png"),
     (("val", "gallery"), "a again.png"), (("train", "train"), "a.png")],
)  # fmt: skip
def test_of_copies_that_of_the_test_side_is_kept(folder: Path, splits: tuple[str, str], kept: str) -> None:
    names = ["a.png", "b.png", "a again.png"]
    made = Catalogue.of({"picture": names, "category": ["hat", "hat", "bag"], "split": [splits[0], "", splits[1]]})
    found, reasons, _ = _usable(made, folder)
    assert set(found.column("picture")) == {"b.png", kept}
    [other] = {"a.png", "a again.png"} - {kept}
    assert reasons == {other: f"{other}: the same picture as {kept}, which is kept"}


def test_garments_of_one_picture_are_no_copies(folder: Path) -> None:
    columns = {"id": ["1", "2"], "picture": ["a.png", "a.png"], "category": ["hat", "bag"]}
    boxes = dict(zip(("x1", "y1", "x2", "y2"), np.array([[0, 0, 9, 9], [9, 9, 20, 20]], np.float32).T, strict=True))
    found, reasons, _ = _usable(Catalogue.of({**columns, **boxes}), folder)
    assert len(found) == 2
    assert not reasons


def test_checksum_follows_the_bytes_of_what_is_kept(folder: Path) -> None:
    made = Catalogue.of({"picture": ["a.png", "b.png", "text.jpg"], "category": ["hat"] * 3})
    first = _usable(made, folder).checksum
    (folder / "text.jpg").write_text("still no picture")
    assert _usable(made, folder).checksum == first
    Image.new("RGB", (30, 20), (3, 0, 0)).save(folder / "b.png")
    assert _usable(made, folder).checksum != first


def test_copy_is_kept_where_the_box_of_the_other_is_of_no_use(folder: Path) -> None:
    names = ["a.png", "a again.png"]
    box = {"x1": [90.0, 1.0], "y1": [1.0, 1.0], "x2": [99.0, 9.0], "y2": [9.0, 9.0]}
    made = Catalogue.of({"picture": names, "category": ["hat", "hat"], "split": ["query", "train"], **box})
    found, reasons, _ = _usable(made, folder)
    assert found.column("picture").tolist() == ["a again.png"]
    assert "lies off the picture" in reasons["a.png"]


def test_boxes_that_reach_over_the_edge_are_clamped_and_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    box = {"x1": [-3.0, 1.0], "y1": [1.0, 1.0], "x2": [99.0, 9.0], "y2": [9.0, 9.0]}
    made = Catalogue.of({"picture": ["a.png", "b.png"], "category": ["hat", "hat"], **box})
    found, reasons, _ = _usable(made, folder)
    assert not reasons
    width = Image.open(folder / "a.png").width
    assert found.boxes.tolist() == [[0, 1, width, 9], [1, 1, 9, 9]]
    assert "1 boxes reach over the edge of their picture" in caplog.text


def test_picture_that_vanishes_while_it_is_looked_at_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: Path) -> str:
        raise FileNotFoundError(f"no {path.name}")

    monkeypatch.setattr(scanning, "checksum", gone)
    assert scan(folder, ["a.png"])["a.png"].problem == "no a.png"
