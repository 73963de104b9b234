"""Saving and opening a gallery folder, and rejection of damaged files."""

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
    FINGERPRINT,
    build_gallery,
    file_names,
    galleries_are_equal,
    make_catalogue,
    modified_gallery,
    random_encoded,
    referenced_files,
)

with_and_without_codes = pytest.mark.parametrize("bits", [BITS, None])


@with_and_without_codes
def test_save_and_open_give_the_same_hits(bits: int | None, tmp_path: Path) -> None:
    build_gallery(bits).save(tmp_path / "deep" / "index")
    opened = Gallery.open(tmp_path / "deep" / "index", FINGERPRINT)
    assert [type(part) for part in opened.embeddings.segments] == [np.memmap]
    assert galleries_are_equal(opened, build_gallery(bits))


@with_and_without_codes
def test_added_rows_form_a_new_segment_and_old_segments_are_not_rewritten(bits: int | None, tmp_path: Path) -> None:
    build_gallery(bits).save(tmp_path)
    (old_segment,) = tmp_path.glob("embeddings-*.npy")
    old_status = old_segment.stat()
    gallery = modified_gallery(tmp_path)
    for _ in range(2):
        gallery.save(tmp_path)
        opened = Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True)
        assert galleries_are_equal(opened, gallery)
        assert len(opened.embeddings.segments) == 2
        assert (old_segment.stat().st_ino, old_segment.stat().st_mtime_ns) == (
            old_status.st_ino,
            old_status.st_mtime_ns,
        )
        assert file_names(tmp_path) == referenced_files(tmp_path)
    gallery.compact()
    gallery.save(tmp_path)
    assert not old_segment.exists()
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), gallery)
    assert file_names(tmp_path) == referenced_files(tmp_path)


def test_gallery_rebuilt_by_another_process_is_reread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_gallery().save(tmp_path)
    unsaved_galleries, original = [modified_gallery(tmp_path)], module._check_checksum

    def save_then_verify(folder: Path, entry: dict[str, Any]) -> Path:
        if unsaved_galleries:
            unsaved_galleries.pop().save(tmp_path)
        return original(folder, entry)

    monkeypatch.setattr(module, "_check_checksum", save_then_verify)
    opened = Gallery.open(tmp_path, FINGERPRINT)
    assert len(opened.embeddings.segments) == 2


def test_opened_gallery_is_saved_completely_to_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_gallery().save(tmp_path / "one")
    build_gallery(num_rows=10).save(tmp_path / "other")
    Gallery.open(tmp_path / "one", FINGERPRINT).save(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / "other", Path("other")):
        assert galleries_are_equal(Gallery.open(folder, FINGERPRINT, verify_embeddings=True), build_gallery())
        assert file_names(folder) == referenced_files(folder)


def test_equal_segments_share_a_file(tmp_path: Path) -> None:
    gallery = build_gallery()
    gallery.add(random_encoded(0, 40), make_catalogue(40, 40))
    gallery.save(tmp_path)
    assert len(list(tmp_path.glob("embeddings-*"))) == 1
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), gallery)


@with_and_without_codes
def test_empty_gallery_is_saved_opened_and_extended(bits: int | None, tmp_path: Path) -> None:
    build_gallery(bits, num_rows=0).save(tmp_path)
    opened = Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True)
    assert len(opened) == 0
    opened.add(random_encoded(0, 40, bits), make_catalogue(40))
    opened.save(tmp_path)
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery(bits))


def test_pending_additions_are_saved(tmp_path: Path) -> None:
    gallery = build_gallery()
    gallery.pending_keys = frozenset({"b", "a"})
    gallery.save(tmp_path)
    assert Gallery.open(tmp_path, FINGERPRINT).pending_keys == {"a", "b"}


def test_gallery_of_another_model_is_rejected(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    with pytest.raises(ValueError, match=rf"{tmp_path} .*{FINGERPRINT[:8]}.*another .*{module.REBUILD_HINT}"):
        Gallery.open(tmp_path, "another model")


def test_missing_gallery_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"gallery in {tmp_path}"):
        Gallery.open(tmp_path, FINGERPRINT)


def undetected_bit_flips(folder: Path, bits: list[tuple[Path, int]], verify_embeddings: bool) -> list[str]:
    """Flip one bit at a time; return the names of files with undetected flips.

    Each error message must contain the name of the file.
    """
    undetected = []
    for path, bit in bits:
        _flip(path, bit)
        message = _error_message(folder, verify_embeddings)
        _flip(path, bit)
        if message is None:
            undetected.append(path.name)
        else:
            assert path.name in message
            assert message.endswith(module.REBUILD_HINT)
    return undetected


def _error_message(folder: Path, verify_embeddings: bool) -> str | None:
    try:
        Gallery.open(folder, FINGERPRINT, verify_embeddings)
    except ValueError as error:
        return str(error)
    return None


def _flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


@with_and_without_codes
def test_every_flipped_bit_is_detected(bits: int | None, tmp_path: Path) -> None:
    build_gallery(bits).save(tmp_path)
    modified_gallery(tmp_path).save(tmp_path)
    rng = np.random.default_rng(1)
    all_bits = [(path, bit) for path in sorted(tmp_path.iterdir()) for bit in range(8 * path.stat().st_size)]
    sampled_bits = [all_bits[n] for n in rng.choice(len(all_bits), 1000, replace=False)]
    header_bits = [
        (path, bit) for path, bit in all_bits if path.suffix == ".json" or (path.suffix == ".npy" and bit < 1024)
    ]
    sampled_header_bits = [header_bits[n] for n in rng.choice(len(header_bits), 600, replace=False)]
    assert {path.name.split("-")[0] for path, _ in sampled_bits} == {
        "catalogue",
        "embeddings",
        "index",
        "manifest.json",
    }
    assert undetected_bit_flips(tmp_path, sampled_bits, verify_embeddings=True) == []
    undetected_flips = undetected_bit_flips(tmp_path, sampled_bits + sampled_header_bits, verify_embeddings=False)
    assert {name.split("-")[0] for name in undetected_flips} == {"embeddings"}
    assert Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True)


def test_path_of_a_truncated_extended_or_missing_file_is_in_the_error(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    for path in [path for path in tmp_path.iterdir() if path.suffix != ".json"]:
        content = path.read_bytes()
        for damaged_content in (content[:0], content[:100], content[:-1], content + b"\0"):
            path.write_bytes(damaged_content)
            with pytest.raises(ValueError, match=path.name):
                Gallery.open(tmp_path, FINGERPRINT)
        path.unlink()
        with pytest.raises(ValueError, match=path.name):
            Gallery.open(tmp_path, FINGERPRINT)
        path.write_bytes(content)


def test_truncated_manifest_is_rejected(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    content = (tmp_path / "manifest.json").read_bytes()
    for size in range(0, len(content), 7):
        (tmp_path / "manifest.json").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"manifest\.json"):
            Gallery.open(tmp_path, FINGERPRINT)


@pytest.mark.parametrize("part", ["index", "catalogue"])
def test_gallery_is_reread_if_a_file_is_replaced_while_opening(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_gallery().save(tmp_path)
    unsaved_galleries, original = [modified_gallery(tmp_path)], module._check_checksum

    def verify_then_save(folder: Path, entry: dict[str, Any]) -> Path:
        path = original(folder, entry)
        if unsaved_galleries and entry["file"].startswith(part):
            unsaved_galleries.pop().save(tmp_path)
        return path

    monkeypatch.setattr(module, "_check_checksum", verify_then_save)
    assert len(Gallery.open(tmp_path, FINGERPRINT).embeddings.segments) == 2


@pytest.mark.parametrize("content", ["[]", "3", "null", "{}", '{"format": 4}'])
def test_invalid_manifest_is_rejected(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json"):
        Gallery.open(tmp_path, FINGERPRINT)


@pytest.mark.parametrize("version", [3, 5])
def test_another_format_version_is_rejected(version: int, tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": version}))
    with pytest.raises(ValueError, match=rf"manifest\.json: format={version}, .*format 4"):
        Gallery.open(tmp_path, FINGERPRINT)
    build_gallery(seed=1).save(tmp_path)
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery(seed=1))


@pytest.mark.parametrize("shortened_part", ["embeddings", "catalogue"])
def test_files_with_different_numbers_of_rows_are_rejected(shortened_part: str, tmp_path: Path) -> None:
    gallery = build_gallery()
    parts: dict[str, Any] = {"embeddings": gallery.embeddings, "catalogue": gallery.catalogue}
    parts[shortened_part] = (
        gallery.embeddings.take(np.arange(39)) if shortened_part == "embeddings" else make_catalogue(39)
    )
    module.save(
        tmp_path, module.GalleryFiles(gallery.index, parts["embeddings"], parts["catalogue"], FINGERPRINT, frozenset())
    )
    with pytest.raises(ValueError, match=rf"{tmp_path} .*index has 40 rows up to 39"):
        Gallery.open(tmp_path, FINGERPRINT)


def test_path_of_a_segment_of_wrong_dtype_is_in_the_error(tmp_path: Path) -> None:
    gallery = build_gallery()
    gallery.embeddings = SimpleNamespace(segments=[np.zeros((40, 6), np.float32)])  # type: ignore[assignment]
    gallery.save(tmp_path)
    with pytest.raises(ValueError, match=r"embeddings-.*npy .*\(40, 6\).*float32"):
        Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True)


def test_save_removes_files_of_the_old_gallery(tmp_path: Path) -> None:
    build_gallery(None, num_rows=30, seed=1).save(tmp_path)
    old_names = file_names(tmp_path)
    for name in (
        "index-draft.bin",
        "embeddings-draft.npy",
        ".index-draft.bin.0a1b.part",
        ".manifest.json.2c.part",
    ):
        (tmp_path / name).write_text("half")  # left by a killed save
    (tmp_path / "notes.txt").write_text("a user's own")
    build_gallery().save(tmp_path)
    assert file_names(tmp_path) == sorted([*referenced_files(tmp_path), "notes.txt"])
    assert set(referenced_files(tmp_path)) & set(old_names) == {"manifest.json"}
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT), build_gallery())


def test_saving_twice_is_idempotent(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    build_gallery().save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
