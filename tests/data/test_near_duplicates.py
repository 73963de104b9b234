"""Near-duplicates: altered copies are found, other images are not, and banding finds all pairs below its limit."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from fashion_lsh.data.connected_components import connected_components
from fashion_lsh.data.near_duplicates import (
    BITS,
    MAX_DISTANCE,
    MIN_SIMILARITY,
    NUM_VIEWS,
    fingerprint,
    near_duplicate_pairs,
    similarity,
    thumbnail,
)


def draw_image(seed: int, width: int = 120, height: int = 160) -> np.ndarray:
    """Draw an image with coarse and fine structure that differs for each seed, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((width, height)), np.float32
        )
        for side in (3, 7, 15, 30)
    ]
    return np.clip(128 + sum(layer - 128 for layer in layers) / 2, 0, 255).astype(np.uint8)


def encode_as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


ALTERATIONS = {
    "resized": lambda image: image.resize((round(image.width * 0.6), round(image.height * 0.6))),
    "compressed": lambda image: encode_as_jpeg(image, 40),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda image: image.crop((6, 8, image.width - 6, image.height - 8)),
    "recoloured": lambda image: ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(0.8)).enhance(1.1),
}


def fingerprint_distance(one: np.ndarray, other: np.ndarray) -> int:
    """Compute the distance of two fingerprints, (V, W) uint8 each, code by code."""
    code_pairs = [(one[0], code) for code in other] + [(other[0], code) for code in one]
    return min(int(np.unpackbits(a ^ b).sum()) for a, b in code_pairs)


def find_pairs_slowly(fingerprints: np.ndarray, max_distance: int) -> list[list[int]]:
    count = len(fingerprints)
    return [
        [i, j]
        for i in range(count)
        for j in range(i + 1, count)
        if fingerprint_distance(fingerprints[i], fingerprints[j]) <= max_distance
    ]


@pytest.mark.parametrize("alteration", ALTERATIONS)
def test_altered_copies_have_similar_fingerprints_and_colours(alteration: str) -> None:
    originals = [draw_image(seed) for seed in range(24)]
    copies = [np.asarray(ALTERATIONS[alteration](Image.fromarray(each)).convert("RGB")) for each in originals]
    images = [*originals, *copies]
    pairs = near_duplicate_pairs(np.stack([fingerprint(image) for image in images]), MAX_DISTANCE)
    assert pairs.tolist() == [[index, index + 24] for index in range(24)]
    assert (similarity(np.stack([thumbnail(image) for image in images]), pairs) >= MIN_SIMILARITY).all()


def test_a_mirrored_image_permutes_the_codes() -> None:
    image = draw_image(7)
    original, mirrored = fingerprint(image), fingerprint(image[:, ::-1])
    assert original.shape == (NUM_VIEWS, BITS // 8)
    assert np.array_equal(original[[1, 0, 3, 2]], mirrored)


def test_flat_images_are_in_no_pair() -> None:
    flat_images = [np.full((40, 30, 3), shade, np.uint8) for shade in (90, 91, 92)]
    fingerprints = np.stack([fingerprint(image) for image in flat_images])
    assert not fingerprints.any()
    assert near_duplicate_pairs(fingerprints, BITS).shape == (0, 2)


def test_the_same_outline_in_another_colour_is_not_similar() -> None:
    red, blue = (np.full((90, 60, 3), 250, np.uint8) for _ in range(2))
    red[20:70, 15:45], blue[20:70, 15:45] = (200, 20, 20), (20, 20, 200)
    assert similarity(np.stack([thumbnail(red), thumbnail(blue)]), np.array([[0, 1]]))[0] < MIN_SIMILARITY
    assert similarity(np.stack([thumbnail(red), thumbnail(red[:, ::-1])]), np.array([[0, 1]]))[0] > 0.999


@st.composite
def similar_fingerprints(draw: st.DrawFn) -> np.ndarray:
    """Draw fingerprints; some contain the code of another fingerprint with up to three bits flipped."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    fingerprints = rng.integers(0, 256, (draw(st.integers(2, 12)), 4, 8), dtype=np.uint8)
    for row in range(1, len(fingerprints)):
        if rng.random() < 0.6:
            view = rng.integers(4)
            fingerprints[row, view] = fingerprints[rng.integers(row), 0]
            for bit in rng.integers(0, 64, draw(st.integers(0, 3))):
                fingerprints[row, view, bit // 8] ^= np.uint8(1 << (bit % 8))
    return fingerprints


@given(similar_fingerprints(), st.integers(0, 3))
@settings(max_examples=150)
def test_all_pairs_below_the_number_of_bands_are_found(fingerprints: np.ndarray, max_distance: int) -> None:
    expected = find_pairs_slowly(fingerprints, max_distance)  # codes of 64 bits have four bands
    assert near_duplicate_pairs(fingerprints, max_distance).tolist() == expected


@given(similar_fingerprints(), st.integers(0, 64))
def test_pairs_beyond_the_number_of_bands_are_within_max_distance(fingerprints: np.ndarray, max_distance: int) -> None:
    pairs = near_duplicate_pairs(fingerprints, max_distance).tolist()
    expected = find_pairs_slowly(fingerprints, max_distance)
    assert all(pair in expected for pair in pairs)


@given(similar_fingerprints(), st.randoms(use_true_random=False))
def test_pairs_do_not_depend_on_the_order_of_rows(fingerprints: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.randrange(10**6)).permutation(len(fingerprints))  # type: ignore[attr-defined]
    pairs, permuted = near_duplicate_pairs(fingerprints, 3), order[near_duplicate_pairs(fingerprints[order], 3)]
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == {tuple(sorted(pair)) for pair in permuted.tolist()}


def test_many_equal_images_form_one_component() -> None:
    fingerprints = np.repeat(fingerprint(draw_image(1))[None], 1000, axis=0)
    assert set(connected_components(1000, near_duplicate_pairs(fingerprints, 0))) == {0}


@pytest.mark.parametrize(
    ("fingerprints", "max_distance", "message"),
    [(np.zeros((2, 4, 7), np.uint8), 3, "a multiple of 8"), (np.zeros((2, 8), np.uint8), 3, r"\(N, V, W\)"),
     (np.zeros((2, 4, 8)), 3, "float64"), (np.zeros((2, 4, 8), np.uint8), -1, "max_distance=-1")],
)  # fmt: skip
def test_invalid_fingerprints_raise(fingerprints: np.ndarray, max_distance: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        near_duplicate_pairs(fingerprints, max_distance)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_invalid_images_raise(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image: .*\(H, W, 3\) uint8"):
        fingerprint(image)
