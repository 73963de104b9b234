"""A save that is cut short at any moment, by a full disk, a key or a kill, leaves a gallery that opens."""

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
from tests.gallery.factories import BITS, PRINT, changed, current, equal, filed, names

both = pytest.mark.parametrize("bits", [BITS, None])


class Ended(BaseException):
    """As KeyboardInterrupt: no handler of errors sees it."""


@contextmanager
def cut_short(step: int, gone: bool) -> Iterator[None]:
    """Let the step-th change of the disk be the last one.

    `gone`: the process is, before that change, and nothing tidies up after it. Otherwise a key is pressed right after
    the change, and what tidies up may go on.
    """
    steps = count()

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def do(*args: Any, **kwargs: Any) -> Any:
            now = next(steps)
            if gone and now >= step:
                raise Ended
            done = change(*args, **kwargs)
            if not gone and now == step:
                raise Ended
            return done

        return do

    with pytest.MonkeyPatch.context() as patch:
        for name in ("replace", "unlink", "open", "mkdir", "write_text"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        patch.setattr(files, "os", SimpleNamespace(fsync=counted(os.fsync)))
        yield


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize(("bits", "how"), [(BITS, "changed"), (None, "changed"), (BITS, "compact")])
def test_a_save_cut_short_at_any_step_leaves_the_old_or_the_new_gallery(
    bits: int | None, gone: bool, how: str, tmp_path: Path
) -> None:
    outcomes = []
    for step in count():
        folder = tmp_path / str(step)
        filed(bits).save(folder)
        new = changed(folder)
        if how == "compact":
            new.compact()
        try:
            with cut_short(step, gone):
                new.save(folder)
        except Ended:
            opened = Gallery.open(folder, PRINT, verify=True)
            is_new = equal(opened, new)
            assert is_new or equal(opened, filed(bits))
            outcomes.append(is_new)
            if not gone and not is_new:
                assert names(folder) == current(folder)
            new.save(folder)
            assert names(folder) == current(folder)
            assert equal(Gallery.open(folder, PRINT, verify=True), new)
        else:
            break
    assert outcomes == sorted(outcomes)  # once it is the new one, it stays so
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 10


@pytest.mark.parametrize("last", [0, 1, 2, 3])
@pytest.mark.parametrize("same_index", [False, True])
def test_a_save_that_fails_at_any_file_leaves_the_old_gallery(
    last: int, same_index: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed().save(tmp_path)
    before, synced = names(tmp_path), iter(range(9))
    new = filed(rows=40 if same_index else 50, seed=2)
    if same_index:
        new.index = filed().index

    def full(_file: int) -> None:
        if next(synced) == last:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "os", SimpleNamespace(fsync=full))
        with pytest.raises(OSError, match=r"could not be written \(No space left on device\)"):
            new.save(tmp_path)
    assert names(tmp_path) == before
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed())


@both
def test_a_full_disk_leaves_the_old_gallery(bits: int | None, tmp_path: Path) -> None:
    filed(bits).save(tmp_path)
    before = names(tmp_path)
    filed(bits, rows=400).save(tmp_path / "large")
    sizes = sorted(path.stat().st_size for path in (tmp_path / "large").glob("*-*"))
    for size in (100, *(size - 1 for size in sizes)):
        with full_disk(size), pytest.raises(OSError, match="could not be written"):
            filed(bits, rows=400, seed=3).save(tmp_path)
        assert names(tmp_path) == sorted([*before, "large"])
        assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed(bits))


def test_a_full_disk_leaves_an_opened_gallery_as_it_was_and_can_be_tried_again(tmp_path: Path) -> None:
    filed().save(tmp_path)
    gallery, before = changed(tmp_path), names(tmp_path)
    with full_disk(300), pytest.raises(OSError, match="could not be written"):
        gallery.save(tmp_path)
    assert names(tmp_path) == before
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed())
    gallery.save(tmp_path)
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), gallery)


def test_a_first_save_that_fails_leaves_an_empty_folder_and_can_be_repeated(tmp_path: Path) -> None:
    with full_disk(1000), pytest.raises(OSError, match="could not be written"):
        filed().save(tmp_path / "index")
    assert names(tmp_path / "index") == []
    filed().save(tmp_path / "index")
    assert equal(Gallery.open(tmp_path / "index", PRINT), filed())


def test_a_failed_save_over_a_damaged_manifest_says_why_it_failed(tmp_path: Path) -> None:
    filed().save(tmp_path)
    (tmp_path / "manifest.json").write_text("half")
    with full_disk(100), pytest.raises(OSError, match="could not be written"):
        filed(seed=1).save(tmp_path)
    filed(seed=1).save(tmp_path)
    assert names(tmp_path) == current(tmp_path)
    assert equal(Gallery.open(tmp_path, PRINT, verify=True), filed(seed=1))
