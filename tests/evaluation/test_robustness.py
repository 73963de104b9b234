"""Spoilt crops: as strong as is said, the same in any batch, and scored against a clean gallery."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.protocol import encode_part, evaluate
from fashion_lsh.evaluation.robustness import CORRUPTIONS, DEVIATION, GREY, SIGMA, score_corrupted, spoilt
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import FakeModel

SIDE = 64


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def even(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE, 3), value, dtype=np.uint8)


def batch(rows: list[int]) -> Batch:
    images = torch.from_numpy(rng().integers(0, 256, (9, 3, SIDE, SIDE), dtype=np.uint8))[rows]
    numbers = torch.tensor(rows)
    return Batch(images, numbers, numbers, numbers)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_crop_is_changed_and_keeps_its_shape(name: str) -> None:
    before = batch([0, 1])
    after = spoilt(before, name)
    assert after.images.shape == before.images.shape
    assert after.images.dtype == torch.uint8
    assert not torch.equal(after.images, before.images)
    assert torch.equal(before.images, batch([0, 1]).images)
    assert torch.equal(after.labels, before.labels)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_drawn_for_a_crop_depends_on_its_row_alone(name: str) -> None:
    together = spoilt(batch([3, 5, 8]), name).images
    alone = torch.cat([spoilt(batch([row]), name).images for row in (3, 5, 8)])
    assert torch.equal(together, alone)


def test_an_edge_is_blurred_by_the_stated_deviation() -> None:
    crop = even(0)
    crop[:, SIDE // 2 :] = 255
    line = CORRUPTIONS["blur"](crop, rng())[SIDE // 2, :, 0].astype(float)
    rise, places = np.diff(line) / 255, np.arange(SIDE - 1)
    mean = (rise * places).sum()
    assert np.sqrt((rise * (places - mean) ** 2).sum()) == pytest.approx(SIGMA * SIDE, rel=0.1)
    assert np.array_equal(CORRUPTIONS["blur"](even(90), rng()), even(90))


def test_jpeg_keeps_what_is_even_and_loses_detail() -> None:
    assert np.abs(CORRUPTIONS["jpeg"](even(90), rng()).astype(int) - 90).max() <= 3
    fine = rng().integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    lost = np.abs(CORRUPTIONS["jpeg"](fine, rng()).astype(int) - fine).mean()
    assert 20 < lost < 80


def test_noise_has_the_stated_deviation_and_no_wrap() -> None:
    added = CORRUPTIONS["noise"](even(GREY), rng()).astype(float) - GREY
    assert added.std() == pytest.approx(DEVIATION, rel=0.03)
    assert abs(added.mean()) < 0.6
    assert CORRUPTIONS["noise"](even(255), rng()).min() > 128
    assert CORRUPTIONS["noise"](even(0), rng()).max() < 128


def test_a_quarter_is_hidden_inside_the_crop() -> None:
    places = set()
    for seed in range(50):
        hidden = (CORRUPTIONS["occlusion"](even(7), rng(seed)) == GREY).all(axis=2)
        rows, columns = np.flatnonzero(hidden.any(axis=1)), np.flatnonzero(hidden.any(axis=0))
        assert (len(rows), len(columns), hidden.sum()) == (SIDE // 2, SIDE // 2, SIDE**2 // 4)
        places.add((rows[0], columns[0]))
    assert len(places) > 40


def test_spoilt_queries_ask_a_clean_gallery(make_data: Callable[..., GarmentData]) -> None:
    data = make_data(ratios={"train": 0.2, "val": 0.1, "query": 0.3, "gallery": 0.4})
    model = FakeModel(data.categories)
    gallery = encode_part(model, data, "gallery")
    filed = Gallery.build(model, gallery.encoded, gallery.catalogue)
    searcher = Searcher(model, filed, SearchPolicy("hamming", "all", 20, alpha=0.5, min_confidence=0.0))
    found = score_corrupted(searcher, data, ["noise", "blur"])
    assert {name.split("/")[1] for name in found} == {"noise", "blur"}
    for name in ("noise", "blur"):
        query = encode_part(model, data, "query", partial(spoilt, corruption=name))
        expected = evaluate(searcher, query).metrics
        for metric in ("accuracy", "accuracy_low", "macro_f1", "category/map@100", "item/recall@10_high"):
            assert found[f"corrupted/{name}/{metric}"] == expected[f"query/{metric}"]
    assert score_corrupted(searcher, data, []) == {}
