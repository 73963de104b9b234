"""Further garments are composed, encoded, kept and copied as told."""

from pathlib import Path

import numpy as np
import pytest

from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.studies import large_galleries
from fashion_lsh.studies.category_frequencies import COUNTS, deal
from fashion_lsh.studies.large_galleries import FLIPPED, NOISE, Labelled, copies, filed_gallery, further, joined
from tests.evaluation.fake_model import BITS, FakeModel


@pytest.fixture
def source(tmp_path: Path) -> ShopStreet:
    return ShopStreet(0, str(tmp_path), garments=2)


def labelled(rows: int = 500, bits: int = 13) -> Labelled:
    rng = np.random.default_rng(0)
    codes = np.packbits(rng.random((rows, bits)) < 0.5, axis=1, bitorder="little")
    embeddings = rng.normal(size=(rows, 16)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    probabilities = rng.dirichlet(np.ones(3), rows).astype(np.float32)
    return Labelled(
        Encoded(probabilities, codes, embeddings), rng.integers(0, 3, rows), np.array(["a"] * rows, dtype=object)
    )


def test_further_garments_are_other_items_in_other_looks(source: ShopStreet) -> None:
    pixels, rows = source.extra_items(0, 60)
    assert pixels.shape == (60, 96, 96, 3)
    assert len(set(rows.column("item"))) == 60
    assert not set(rows.column("item")) & set(source.catalogue().column("item"))
    assert len({picture.tobytes() for picture in pixels}) == 60
    assert set(rows.column("group")) <= set(source.catalogue().column("group"))  # garments of the data set
    again, _ = source.extra_items(40, 60)
    assert np.array_equal(again, pixels[40:])


def test_a_gallery_is_filed_in_another_order_and_its_rows_stay_whole() -> None:
    made = labelled(400, BITS)
    model = FakeModel(categories=["a", "b", "c"])
    gallery = filed_gallery(model, made, made.encoded.probabilities)
    order = gallery.catalogue.column("id").astype(int)
    assert sorted(order) == list(range(400))
    assert abs(np.corrcoef(order, np.arange(400))[0, 1]) < 0.2  # the first, which are asked for, lie anywhere
    assert np.array_equal(gallery.codes, made.encoded.codes[order])  # type: ignore[index]
    assert np.array_equal(gallery.lists, made.encoded.probabilities[order].argmax(axis=1))
    assert gallery.catalogue.column("category").tolist() == made.labels[order].astype(str).tolist()
    assert np.allclose(gallery.embeddings[np.arange(400)], made.encoded.embeddings[order], atol=1e-3)


def test_they_are_encoded_once_and_read_after_that(
    source: ShopStreet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_galleries, "CHUNK", 8)
    model, kept = FakeModel(categories=source.catalogue().categories), tmp_path / "further.npz"
    first = further(model, source, 20, kept)
    assert first.encoded.codes is not None
    assert first.encoded.codes.shape == (20, -(-BITS // 8))
    assert set(first.items) == {""}
    monkeypatch.setattr(large_galleries, "_encoded", None)  # is not asked again
    for count in (20, 7):
        read = further(model, source, count, kept)
        assert np.array_equal(read.encoded.probabilities, first.encoded.probabilities[:count])
        assert np.allclose(read.encoded.embeddings, first.encoded.embeddings[:count], atol=1e-3)
    whole = kept.read_bytes()
    for content in (whole[:200], b"", b"no archive"):
        kept.write_bytes(content)
        with pytest.raises(TypeError):  # a damaged file is made again
            further(model, source, 20, kept)
    kept.write_bytes(whole)
    with pytest.raises(TypeError):  # another model: what is kept does not serve
        further(FakeModel(categories=model.categories, fingerprint="other"), source, 20, kept)


def test_copies_differ_as_much_as_told_and_have_no_item() -> None:
    original = labelled()
    made = copies(original, 1200, 13)
    assert original.encoded.codes is not None
    assert made.encoded.codes is not None
    origin = np.arange(1200) % 500
    flipped = np.bitwise_count(made.encoded.codes ^ original.encoded.codes[origin]).sum() / (1200 * 13)
    assert flipped == pytest.approx(FLIPPED, rel=0.15)
    assert np.allclose(np.linalg.norm(made.encoded.embeddings, axis=1), 1, atol=1e-5)
    apart = np.linalg.norm(made.encoded.embeddings - original.encoded.embeddings[origin], axis=1)
    assert apart.mean() == pytest.approx(NOISE, rel=0.05)
    assert np.array_equal(made.labels, original.labels[origin])
    assert set(made.items) == {""}
    HashIndex(13, 3).add(made.encoded.codes, made.labels, np.arange(1200))  # padding bits are 0


def test_joined_and_first() -> None:
    both = joined([labelled(5), labelled(7)])
    assert len(both.labels) == len(both.items) == len(both.encoded.probabilities) == 12
    assert np.array_equal(both.first(5).encoded.embeddings, labelled(5).encoded.embeddings)


def test_frequencies_are_shares_of_thirty_lists() -> None:
    names, shares = deal()
    assert len(names) == len(set(names)) == 30
    assert shares.sum() == pytest.approx(1)
    assert sum(COUNTS.values()) / 289_222 == pytest.approx(0.993, abs=5e-4)
