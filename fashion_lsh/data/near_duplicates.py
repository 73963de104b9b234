"""Find near-duplicate images: an image resized, re-encoded, mirrored, slightly cropped or recoloured.

    pairs = near_duplicate_pairs(np.stack([fingerprint(image) for image in images]))
    similar = pairs[similarity(np.stack([thumbnail(image) for image in images]), pairs) >= MIN_SIMILARITY]
    groups = connected_components(len(images), similar)

A fingerprint is a perceptual hash: the signs of the low-frequency DCT coefficients of the greyscale image, as in pHash
(C. Zauner: Implementation and Benchmarking of Perceptual Image Hash Functions, 2010). A fingerprint does not depend on
brightness, contrast or colour. On a plain background, garments of equal outline have similar fingerprints (a small
Hamming distance). Comparing the colour thumbnails separates most of these garments.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from PIL import Image

from fashion_lsh.data.images import to_pil_image

BITS = 256  # length of a code
NUM_VIEWS = 4  # codes per fingerprint, one for each view of the image
RESIZED_SIDE = 40  # side in pixels of the square image that is hashed
BORDER_PIXELS = 2  # width of the border of the resized image that the centre crop removes
BORDER_FRACTION = BORDER_PIXELS / RESIZED_SIDE
FREQUENCIES_PER_AXIS = 20  # a code uses the BITS lowest of the 20 x 20 DCT frequencies, without the constant one
MIN_CONTRAST = 2.0  # standard deviation of grey levels (0..255); smaller variation is camera or JPEG noise
MAX_NEIGHBOURS = 256  # each code is compared with at most this many following codes of the same bucket
PAIRS_PER_BLOCK = 2**14  # thumbnail pairs compared at once, which takes about 60 MB of temporary memory
WORD_BYTES = 8  # bytes of two codes compared in one XOR operation

MAX_DISTANCE = 24
MIN_SIMILARITY = 0.92


def fingerprint(image: np.ndarray) -> np.ndarray:
    """Perceptual hash codes of four views of an image.  (H, W, 3) uint8 RGB -> (4, BITS / 8) uint8.

    The views are the image, the mirrored image, the centre crop (without BORDER_FRACTION on each side) and the mirrored
    centre crop.  A bit is 1 where the windowed view has a positive DCT coefficient.  The code of a flat view (contrast
    below MIN_CONTRAST) is all zeros; `near_duplicate_pairs` ignores an image whose first code is zero.

    Raises:
        ValueError: the image is not (H, W, 3) uint8.
    """
    greyscale = to_pil_image(image).convert("L")
    mirrored = greyscale.transpose(Image.Transpose.FLIP_LEFT_RIGHT)  # before resizing, as in a mirrored image file
    whole_views = [np.asarray(_shrink(view), dtype=np.float32) for view in (greyscale, mirrored)]
    centre_crops = [view[BORDER_PIXELS:-BORDER_PIXELS, BORDER_PIXELS:-BORDER_PIXELS] for view in whole_views]
    return np.stack([_hash(view) for view in (*whole_views, *centre_crops)])


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Colour thumbnail, the input of `similarity`.  (H, W, 3) uint8 RGB -> (20, 20, 3) uint8.

    Raises:
        ValueError: the image is not (H, W, 3) uint8.
    """
    return np.asarray(_shrink(to_pil_image(image)).reduce(2))


def near_duplicate_pairs(fingerprints: np.ndarray, max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """Find pairs of images with similar fingerprints.  (N, V, W) uint8 -> (P, 2) int64, ascending, i < j.

    The distance of two images is the minimum Hamming distance between the first code of one image and any code of the
    other image.  Codes are split into bands of 16 bits, and two codes are compared if they are equal in at least one
    band.  Every pair with a distance below the number of bands, W / 2, is found.  A pair with a larger distance is
    missed only if its codes differ in every band.

    A bucket contains the codes that are equal in one band.  In a bucket of more than MAX_NEIGHBOURS codes (for example
    copies of one image), each code is compared with the next MAX_NEIGHBOURS codes in sorted order.  Equal codes still
    form one connected component, but other pairs within `max_distance` may be missed.
    Images whose first code is zero (flat images) are ignored.

    Memory: about 250 bytes for each of the N x V codes.

    Args:
        fingerprints: N fingerprints of V codes with W bytes each, see `fingerprint`.
        max_distance: maximum Hamming distance of a pair, in bits.

    Raises:
        ValueError: `fingerprints` are not (N, V, W) uint8 with W a multiple of 8, or `max_distance` is negative.
    """
    _check_fingerprints(fingerprints, max_distance)
    num_images, num_views, code_bytes = fingerprints.shape
    compared_images = np.flatnonzero(fingerprints[:, 0].any(axis=1))
    codes = np.ascontiguousarray(fingerprints[compared_images]).reshape(-1, code_bytes)
    images, is_first_code = (
        np.repeat(compared_images, num_views),
        np.tile(np.arange(num_views) == 0, len(compared_images)),
    )
    order = np.lexsort(codes.view(np.uint64).T[::-1])
    codes, images, is_first_code = codes[order], images[order], is_first_code[order]
    words = codes.view(np.uint64)
    pair_ids = np.empty(0, dtype=np.int64)  # i * num_images + j
    for band in codes.view(np.uint16).T:
        new_pair_ids = [pair_ids]
        for left, right in _pairs_in_band(band):
            is_candidate = (is_first_code[left] | is_first_code[right]) & (images[left] != images[right])
            left, right = left[is_candidate], right[is_candidate]
            distances = np.bitwise_count(words[left] ^ words[right]).sum(axis=1, dtype=np.int64)
            is_near = distances <= max_distance
            one, other = images[left[is_near]], images[right[is_near]]
            new_pair_ids.append(np.minimum(one, other) * num_images + np.maximum(one, other))
        pair_ids = np.unique(np.concatenate(new_pair_ids))
    return np.stack(np.divmod(pair_ids, max(1, num_images)), axis=1)


def _check_fingerprints(fingerprints: np.ndarray, max_distance: int) -> None:
    if (
        fingerprints.dtype != np.uint8
        or fingerprints.ndim != 3
        or not fingerprints.shape[1]
        or not _is_aligned(fingerprints)
    ):
        raise ValueError(
            f"fingerprints: {fingerprints.shape} {fingerprints.dtype}; pass an (N, V, W) uint8 array with W a multiple "
            f"of {WORD_BYTES}, stacked from the results of fingerprint()"
        )
    if max_distance < 0:
        raise ValueError(f"{max_distance=} is negative; pass 0 to find equal codes only, or a larger value")


def similarity(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Colour similarity of pairs of thumbnails.  (N, 20, 20, 3) uint8, (P, 2) int64 -> (P,) float32, -1..1.

    2 a·b / (|a|² + |b|²) for mean-centred colour vectors a and b.  This is the concordance correlation coefficient
    (L. Lin, Biometrics 45, 1989) without the term for the means, so brightness does not affect the similarity.  Two
    equal images have similarity 1; an image and a copy with twice its contrast have similarity 0.8.
    The similarity is the maximum over comparisons of the whole of one image with each of the four views of the other
    image (see `fingerprint`).
    """
    best = np.full(len(pairs), -1, dtype=np.float32)
    for start in range(0, len(pairs), PAIRS_PER_BLOCK):
        left, right = (_view_vectors(thumbnails[images]) for images in pairs[start : start + PAIRS_PER_BLOCK].T)
        block = best[start : start + PAIRS_PER_BLOCK]
        for one, other in ((left[:, :1], right), (left, right[:, :1])):
            energies = (one**2).sum(axis=2) + (other**2).sum(axis=2)
            # 1 avoids division by zero for flat images; it is far below one grey level per pixel
            scores = 2 * (one * other).sum(axis=2) / np.maximum(energies, 1)
            np.maximum(block, scores.max(axis=1), out=block)
    return best


def _is_aligned(fingerprints: np.ndarray) -> bool:
    return fingerprints.shape[2] > 0 and fingerprints.shape[2] % WORD_BYTES == 0


def _shrink(pil_image: Image.Image) -> Image.Image:
    return pil_image.resize((RESIZED_SIDE, RESIZED_SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)


def _hash(view: np.ndarray) -> np.ndarray:
    """Hash a greyscale view.  (S, S) float32 -> (BITS / 8,) uint8; neighbouring frequencies are in different bands."""
    basis, window, lowest = _dct_basis(len(view))
    centred = (view - (view * window).sum() / window.sum()) * window
    if centred.std() < MIN_CONTRAST * window.std():
        return np.zeros(BITS // 8, dtype=np.uint8)
    signs = (basis @ centred @ basis.T).ravel()[lowest] > 0
    return np.packbits(signs.reshape(16, -1).T, axis=None)


@lru_cache
def _dct_basis(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """DCT-II basis (FREQUENCIES_PER_AXIS, S), window (S, S), and positions (BITS,) of the lowest frequencies but 0."""
    centres = (np.arange(side) + 0.5) / side
    basis = np.cos(np.pi * np.arange(FREQUENCIES_PER_AXIS)[:, None] * centres).astype(np.float32)
    sine = np.sin(np.pi * centres).astype(np.float32)
    rows, columns = np.divmod(np.arange(FREQUENCIES_PER_AXIS**2), FREQUENCIES_PER_AXIS)
    return basis, np.outer(sine, sine), np.argsort(rows**2 + columns**2, kind="stable")[1 : BITS + 1]


def _pairs_in_band(band: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield index pairs of equal values, at most MAX_NEIGHBOURS apart in a bucket.  (M,) uint16 -> (n,), (n,) int64."""
    order = np.argsort(band, kind="stable")
    keys = band[order]
    left = np.arange(len(keys))
    for step in range(1, MAX_NEIGHBOURS + 1):
        left = left[: np.searchsorted(left, len(keys) - step)]
        left = left[keys[left] == keys[left + step]]
        if not len(left):
            return
        yield order[left], order[left + step]


def _view_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Mean-centred colour vectors of the four views of each thumbnail.  (P, 20, 20, 3) uint8 -> (P, 4, 243)."""
    side = thumbnails.shape[1]
    border_weights = (np.float32(_pooling_weights(side, border)) for border in (0, BORDER_FRACTION))
    pooled = [np.einsum("ay,nyxc,bx->nabc", weights, thumbnails, weights, optimize=True) for weights in border_weights]
    views = np.stack([view for image in pooled for view in (image, image[:, :, ::-1])], axis=1)
    vectors = views.reshape(len(thumbnails), NUM_VIEWS, -1)
    return vectors - vectors.mean(axis=2, keepdims=True)


@lru_cache
def _pooling_weights(side: int, border: float) -> np.ndarray:
    """Weights (9, side) that average the pixels of one axis, without the borders, over 9 intervals of equal length."""
    edges = side * np.linspace(border, 1 - border, 10)
    pixels = np.arange(side)
    overlaps = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.maximum(overlaps, 0) / (edges[1] - edges[0])
