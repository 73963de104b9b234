"""Near-duplicates: altered copies are near, others are far, and banding finds what it promises."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from fashion_lsh.data.components import grouped
from fashion_lsh.data.near_duplicates import (
    ALIKE,
    BITS,
    DISTANCE,
    VIEWS,
    fingerprint,
    likeness,
    pairs,
    thumbnail,
)


def drawn(seed: int, width: int = 120, height: int = 160) -> np.ndarray:
    """A picture like no other, with large and small things in it, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize((width, height)), np.float32
        )
        for side in (3, 7, 15, 30)
    ]
    return np.clip(128 + sum(layer - 128 for layer in layers) / 2, 0, 255).astype(np.uint8)


def saved(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


ALTERED = {
    "resized": lambda image: image.resize((round(image.width * 0.6), round(image.height * 0.6))),
    "compressed": lambda image: saved(image, 40),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "cropped": lambda image: image.crop((6, 8, image.width - 6, image.height - 8)),
    "recoloured": lambda image: ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(0.8)).enhance(1.1),
}


def distance(one: np.ndarray, other: np.ndarray) -> int:
    """Of two fingerprints, (V, W) uint8 each: the slow way."""
    both = [(one[0], code) for code in other] + [(other[0], code) for code in one]
    return min(int(np.unpackbits(a ^ b).sum()) for a, b in both)


def brute(prints: np.ndarray, most: int) -> list[list[int]]:
    count = len(prints)
    return [[i, j] for i in range(count) for j in range(i + 1, count) if distance(prints[i], prints[j]) <= most]


@pytest.mark.parametrize("kind", ALTERED)
def test_altered_copies_are_found_and_look_alike(kind: str) -> None:
    originals = [drawn(seed) for seed in range(24)]
    copies = [np.asarray(ALTERED[kind](Image.fromarray(each)).convert("RGB")) for each in originals]
    found = pairs(np.stack([fingerprint(each) for each in [*originals, *copies]]), DISTANCE)
    assert found.tolist() == [[number, number + 24] for number in range(24)]
    assert (likeness(np.stack([thumbnail(each) for each in [*originals, *copies]]), found) >= ALIKE).all()


def test_a_mirror_has_the_codes_of_its_picture_in_other_places() -> None:
    picture = drawn(7)
    straight, mirrored = fingerprint(picture), fingerprint(picture[:, ::-1])
    assert straight.shape == (VIEWS, BITS // 8)
    assert np.array_equal(straight[[1, 0, 3, 2]], mirrored)


def test_flat_pictures_pair_with_nothing() -> None:
    grey = [np.full((40, 30, 3), shade, np.uint8) for shade in (90, 91, 92)]
    prints = np.stack([fingerprint(each) for each in grey])
    assert not prints.any()
    assert pairs(prints, BITS).shape == (0, 2)


def test_the_same_outline_in_another_colour_does_not_look_alike() -> None:
    red, blue = (np.full((90, 60, 3), 250, np.uint8) for _ in range(2))
    red[20:70, 15:45], blue[20:70, 15:45] = (200, 20, 20), (20, 20, 200)
    assert likeness(np.stack([thumbnail(red), thumbnail(blue)]), np.array([[0, 1]]))[0] < ALIKE
    assert likeness(np.stack([thumbnail(red), thumbnail(red[:, ::-1])]), np.array([[0, 1]]))[0] > 0.999


@st.composite
def near_prints(draw: st.DrawFn) -> np.ndarray:
    """Fingerprints, some of them others with a few bits flipped."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    prints = rng.integers(0, 256, (draw(st.integers(2, 12)), 4, 8), dtype=np.uint8)
    for row in range(1, len(prints)):
        if rng.random() < 0.6:
            view = rng.integers(4)
            prints[row, view] = prints[rng.integers(row), 0]
            for bit in rng.integers(0, 64, draw(st.integers(0, 3))):
                prints[row, view, bit // 8] ^= np.uint8(1 << (bit % 8))
    return prints


@given(near_prints(), st.integers(0, 3))
@settings(max_examples=150)
def test_below_the_number_of_bands_all_pairs_are_found_and_no_others(prints: np.ndarray, most: int) -> None:
    assert pairs(prints, most).tolist() == brute(prints, most)  # 64 bits: four bands


@given(near_prints(), st.integers(0, 64))
def test_beyond_it_what_is_found_is_near(prints: np.ndarray, most: int) -> None:
    found = pairs(prints, most).tolist()
    assert all(pair in brute(prints, most) for pair in found)


@given(near_prints(), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_the_numbers_alone(prints: np.ndarray, random: object) -> None:
    order = np.random.default_rng(random.randrange(10**6)).permutation(len(prints))  # type: ignore[attr-defined]
    plain, other = pairs(prints, 3), order[pairs(prints[order], 3)]
    assert {tuple(sorted(pair)) for pair in plain.tolist()} == {tuple(sorted(pair)) for pair in other.tolist()}


@given(st.integers(1, 20), st.data())
def test_groups_are_what_hangs_together(count: int, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=25))
    groups = list(range(count))
    for one, other in edges:  # the slow way
        old, new = max(groups[one], groups[other]), min(groups[one], groups[other])
        groups = [new if group == old else group for group in groups]
    assert grouped(count, np.array(edges, dtype=np.int64).reshape(-1, 2)).tolist() == groups


def test_many_equal_pictures_hang_together() -> None:
    prints = np.repeat(fingerprint(drawn(1))[None], 1000, axis=0)
    assert set(grouped(1000, pairs(prints, 0))) == {0}


@pytest.mark.parametrize(
    ("prints", "most", "told"),
    [(np.zeros((2, 4, 7), np.uint8), 3, "a multiple of 8"), (np.zeros((2, 8), np.uint8), 3, "give \\(N, V, W\\)"),
     (np.zeros((2, 4, 8)), 3, "float64"), (np.zeros((2, 4, 8), np.uint8), -1, "distance=-1")],
)  # fmt: skip
def test_what_is_no_fingerprint_is_refused(prints: np.ndarray, most: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        pairs(prints, most)


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_picture_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"give \(H, W, 3\) uint8, as open_picture does"):
        fingerprint(picture)
