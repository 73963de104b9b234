"""Near-duplicates against the perceptual hash of imagehash: the same copies are found.

The bits differ by design (windowed image, sign instead of median), so the decisions are compared.
"""

import imagehash
import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.near_duplicates import MAX_DISTANCE, fingerprint, near_duplicate_pairs
from tests.data.test_near_duplicates import ALTERATIONS, draw_image

NUM_IMAGES = 40
SIDE = 16  # imagehash.phash(hash_size=SIDE) has 256 bits, as many as a code here


@pytest.fixture(scope="module")
def originals() -> list[Image.Image]:
    return [Image.fromarray(draw_image(seed)) for seed in range(NUM_IMAGES)]


@pytest.mark.parametrize("name", ["resized", "compressed", "recoloured"])
def test_copies_that_imagehash_finds_are_found(originals: list[Image.Image], name: str) -> None:
    images = [*originals, *(ALTERATIONS[name](image) for image in originals)]
    codes = np.array([imagehash.phash(image, hash_size=SIDE).hash.ravel() for image in images])
    distances = (codes[:, None] != codes).sum(axis=2)
    expected = np.argwhere(np.triu(distances <= MAX_DISTANCE, 1))
    assert len(expected) >= 0.9 * NUM_IMAGES  # imagehash finds most copies
    found = near_duplicate_pairs(np.stack([fingerprint(np.asarray(image.convert("RGB"))) for image in images]))
    assert {tuple(pair) for pair in expected} <= {tuple(pair) for pair in found}
    assert {tuple(pair) for pair in found} == {(row, row + NUM_IMAGES) for row in range(NUM_IMAGES)}


def test_mirrored_and_cropped_copies_are_found_here_alone(originals: list[Image.Image]) -> None:
    for name in ("mirrored", "cropped"):
        copies = [ALTERATIONS[name](image) for image in originals]
        differences = [imagehash.phash(image, hash_size=SIDE) - imagehash.phash(copy, hash_size=SIDE)
                       for image, copy in zip(originals, copies, strict=True)]  # fmt: skip
        assert min(differences) > MAX_DISTANCE, name
        codes = np.stack([fingerprint(np.asarray(image)) for image in (*originals, *copies)])
        assert {tuple(pair) for pair in near_duplicate_pairs(codes)} == {(i, i + NUM_IMAGES) for i in range(NUM_IMAGES)}
