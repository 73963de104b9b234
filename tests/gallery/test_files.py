"""A gallery's folder: whole or refused, through saving, opening and damage."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fashion_lsh.gallery import files as module
from fashion_lsh.gallery.gallery import Gallery
from tests.gallery.factories import (
    BITS,
    PRINT,
    catalogue,
    changed,
    current,
    equal,
    filed,
    names,
    pictures,
)

both = pytest.mark.parametrize("bits", [BITS, None])


@both
def test_saved_then_opened_gives_the_same_hits(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path / "deep" / "index")
    opened = Gallery.open(tmp_path / "deep" / "index", PRINT)
    assert [type(part) for part in opened.embeddings.segments] == [np.memmap]
    assert equal(opened, filed(bits))


@both
def test_what_is_added_is_a_segment_more_and_old_ones_are_not_written_again(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path)
    (old,) = tmp_path.glob("embeddings-*.npy")
    before = old.stat()
    gallery = changed(tmp_path)
    for _ in range(2):
        gallery.save(tmp_path)
        opened = Gallery.open(tmp_path, PRINT, verify=True)
        assert equal(opened, gallery)
        assert len(opened.embeddings.segments) == 2
        assert (old.stat().st_ino, old.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
        assert names(tmp_path) == current(tmp_path)
    gallery.compact()
    gallery.save(tmp_path)
    assert not old.exists()
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), gallery)
    assert names(tmp_path) == current(tmp_path)


def test_a_gallery_that_another_process_files_anew_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed().save(tmp_path)
    changes, whole = [changed(tmp_path)], module._verified

    def slow(folder: Path, entry: dict[str, Any]) -> Path:
        if changes:
            changes.pop().save(tmp_path)
        return whole(folder, entry)

    monkeypatch.setattr(module, "_verified", slow)
    opened = Gallery.open(tmp_path, PRINT)
    assert len(opened.embeddings.segments) == 2


def test_an_opened_gallery_is_saved_elsewhere_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filed().save(tmp_path / "one")
    filed(rows=10).save(tmp_path / "other")
    Gallery.open(tmp_path / "one", PRINT).save(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "other", Path("other")):
        assert equal(Gallery.open(folder, PRINT, verify=True), filed())
        assert names(folder) == current(folder)


def test_equal_segments_share_a_file(tmp_path: Path) -> None:
    gallery = filed()
    gallery.add(pictures(0, 40), catalogue(40, 40))
    gallery.save(tmp_path)
    assert len(list(tmp_path.glob("embeddings-*"))) == 1
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), gallery)


@both
def test_an_empty_gallery_is_saved_opened_and_filled(bits: int | None, tmp_path: Path) -> None:
    filed(bits, rows=0).save(tmp_path)
    opened = Gallery.open(tmp_path, PRINT, verify=True)
    assert len(opened) == 0
    opened.add(pictures(0, 40, bits), catalogue(40))
    opened.save(tmp_path)
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed(bits))


def test_what_was_being_added_is_remembered(tmp_path: Path) -> None:
    gallery = filed()
    gallery.adding = frozenset({"b", "a"})
    gallery.save(tmp_path)
    assert Gallery.open(tmp_path, PRINT).adding == {"a", "b"}


def test_another_models_gallery_is_refused(tmp_path: Path) -> None:
    filed().save(tmp_path)
    with pytest.raises(
        ValueError, match=rf"{tmp_path} holds codes of model one mode, asked by another .*to file it anew"
    ):
        Gallery.open(tmp_path, "another model")


def test_no_gallery_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no gallery in {tmp_path}"):
        Gallery.open(tmp_path, PRINT)


def flips(folder: Path, places: list[tuple[Path, int]], verify: bool) -> list[str]:
    """Flip one bit at a time; the names of the files in which that was not noticed. Refusals must name the file."""
    unnoticed = []
    for path, place in places:
        _flip(path, place)
        refusal = _refusal(folder, verify)
        _flip(path, place)
        if refusal is None:
            unnoticed.append(path.name)
        else:
            assert f"{path.name} is " in refusal
            assert refusal.endswith("type its train.py command again")
    return unnoticed


def _refusal(folder: Path, verify: bool) -> str | None:
    try:
        Gallery.open(folder, PRINT, verify)
    except ValueError as error:
        return str(error)
    return None


def _flip(path: Path, place: int) -> None:
    with path.open("r+b") as file:
        file.seek(place // 8)
        (byte,) = file.read(1)
        file.seek(place // 8)
        file.write(bytes([byte ^ 1 << place % 8]))


@both
def test_of_1000_bits_flipped_anywhere_none_loads_unnoticed(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path)
    changed(tmp_path).save(tmp_path)
    rng = np.random.default_rng(1)
    every = [(path, bit) for path in sorted(tmp_path.iterdir()) for bit in range(8 * path.stat().st_size)]
    chosen = [every[n] for n in rng.choice(len(every), 1000, replace=False)]
    heads = [(path, bit) for path, bit in every if path.suffix == ".json" or (path.suffix == ".npy" and bit < 1024)]
    headers = [heads[n] for n in rng.choice(len(heads), 600, replace=False)]
    assert {path.name.split("-")[0] for path, _ in chosen} == {"catalogue", "embeddings", "index", "manifest.json"}
    assert flips(tmp_path, chosen, verify=True) == []
    unread = flips(tmp_path, chosen + headers, verify=False)
    assert {name.split("-")[0] for name in unread} == {"embeddings"}
    assert Gallery.open(tmp_path, PRINT, verify=True)


def test_a_file_cut_short_lengthened_or_gone_is_refused_by_its_name(tmp_path: Path) -> None:
    filed().save(tmp_path)
    for path in [path for path in tmp_path.iterdir() if path.suffix != ".json"]:
        whole = path.read_bytes()
        for content in (whole[:0], whole[:100], whole[:-1], whole + b"\0"):
            path.write_bytes(content)
            with pytest.raises(ValueError, match=f"{path.name} is missing or damaged"):
                Gallery.open(tmp_path, PRINT)
        path.unlink()
        with pytest.raises(ValueError, match=f"{path.name} is missing or damaged"):
            Gallery.open(tmp_path, PRINT)
        path.write_bytes(whole)


def test_a_manifest_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    filed().save(tmp_path)
    whole = (tmp_path / "manifest.json").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "manifest.json").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
            Gallery.open(tmp_path, PRINT)


@pytest.mark.parametrize("part", ["index", "catalogue"])
def test_a_file_that_goes_between_a_look_and_its_opening_is_read_anew(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed().save(tmp_path)
    changes, whole = [changed(tmp_path)], module._verified

    def late(folder: Path, entry: dict[str, Any]) -> Path:
        path = whole(folder, entry)
        if changes and entry["file"].startswith(part):
            changes.pop().save(tmp_path)
        return path

    monkeypatch.setattr(module, "_verified", late)
    assert len(Gallery.open(tmp_path, PRINT).embeddings.segments) == 2


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format": 2}'])
def test_a_manifest_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        Gallery.open(tmp_path, PRINT)


@pytest.mark.parametrize("version", [1, 3])
def test_another_format_version_is_refused_by_its_number(version: int, tmp_path: Path) -> None:
    filed().save(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    with pytest.raises(ValueError, match=rf"json is of format {version}, this package reads 2: to file it anew"):
        Gallery.open(tmp_path, PRINT)
    filed(seed=1).save(tmp_path)
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed(seed=1))


@pytest.mark.parametrize("short", ["embeddings", "catalogue"])
def test_files_of_different_lengths_are_refused(short: str, tmp_path: Path) -> None:
    whole = filed()
    parts: dict[str, Any] = {"embeddings": whole.embeddings, "catalogue": whole.catalogue}
    parts[short] = whole.embeddings.taken(np.arange(39)) if short == "embeddings" else catalogue(39)
    module.save(tmp_path, module.Files(whole.index, parts["embeddings"], parts["catalogue"], PRINT, frozenset()))
    with pytest.raises(ValueError, match=rf"the gallery in {tmp_path} is damaged \(the index holds 40 rows up to 39"):
        Gallery.open(tmp_path, PRINT)


def test_a_segment_of_another_type_is_refused_by_its_name(tmp_path: Path) -> None:
    gallery = filed()
    gallery.embeddings = SimpleNamespace(segments=[np.zeros((40, 6), np.float32)])  # type: ignore[assignment]
    gallery.save(tmp_path)
    with pytest.raises(ValueError, match=r"embeddings-.*npy is damaged \(it holds \(40, 6\) float32\)"):
        Gallery.open(tmp_path, PRINT, verify=True)


def test_saving_over_an_old_gallery_leaves_its_own_files_only(tmp_path: Path) -> None:
    filed(None, rows=30, seed=1).save(tmp_path)
    old = names(tmp_path)
    for stray in (
        "index-draft.faiss",
        "embeddings-draft.npy",
        ".index-draft.faiss.0a1b.part",
        ".manifest.json.2c.part",
    ):
        (tmp_path / stray).write_text("half")  # of a save that was killed
    (tmp_path / "notes.txt").write_text("a user's own")
    filed().save(tmp_path)
    assert names(tmp_path) == sorted([*current(tmp_path), "notes.txt"])
    assert set(current(tmp_path)) & set(old) == {"manifest.json"}
    assert equal(Gallery.open(tmp_path, PRINT), filed())


def test_saving_the_same_gallery_again_changes_nothing(tmp_path: Path) -> None:
    filed().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filed().save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
