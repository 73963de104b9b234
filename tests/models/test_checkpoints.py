"""Checkpoints: full disk, missing and damaged files, required disk space."""

from pathlib import Path

import pytest

from fashion_lsh.models.checkpoints import load_model, min_checkpoint_bytes
from tests.disks import full_disk
from tests.models.factories import save
from tests.training.factories import file_names, make_module, tiny_backbone


@pytest.fixture
def tiny_backbones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every backbone by a tiny one."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


@pytest.mark.usefixtures("tiny_backbones")
@pytest.mark.parametrize("max_bytes", [0, 100, 5000])
def test_full_disk_keeps_the_old_checkpoint(max_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "classifier.ckpt"
    save(make_module(), path)
    before = path.read_bytes()
    with full_disk(max_bytes), pytest.raises(OSError, match=r"classifier\.ckpt.*File too large"):
        save(make_module(), path)
    assert file_names(tmp_path) == ["classifier.ckpt"]
    assert path.read_bytes() == before


def test_path_of_a_missing_checkpoint_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hash_head\.ckpt: .*train command"):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no checkpoint"])
def test_path_of_a_damaged_checkpoint_is_in_the_error(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hash_head.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"hash_head\.ckpt: "):
        load_model(tmp_path / "hash_head.ckpt")


@pytest.mark.usefixtures("tiny_backbones")
def test_min_checkpoint_bytes_is_the_size_of_all_weights_and_three_copies(tmp_path: Path) -> None:
    module = make_module()
    save(module, tmp_path / "classifier.ckpt")
    weights = sum(value.nbytes for value in module.model.state_dict().values())
    assert weights <= (tmp_path / "classifier.ckpt").stat().st_size
    assert min_checkpoint_bytes([module.model, module.model]) == 5 * weights
