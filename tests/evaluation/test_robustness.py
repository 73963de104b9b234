"""Strength of corruptions, independence of the batch, and scores with a clean gallery."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.crop_modes import HEADLINE
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.evaluation.robustness import (
    BLUR_SIGMA,
    CORRUPTIONS,
    GREY,
    JPEG_QUALITY,
    NOISE_STD,
    corrupt,
    score_corruptions,
)
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import SEARCH, Column, ResultTable
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import FakeModel

SIDE = 64


def make_rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def uniform_crop(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, dtype=np.uint8)


def make_batch(rows: list[int]) -> Batch:
    images = torch.from_numpy(make_rng().integers(0, 256, (9, 3, SIDE, SIDE), dtype=np.uint8))[rows]
    row_tensor = torch.tensor(rows)
    return Batch(images, row_tensor, row_tensor, row_tensor)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_a_crop_and_keeps_its_shape(name: str) -> None:
    before = make_batch([0, 1])
    after = corrupt(before, name)
    assert after.images.shape == before.images.shape
    assert after.images.dtype == torch.uint8
    assert not torch.equal(after.images, before.images)
    assert torch.equal(before.images, make_batch([0, 1]).images)
    assert torch.equal(after.labels, before.labels)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_depend_only_on_the_row_of_a_crop(name: str) -> None:
    in_batch = corrupt(make_batch([3, 5, 8]), name).images
    one_by_one = torch.cat([corrupt(make_batch([row]), name).images for row in (3, 5, 8)])
    assert torch.equal(in_batch, one_by_one)


def test_an_edge_is_blurred_with_blur_sigma() -> None:
    crop = uniform_crop(0)
    crop[:, SIDE // 2 :] = 255
    profile = CORRUPTIONS["blur"](crop, make_rng())[SIDE // 2, :, 0].astype(float)
    rise, positions = np.diff(profile) / 255, np.arange(SIDE - 1)
    mean = (rise * positions).sum()
    assert np.sqrt((rise * (positions - mean) ** 2).sum()) == pytest.approx(BLUR_SIGMA * SIDE, rel=0.1)
    assert np.array_equal(CORRUPTIONS["blur"](uniform_crop(90), make_rng()), uniform_crop(90))


@pytest.mark.parametrize(("quality", "is_equal"), [(JPEG_QUALITY, True), (75, False)])  # 75 is the default of Pillow
def test_jpeg_is_compressed_with_jpeg_quality(quality: int, is_equal: bool) -> None:
    crop, file = make_rng().integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8), io.BytesIO()
    Image.fromarray(crop).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    assert np.array_equal(CORRUPTIONS["jpeg"](crop, make_rng()), np.asarray(Image.open(file))) == is_equal


def test_jpeg_keeps_uniform_areas_and_loses_detail() -> None:
    assert np.abs(CORRUPTIONS["jpeg"](uniform_crop(90), make_rng()).astype(int) - 90).max() <= 3
    detailed = make_rng().integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    error = np.abs(CORRUPTIONS["jpeg"](detailed, make_rng()).astype(int) - detailed).mean()
    assert 20 < error < 80


def test_noise_has_noise_std_and_does_not_wrap() -> None:
    noise = CORRUPTIONS["noise"](uniform_crop(GREY), make_rng()).astype(float) - GREY
    assert noise.std() == pytest.approx(NOISE_STD, rel=0.03)
    assert abs(noise.mean()) < 0.6
    assert CORRUPTIONS["noise"](uniform_crop(255), make_rng()).min() > 128
    assert CORRUPTIONS["noise"](uniform_crop(0), make_rng()).max() < 128


def test_a_quarter_of_the_crop_is_occluded() -> None:
    positions = set()
    for seed in range(50):
        occluded = (CORRUPTIONS["occlusion"](uniform_crop(7), make_rng(seed)) == GREY).all(axis=2)
        rows, columns = np.flatnonzero(occluded.any(axis=1)), np.flatnonzero(occluded.any(axis=0))
        assert (len(rows), len(columns), occluded.sum()) == (SIDE // 2, SIDE // 2, SIDE**2 // 4)
        positions.add((rows[0], columns[0]))
    assert len(positions) > 40


def test_corrupted_queries_are_searched_in_a_clean_gallery(make_data: Callable[..., GarmentData]) -> None:
    data = make_data(ratios={"train": 0.2, "val": 0.1, "query": 0.3, "gallery": 0.4})
    model = FakeModel(data.categories)
    gallery = encode_split(model, data, "gallery")
    indexed = Gallery.build(model, gallery.encoded, gallery.catalogue)
    searcher = Searcher(
        model, indexed, SearchPolicy("hamming", "all", 20, alpha=0.5, min_confidence=0.0, min_probability=None)
    )
    results = score_corruptions(searcher, data, ["noise", "blur"])
    assert {row.condition for row in results} == {"corruption=noise", "corruption=blur"}
    assert len(results) == 2 * len(HEADLINE)
    search = (searcher.policy.method, searcher.policy.scope)
    table = ResultTable(results, search)
    for name in ("noise", "blur"):
        query = encode_split(model, data, "query", partial(corrupt, corruption=name))
        expected = ResultTable(evaluate(searcher, query).results, search)
        for relevance, metric, k in HEADLINE:
            column = Column(SEARCH if relevance else "classifier", metric, k, relevance)
            row = expected.find(column)
            assert row is not None
            condition = f"corruption={name}"
            assert table.find(column._replace(condition=condition)) == row._replace(condition=condition)
    assert score_corruptions(searcher, data, []) == []
