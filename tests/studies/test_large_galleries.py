"""Large galleries of distractors, which are composed, encoded and cached, and of perturbed copies."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.studies import large_galleries
from fashion_lsh.studies.category_frequencies import COUNTS, category_ratios
from fashion_lsh.studies.large_galleries import (
    FLIP_RATIO,
    NOISE_NORM,
    LabelledGarments,
    build_gallery,
    concatenate,
    extra_garments,
    perturbed_copies,
)
from tests.evaluation.fake_model import BITS, FakeModel


@pytest.fixture
def source(tmp_path: Path) -> ShopStreet:
    return ShopStreet(0, str(tmp_path), garments=2)


def random_garments(rows: int = 500, bits: int = 13) -> LabelledGarments:
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((rows, bits)) < 0.5, axis=1, bitorder="little")
    embeddings = rng.normal(size=(rows, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    probabilities = rng.dirichlet(np.ones(3), rows).astype(np.float32)
    return LabelledGarments(
        Encoded(probabilities, codes, embeddings), rng.integers(0, 3, rows), np.array(["a"] * rows, dtype=object)
    )


def test_distractors_are_new_items_with_new_appearances(source: ShopStreet) -> None:
    pixels, rows = source.extra_items(0, 60)
    assert pixels.shape == (60, 96, 96, 3)
    assert len(set(rows.column("item"))) == 60
    assert not set(rows.column("item")) & set(source.catalogue().column("item"))
    assert len({image.tobytes() for image in pixels}) == 60
    assert set(rows.column("group")) <= set(
        source.catalogue().column("group")
    )  # composed from garments of the data set
    second, _ = source.extra_items(40, 60)
    assert np.array_equal(second, pixels[40:])


def test_gallery_rows_are_shuffled_and_stay_aligned() -> None:
    garments = random_garments(400, BITS)
    model = FakeModel(categories=["a", "b", "c"])
    gallery = build_gallery(model, garments, garments.encoded.probabilities)
    order = gallery.catalogue.column("id").astype(int)
    assert sorted(order) == list(range(400))
    assert abs(np.corrcoef(order, np.arange(400))[0, 1]) < 0.2  # the first rows are spread over the gallery
    assert np.array_equal(gallery.codes, garments.encoded.codes[order])  # type: ignore[index]
    assert np.array_equal(gallery.lists, garments.encoded.probabilities[order].argmax(axis=1))
    assert gallery.catalogue.column("category").tolist() == garments.labels[order].astype(str).tolist()
    assert np.allclose(gallery.embeddings[np.arange(400)], garments.encoded.embeddings[order], atol=1e-3)


def test_distractors_are_encoded_once_and_then_read_from_the_cache(
    source: ShopStreet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_galleries, "CHUNK", 8)
    model, cache_file = FakeModel(categories=source.catalogue().categories), tmp_path / "extra_garments.npz"
    first = extra_garments(model, source, 20, cache_file)
    assert first.encoded.codes is not None
    assert first.encoded.codes.shape == (20, -(-BITS // 8))
    assert set(first.items) == {""}
    monkeypatch.setattr(large_galleries, "_encode_chunks", None)  # must not be called again
    for count in (20, 7):
        cached = extra_garments(model, source, count, cache_file)
        assert np.array_equal(cached.encoded.probabilities, first.encoded.probabilities[:count])
        assert np.allclose(cached.encoded.embeddings, first.encoded.embeddings[:count], atol=1e-3)
    original = cache_file.read_bytes()
    for content in (original[:200], b"", b"not an archive"):
        cache_file.write_bytes(content)
        with pytest.raises(TypeError):  # a damaged cache is computed again
            extra_garments(model, source, 20, cache_file)
    cache_file.write_bytes(original)
    with pytest.raises(TypeError):  # a cache is used only for its own model
        extra_garments(FakeModel(categories=model.categories, fingerprint="other"), source, 20, cache_file)


def test_perturbed_copies_differ_by_the_given_ratio_and_have_no_item() -> None:
    original = random_garments()
    garments = perturbed_copies(original, 1200, 13)
    assert original.encoded.codes is not None
    assert garments.encoded.codes is not None
    origin = np.arange(1200) % 500
    flipped_ratio = np.bitwise_count(garments.encoded.codes ^ original.encoded.codes[origin]).sum() / (1200 * 13)
    assert flipped_ratio == pytest.approx(FLIP_RATIO, rel=0.15)
    assert np.allclose(np.linalg.norm(garments.encoded.embeddings, axis=1), 1, atol=1e-5)
    distances = np.linalg.norm(garments.encoded.embeddings - original.encoded.embeddings[origin], axis=1)
    assert distances.mean() == pytest.approx(NOISE_NORM, rel=0.05)
    assert np.array_equal(garments.labels, original.labels[origin])
    assert set(garments.items) == {""}
    HashIndex(13, 3).add(garments.encoded.codes, garments.labels, np.arange(1200))  # padding bits are 0


def test_head_returns_the_first_of_concatenated_garments() -> None:
    joined = concatenate([random_garments(5), random_garments(7)])
    assert len(joined.labels) == len(joined.items) == len(joined.encoded.probabilities) == 12
    assert np.array_equal(joined.head(5).encoded.embeddings, random_garments(5).encoded.embeddings)


def test_category_ratios_of_30_categories_sum_to_1() -> None:
    names, ratios = category_ratios()
    assert len(names) == len(set(names)) == 30
    assert ratios.sum() == pytest.approx(1)
    assert sum(COUNTS.values()) / 289_222 == pytest.approx(0.993, abs=5e-4)
