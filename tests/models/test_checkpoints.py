"""Checkpoints: full disk, missing and damaged files, required disk space."""

from pathlib import Path

import pytest

from fashion_lsh.models.checkpoints import load_model, min_checkpoint_bytes
from tests.disks import full_disk
from tests.models.factories import save
from tests.training.factories import file_names, make_model, tiny_backbone


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every backbone by a tiny one."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("limit", [0, 100, 5000])
def test_full_disk_keeps_the_old_checkpoint(limit: int, tmp_path: Path) -> None:
    path = tmp_path / "classifier.ckpt"
    save(make_model(), path)
    before = path.read_bytes()
    with full_disk(limit), pytest.raises(OSError, match=r"classifier\.ckpt.*File too large"):
        save(make_model(), path)
    assert file_names(tmp_path) == ["classifier.ckpt"]
    assert path.read_bytes() == before


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hash_head\.ckpt: .*train\.py"):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint"])
def test_damaged_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hash_head.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"hash_head\.ckpt: "):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.usefixtures("tiny")
def test_min_checkpoint_bytes_counts_weights_and_one_fit(tmp_path: Path) -> None:
    model = make_model()
    save(model, tmp_path / "classifier.ckpt")
    weights = sum(value.nbytes for value in model.model.state_dict().values())
    assert weights <= (tmp_path / "classifier.ckpt").stat().st_size
    assert min_checkpoint_bytes([model.model, model.model]) == 5 * weights
