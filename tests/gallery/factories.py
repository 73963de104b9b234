"""Fake model, and random encoded images and galleries. Few codes are distinct, so that many rows have tied distances.

All values of embeddings are small integers / 16, so distances are exact in float16 and float32 in any summation order.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import pack
from fashion_lsh.models.encoding import Encoded
from tests.index.factories import assert_same_hits, exact_search

CATEGORIES, BITS, DIM, FINGERPRINT = 4, 9, 6, "one model"


class FakeModel:
    """Fake model: fixed random integer layer on 2 x 2 block sums, with results that do not depend on the batch size."""

    threshold, image_size, margin = 0.5, 8, 0.25
    device = torch.device("cpu")

    def __init__(self, bits: int | None = BITS, fingerprint: str = FINGERPRINT) -> None:
        self.bits, self.model_fingerprint, self.categories = bits, fingerprint, ["bag", "coat", "dress", "hat"]

    def __call__(self, images: Tensor) -> Any:
        block_sums = images.float().unflatten(2, (2, 4)).unflatten(4, (2, 4)).sum((3, 5)).flatten(1)  # (B, 12)
        generator = torch.Generator().manual_seed(0)
        layer = torch.randint(-4, 5, (12, CATEGORIES + BITS + DIM), generator=generator).float()
        logits, activations, embedding = (block_sums @ layer).split([CATEGORIES, BITS, DIM], dim=1)
        binary = None if self.bits is None else (activations > 0).float()
        return SimpleNamespace(logits=logits / 1e4, activations=binary, embedding=embedding / 2**18)

    def eval(self) -> "FakeModel":
        return self

    def probabilities(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def fingerprint(self) -> str:
        return self.model_fingerprint


def random_encoded(seed: int, num_rows: int, bits: int | None = BITS) -> Encoded:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(num_rows, CATEGORIES))
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    distinct_codes = pack(np.random.default_rng(7).random((8, BITS)))
    embeddings = np.float32(rng.integers(-3, 4, (num_rows, DIM)) / 16)
    if bits is None:
        return Encoded(probabilities, None, embeddings)
    codes = distinct_codes[rng.integers(0, 8, num_rows)]
    activations = np.float32(rng.integers(-20, 21, (num_rows, BITS)) / 16)
    return Encoded(probabilities, codes, embeddings, activations)


def make_catalogue(num_rows: int, first_row: int = 0) -> Catalogue:
    ids = [f"garment {row}" for row in range(first_row, first_row + num_rows)]
    return Catalogue.from_columns({"id": ids, "image": ids, "category": ["hat"] * num_rows})


def build_gallery(bits: int | None = BITS, num_rows: int = 40, seed: int = 0, store_embeddings: bool = True) -> Gallery:
    encoded, catalogue = random_encoded(seed, num_rows, bits), make_catalogue(num_rows)
    return Gallery.build(FakeModel(bits), encoded, catalogue, store_embeddings)


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def referenced_files(folder: Path) -> list[str]:
    """Names of the manifest and of the files in the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = [manifest["index"], manifest["catalogue"], *manifest["embeddings"]]
    return sorted({entry["file"] for entry in entries} | {"manifest.json"})


def galleries_are_equal(gallery: Gallery, expected: Gallery) -> bool:
    """Return whether two galleries have equal catalogues; if so, assert that all other contents and hits are equal."""
    if gallery.catalogue.checksum != expected.catalogue.checksum:
        return False
    queries_encoded = random_encoded(9, 5)
    queries, probed_lists = (
        (queries_encoded.embeddings if gallery.codes is None else queries_encoded.codes),
        np.tile(np.arange(4), (5, 1)),
    )
    assert queries is not None
    assert_same_hits(
        *(each.to_catalogue_rows(exact_search(each.index, queries, probed_lists, 50)) for each in (gallery, expected))
    )
    assert np.array_equal(gallery.embeddings[gallery.rows], expected.embeddings[expected.rows])
    assert np.array_equal(gallery.lists, expected.lists)
    assert (gallery.fingerprint, gallery.pending_keys) == (expected.fingerprint, expected.pending_keys)
    return True


def modified_gallery(folder: Path) -> Gallery:
    """Open a gallery, add and remove some garments, and return it unsaved."""
    gallery = Gallery.open(folder, FINGERPRINT)
    gallery.add(random_encoded(2, 30, None if gallery.codes is None else BITS), make_catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[::7].astype(str))
    return gallery
