"""A gallery is what was filed, whole or refused, through saving, opening, damage and full disks."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fashion_lsh import files
from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.retrieval.encoding import Encoded
from fashion_lsh.retrieval.gallery import Gallery
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.index import FloatIndex, HashIndex

PRINT, OTHER = "0123456789abcdef", "fedcba9876543210"
both = pytest.mark.parametrize("bits", [12, None])


def fake(bits: int | None, fingerprint: str = PRINT) -> Any:
    return SimpleNamespace(bits=bits, categories=["bag", "coat", "dress", "hat"], fingerprint=lambda: fingerprint)


def encoded(bits: int | None, rows: int = 40, seed: int = 0) -> Encoded:
    rng = np.random.default_rng(seed)
    codes = None if bits is None else np.packbits(rng.random((rows, bits)) < 0.5, axis=1, bitorder="little")
    return Encoded(rng.random((rows, 4), dtype=np.float32), codes, rng.normal(size=(rows, 6)).astype(np.float32))


def catalogue(rows: int = 40) -> Catalogue:
    ids = [f"garment {n}" for n in range(rows)]
    return Catalogue.of({"id": ids, "picture": ids, "category": ["hat"] * rows, "item": ids})


def filed(bits: int | None, rows: int = 40, seed: int = 0) -> Gallery:
    return Gallery.filed(fake(bits), encoded(bits, rows, seed), catalogue(rows))


def hits(gallery: Gallery) -> Hits:
    asked = encoded(12 if isinstance(gallery.index, HashIndex) else None, 5, seed=9)
    vectors = asked.embeddings if asked.codes is None else asked.codes
    return gallery.index.search(vectors, np.tile(np.arange(4), (5, 1)), 50)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same(ours: Gallery, wanted: Gallery) -> None:
    assert np.array_equal(hits(ours).rows, hits(wanted).rows)
    assert np.array_equal(hits(ours).distances, hits(wanted).distances)
    assert np.array_equal(ours.embeddings, wanted.embeddings)
    assert np.array_equal(ours.lists, wanted.lists)
    assert ours.catalogue.checksum == wanted.catalogue.checksum
    assert ours.fingerprint == wanted.fingerprint


def test_each_row_is_filed_under_its_predicted_category() -> None:
    gallery, pictures = filed(12), encoded(12)
    assert isinstance(gallery.index, HashIndex)
    assert gallery.index.bits == 12
    assert gallery.index.lists == 4
    assert gallery.lists.tolist() == [int(np.argmax(masses)) for masses in pictures.masses]
    assert np.array_equal(gallery.codes, pictures.codes)
    assert gallery.embeddings.dtype == np.float16
    np.testing.assert_allclose(gallery.embeddings, pictures.embeddings, rtol=1e-3)


def test_without_a_hash_layer_embeddings_are_filed() -> None:
    gallery, pictures = filed(None), encoded(None)
    assert isinstance(gallery.index, FloatIndex)
    assert gallery.codes is None
    assert gallery.lists.tolist() == pictures.predicted.tolist()
    assert np.array_equal(gallery.index.contents()[2], pictures.embeddings)


@both
def test_pictures_and_catalogue_of_different_lengths_are_not_filed(bits: int | None) -> None:
    with pytest.raises(ValueError, match=r"give \(40,\) int64"):
        Gallery.filed(fake(bits), encoded(bits), catalogue(39))


@both
def test_saved_then_opened_gives_the_same_hits(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path / "deep" / "index")
    opened = Gallery.open(tmp_path / "deep" / "index", PRINT)
    assert isinstance(opened.embeddings, np.memmap)
    assert_same(opened, filed(bits))


def test_an_empty_gallery_is_saved_and_opened(tmp_path: Path) -> None:
    filed(12, rows=0).save(tmp_path)
    assert len(Gallery.open(tmp_path, PRINT).catalogue) == 0


def test_another_models_gallery_is_refused(tmp_path: Path) -> None:
    filed(12).save(tmp_path)
    with pytest.raises(ValueError, match=rf"{tmp_path} holds codes of model 01234567, asked by fedcba98.*file the ga"):
        Gallery.open(tmp_path, OTHER)


def test_no_gallery_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no gallery in {tmp_path}"):
        Gallery.open(tmp_path, PRINT)


@both
def test_one_bit_flipped_anywhere_is_refused_by_the_files_name(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path)
    rng = np.random.default_rng(1)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        places = rng.permutation(len(whole))[: 250 if path.suffix == ".json" else 80]
        for place in places:
            flipped = bytearray(whole)
            flipped[place] ^= 1 << rng.integers(8)
            path.write_bytes(flipped)
            with pytest.raises(ValueError, match=rf"{path.name} is .*: file the gallery anew"):
                Gallery.open(tmp_path, PRINT)
        path.write_bytes(whole)
    assert_same(Gallery.open(tmp_path, PRINT), filed(bits))


def test_a_file_cut_short_lengthened_or_gone_is_refused_by_its_name(tmp_path: Path) -> None:
    filed(12).save(tmp_path)
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
    filed(12).save(tmp_path)
    whole = (tmp_path / "manifest.json").read_bytes()
    for size in range(0, len(whole), 7):
        (tmp_path / "manifest.json").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
            Gallery.open(tmp_path, PRINT)


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format": 1}'])
def test_a_manifest_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged"):
        Gallery.open(tmp_path, PRINT)


def test_another_format_version_is_refused_by_its_number(tmp_path: Path) -> None:
    filed(12).save(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    with pytest.raises(ValueError, match=r"manifest\.json is of format 2, this package reads 1: file the gallery anew"):
        Gallery.open(tmp_path, PRINT)


@pytest.mark.parametrize("short", ["embeddings", "catalogue"])
def test_files_of_different_lengths_are_refused(short: str, tmp_path: Path) -> None:
    whole = filed(12)
    parts = {"embeddings": whole.embeddings, "catalogue": whole.catalogue}
    parts |= {short: whole.embeddings[:39] if short == "embeddings" else catalogue(39)}
    Gallery(whole.index, parts["embeddings"], parts["catalogue"], PRINT).save(tmp_path)
    with pytest.raises(ValueError, match=rf"the gallery in {tmp_path} is damaged: its files hold \[39, 40\] rows"):
        Gallery.open(tmp_path, PRINT)


def test_saving_over_an_old_gallery_leaves_its_own_files_only(tmp_path: Path) -> None:
    filed(None, rows=30, seed=1).save(tmp_path)
    old = names(tmp_path)
    for stray in ("index-draft.faiss", "embeddings-draft.npy"):  # of a save that was killed
        (tmp_path / stray).write_text("half")
    (tmp_path / "notes.txt").write_text("a user's own")
    filed(12).save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    current = sorted(entry["file"] for entry in manifest["files"].values())
    assert names(tmp_path) == sorted([*current, "manifest.json", "notes.txt"])
    assert set(current) & set(old) == set()
    assert_same(Gallery.open(tmp_path, PRINT), filed(12))


def test_saving_the_same_gallery_again_changes_nothing(tmp_path: Path) -> None:
    filed(12).save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    filed(12).save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("last", [0, 1, 2, 3])
@pytest.mark.parametrize("same_index", [False, True])
def test_a_save_that_fails_at_any_file_leaves_the_old_gallery(
    last: int, same_index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed(12).save(tmp_path)
    before, synced = names(tmp_path), iter(range(9))
    new = filed(12, rows=50, seed=2)
    new = Gallery(filed(12).index if same_index else new.index, new.embeddings, new.catalogue, PRINT)

    def full(_file: int) -> None:
        if next(synced) == last:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", SimpleNamespace(fsync=full, getpid=os.getpid))
        with pytest.raises(OSError, match=r"could not be written \(No space left on device\)"):
            new.save(tmp_path)
    assert names(tmp_path) == before
    assert_same(Gallery.open(tmp_path, PRINT), filed(12))


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@both
def test_a_full_disk_leaves_the_old_gallery(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path)
    before = names(tmp_path)
    filed(bits, rows=400).save(tmp_path / "large")
    sizes = sorted(path.stat().st_size for path in (tmp_path / "large").glob("*-*"))
    for size in (100, *(size - 1 for size in sizes)):
        with disk_of(size), pytest.raises(OSError, match="could not be written"):
            filed(bits, rows=400, seed=3).save(tmp_path)
        assert names(tmp_path) == sorted([*before, "large"])
        assert_same(Gallery.open(tmp_path, PRINT), filed(bits))


def test_a_first_save_that_fails_leaves_an_empty_folder_and_can_be_repeated(tmp_path: Path) -> None:
    with disk_of(1000), pytest.raises(OSError, match="could not be written"):
        filed(12).save(tmp_path / "index")
    assert names(tmp_path / "index") == []
    filed(12).save(tmp_path / "index")
    assert_same(Gallery.open(tmp_path / "index", PRINT), filed(12))
