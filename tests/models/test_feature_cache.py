"""Features are computed once, shared by all runs with the same settings, and complete or absent."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.models import feature_cache
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.feature_cache import cache_features, cached_views
from tests.runs.factories import tiny_backbone

MakeData = Callable[..., GarmentData]
CATEGORIES = ["circle", "cross", "square"]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace every backbone by a tiny one."""
    monkeypatch.setattr("fashion_lsh.models.crop_model.create_backbone", tiny_backbone)


def make_model(seed: int = 0, frozen: bool = True) -> ClassifierModel:
    torch.manual_seed(seed)
    return ClassifierModel("resnet18", CATEGORIES, image_size=32, frozen=frozen)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def images_by_row(loader: Any) -> dict[int, torch.Tensor]:
    """Images, or features, of an epoch by catalogue row."""
    return {int(row): image for batch in loader for row, image in zip(batch.rows, batch.images, strict=True)}


def test_model_output_on_features_equals_output_on_images(make_data: MakeData, tmp_path: Path) -> None:
    model, data = make_model(), make_data()
    cached = cache_features(model, data, tmp_path)
    for split in ("train", "val", "query", "gallery"):
        expected, encoded = (encode_split(model, each, split) for each in (data, cached))  # type: ignore[arg-type]
        assert np.allclose(encoded.encoded.probabilities, expected.encoded.probabilities, atol=1e-6)
        assert np.allclose(encoded.encoded.embeddings, expected.encoded.embeddings, atol=1e-6)
        assert encoded.descriptors.keys() == expected.descriptors.keys()
        for name, values in expected.descriptors.items():
            assert np.array_equal(encoded.descriptors[name], values)


def test_second_use_encodes_no_image(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = cache_features(make_model(), make_data(), tmp_path).features
    monkeypatch.setattr(feature_cache, "_encode", None)  # would fail if it was called
    with caplog.at_level(logging.INFO):
        again = cache_features(make_model(), make_data(seed=1, batch_size=4, jitter=0.3), tmp_path).features
    assert first is not None
    assert again is not None
    assert np.array_equal(first.matrix, again.matrix)
    assert isinstance(again.matrix, np.memmap)
    assert str(tmp_path) in caplog.text


def test_features_that_are_needed_twice_at_once_are_computed_once(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks of one process in two threads are those of two processes."""
    calls, write = [], feature_cache._write
    monkeypatch.setattr(
        feature_cache, "_write", lambda *arguments: (calls.append(0), time.sleep(0.5), write(*arguments))
    )
    with ThreadPoolExecutor() as executor:
        first, second = executor.map(
            cache_features, [make_model(), make_model()], [make_data(), make_data()], [tmp_path] * 2
        )
    assert len(calls) == 1
    assert np.array_equal(first.features.matrix, second.features.matrix)


@pytest.mark.parametrize(
    ("changes", "seed", "views", "code"),
    [
        ({"image_size": 40}, 0, 1, None),
        ({"crop": "whole"}, 0, 1, None),
        ({"margin": 0.3}, 0, 1, None),
        ({"split_seed": 1}, 0, 1, None),
        ({}, 1, 1, None),
        ({}, 0, 2, None),
        ({}, 0, 1, {"GarmentData": 2}),
    ],
)
def test_other_settings_have_another_file(
    changes: dict[str, Any], seed: int, views: int, code: Any, make_data: MakeData, tmp_path: Path
) -> None:
    cache_features(make_model(), make_data(), tmp_path)
    num_files = len(files(tmp_path))
    cache_features(make_model(seed), make_data(**changes), tmp_path, views, code)
    assert len(files(tmp_path)) == 2 * num_files


def test_seed_and_augmentation_matter_only_with_views(make_data: MakeData, tmp_path: Path) -> None:
    for changes in ({}, {"seed": 1}, {"jitter": 0.3}, {"train_image_size": 40}):
        cache_features(make_model(), make_data(**changes), tmp_path, views=2)
    assert len({path.parent for path in files(tmp_path)}) == 4


def test_interrupted_encoding_leaves_no_file(
    make_data: MakeData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, calls = feature_cache._encode, iter(range(2))

    def interrupt(*arguments: Any) -> np.ndarray:
        if next(calls, None) is None:
            raise RuntimeError("interrupted")
        return encode(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(feature_cache, "_encode", interrupt)
        with pytest.raises(RuntimeError, match="interrupted"):
            cache_features(make_model(), make_data(), tmp_path)
    assert files(tmp_path) == []
    cached = cache_features(make_model(), make_data(), tmp_path).features
    assert cached is not None
    assert np.abs(cached.matrix).sum(axis=1).all()


def test_views_are_the_augmented_images_of_the_first_epochs(make_data: MakeData, tmp_path: Path) -> None:
    model, data = make_model(), make_data(batch_size=6)
    cached = cache_features(model, data, tmp_path, views=2)
    loader, cached_loader = data.train_dataloader(), cached.train_dataloader()
    seen = []
    for epoch in (0, 1, 2):
        loader.sampler.set_epoch(epoch % 2)  # type: ignore[attr-defined]
        images = images_by_row(loader)
        cached_loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        features = {
            int(row): each for batch in cached_loader for row, each in zip(batch.rows, batch.images, strict=True)
        }
        common = sorted(images.keys() & features.keys())
        assert len(common) > 10
        expected = model.eval().features(torch.stack([images[row] for row in common]))
        assert torch.allclose(torch.stack([features[row] for row in common]), expected, atol=1e-5)
        seen.append(features)
    assert all(not torch.equal(seen[0][row], seen[1][row]) for row in seen[0].keys() & seen[1].keys())
    assert all(torch.equal(seen[0][row], seen[2][row]) for row in seen[0].keys() & seen[2].keys())


@pytest.mark.parametrize(("frozen", "views"), [(False, 1), (True, 0)])
def test_only_features_of_a_frozen_backbone_are_cached(
    frozen: bool, views: int, make_data: MakeData, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"frozen={frozen}, views={views}"):
        cache_features(make_model(frozen=frozen), make_data(), tmp_path, views)


class Identity:
    """Augmentation that changes nothing."""

    def __call__(self, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return crop


@pytest.mark.parametrize(
    ("setting", "changes", "needs_pairs", "expected"),
    [
        ("auto", {}, False, 1),
        ("auto", {"jitter": 0.25}, False, 1),
        ("auto", {}, True, 1),  # each item has two images
        ("auto", {"min_crop_area": 0.5}, False, 0),
        (3, {"min_crop_area": 0.5}, False, 3),
        (0, {}, False, 0),
        (1, {}, True, 1),
    ],
)
def test_number_of_views(
    setting: Any, changes: dict[str, Any], needs_pairs: bool, expected: int, make_data: MakeData
) -> None:
    assert cached_views(setting, make_data(**changes), needs_pairs) == expected


def test_own_augmentation_is_named_and_not_cached(make_data: MakeData, caplog: pytest.LogCaptureFixture) -> None:
    data = make_data().replace(transform=Identity())
    with caplog.at_level(logging.INFO):
        assert cached_views("auto", data) == 0
    assert "data.transform" in caplog.text


def test_pairs_of_items_with_one_image_need_two_views(make_data: MakeData) -> None:
    data = make_data()
    single = data.replace(items=np.arange(len(data.catalogue)))
    with pytest.raises(ValueError, match=r"backbone\.cached_views=1"):
        cached_views(1, single, True)
    assert cached_views(2, single, True) == 2
    assert cached_views("auto", single, True) == 2
