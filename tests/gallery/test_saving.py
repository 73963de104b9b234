"""A save interrupted by a full disk, Ctrl+C or a kill leaves a valid gallery."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io import files
from tests.disks import full_disk
from tests.gallery.factories import (
    BITS,
    FINGERPRINT,
    build_gallery,
    file_names,
    galleries_are_equal,
    modified_gallery,
    referenced_files,
)

with_and_without_codes = pytest.mark.parametrize("bits", [BITS, None])


class Interrupted(BaseException):
    """Exception that, like KeyboardInterrupt, is not caught by `except Exception`."""


@contextmanager
def interrupt_at(step: int, is_killed: bool) -> Iterator[None]:
    """Interrupt the block at the change of the disk with index `step`.

    Args:
        step: index of the change, from 0.
        is_killed: True simulates a kill, which prevents the change and any clean-up. False simulates Ctrl+C after the
            change, so that clean-up code runs.
    """
    steps = count()

    def count_calls(call: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(*args: Any, **kwargs: Any) -> Any:
            current_step = next(steps)
            if is_killed and current_step >= step:
                raise Interrupted
            result = call(*args, **kwargs)
            if not is_killed and current_step == step:
                raise Interrupted
            return result

        return counted_call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "open", "mkdir", "write_text"):
            patch.setattr(Path, name, count_calls(getattr(Path, name)))
        patch.setattr(files, "os", SimpleNamespace(fsync=count_calls(os.fsync)))
        yield


@pytest.mark.parametrize("is_killed", [True, False])
@pytest.mark.parametrize(("bits", "change"), [(BITS, "changed"), (None, "changed"), (BITS, "compact")])
def test_interrupted_save_leaves_the_old_or_the_new_gallery(
    bits: int | None, is_killed: bool, change: str, tmp_path: Path
) -> None:
    is_new_by_step = []
    for step in count():
        folder = tmp_path / str(step)
        build_gallery(bits).save(folder)
        new = modified_gallery(folder)
        if change == "compact":
            new.compact()
        try:
            with interrupt_at(step, is_killed):
                new.save(folder)
        except Interrupted:
            opened = Gallery.open(folder, FINGERPRINT, verify_embeddings=True)
            is_new = galleries_are_equal(opened, new)
            assert is_new or galleries_are_equal(opened, build_gallery(bits))
            is_new_by_step.append(is_new)
            if not is_killed and not is_new:
                assert file_names(folder) == referenced_files(folder)
            new.save(folder)
            assert file_names(folder) == referenced_files(folder)
            assert galleries_are_equal(Gallery.open(folder, FINGERPRINT, verify_embeddings=True), new)
        else:
            break
    # If one step leaves the new gallery, all later steps leave the new gallery.
    assert is_new_by_step == sorted(is_new_by_step)
    assert set(is_new_by_step) == {False, True}
    assert len(is_new_by_step) > 10


@pytest.mark.parametrize("failing_file", [0, 1, 2, 3])
@pytest.mark.parametrize("has_same_index", [False, True])
def test_save_that_fails_at_any_file_leaves_the_old_gallery(
    failing_file: int, has_same_index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_gallery().save(tmp_path)
    before, file_indices = file_names(tmp_path), iter(range(9))
    new = build_gallery(num_rows=40 if has_same_index else 50, seed=2)
    if has_same_index:
        new.index = build_gallery().index

    def raise_disk_full(_file: int) -> None:
        if next(file_indices) == failing_file:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", SimpleNamespace(fsync=raise_disk_full))
        with pytest.raises(OSError, match="No space left on device"):
            new.save(tmp_path)
    assert file_names(tmp_path) == before
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery())


@with_and_without_codes
def test_full_disk_leaves_the_old_gallery(bits: int | None, tmp_path: Path) -> None:
    build_gallery(bits).save(tmp_path)
    before = file_names(tmp_path)
    build_gallery(bits, num_rows=400).save(tmp_path / "large")
    sizes = sorted(path.stat().st_size for path in (tmp_path / "large").glob("*-*"))
    for size in (100, *(size - 1 for size in sizes)):
        with full_disk(size), pytest.raises(OSError, match="could not be written"):
            build_gallery(bits, num_rows=400, seed=3).save(tmp_path)
        assert file_names(tmp_path) == sorted([*before, "large"])
        assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery(bits))


def test_save_can_be_retried_after_a_full_disk(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    gallery, before = modified_gallery(tmp_path), file_names(tmp_path)
    with full_disk(300), pytest.raises(OSError, match="could not be written"):
        gallery.save(tmp_path)
    assert file_names(tmp_path) == before
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery())
    gallery.save(tmp_path)
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), gallery)


def test_failed_first_save_leaves_an_empty_folder(tmp_path: Path) -> None:
    with full_disk(1000), pytest.raises(OSError, match="could not be written"):
        build_gallery().save(tmp_path / "index")
    assert file_names(tmp_path / "index") == []
    build_gallery().save(tmp_path / "index")
    assert galleries_are_equal(Gallery.open(tmp_path / "index", FINGERPRINT), build_gallery())


def test_disk_error_is_reported_if_the_old_manifest_is_damaged(tmp_path: Path) -> None:
    build_gallery().save(tmp_path)
    (tmp_path / "manifest.json").write_text("half")
    with full_disk(100), pytest.raises(OSError, match="could not be written"):
        build_gallery(seed=1).save(tmp_path)
    build_gallery(seed=1).save(tmp_path)
    assert file_names(tmp_path) == referenced_files(tmp_path)
    assert galleries_are_equal(Gallery.open(tmp_path, FINGERPRINT, verify_embeddings=True), build_gallery(seed=1))
